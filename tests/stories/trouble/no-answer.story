# What could not be proven is a person's and no reason for a reimage: an exporter that is absent after the reboot, and a machine
# that does not come back.
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
mend dark1
quiet 4s
