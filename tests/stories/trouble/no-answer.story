# A proof that cannot finish goes to a person. It causes no reimage. The exporter of one node is
# absent after the reboot; the other machine does not boot again.
node blind1 dark1
policy {budget: {atMostPercent: 100}, times: {bootSeconds: 20, stabiliseSeconds: 1, proofSeconds: 8}}
break blind1 no-exporter until forever
break dark1 stays-dark until forever
kubectl taint node blind1 dark1 repair-reboot=:NoSchedule
await blind1 phase Proving within 60s
await blind1 phase Escalated within 60s
await dark1 phase Escalated within 60s
await blind1 mail within 30s
await dark1 mail within 30s
letter blind1
letter dark1
mend dark1
quiet 4s
