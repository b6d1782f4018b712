# A node with an invalid record is left alone. One record was edited into an invalid one, the other
# cannot be parsed at all. Once the record is fixed, the repair continues where it was.
node odd1 unread1
policy {pool: {mode: taint}}
break odd1 gpu-missing until reboot
break unread1 gpu-missing until reboot
await odd1 why ModeTaintOnly within 60s
await unread1 why ModeTaintOnly within 60s
kubectl patch nrep odd1 --subresource=status --type=merge -p {"status":{"episode":{"rung":"manual"}}}
kubectl patch nrep unread1 --subresource=status --type=merge -p {"status":{"episode":{"attempt":5000000000}}}
kubectl wait --for=condition=Understood=false nrep/odd1 nrep/unread1 --timeout=30s
kubectl wait --for=condition=OssciHealthy=false node/odd1 node/unread1 --timeout=30s
policy {pool: {mode: reimage}}
quiet 4s
kubectl patch nrep odd1 --subresource=status --type=merge -p {"status":{"episode":{"rung":"reboot"}}}
await odd1 phase Healed within 90s
kubectl patch nrep unread1 --subresource=status --type=merge -p {"status":{"episode":{"attempt":1}}}
await unread1 phase Healed within 90s
kubectl wait --for=condition=Understood=true nrep/odd1 nrep/unread1 --timeout=30s
