# A reimage script exits with status 75: nothing was changed, try later. It is ordered again until it
# begins. A hold is asked before each order.
node later1 later2
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {reimageSeconds: 60}}
break later1 reimage-postponed until forever
break later2 reimage-postponed until forever
kubectl taint node later1 later2 repair-reimage=:NoSchedule
await later1 why ReimagePostponed within 60s
await later2 why ReimagePostponed within 60s
mend later1
kubectl annotate node later2 ossci.amd.com/hold=apt-runs
await later2 why OnHold within 40s
await later1 phase Healed within 90s
mend later2
kubectl annotate node later2 ossci.amd.com/hold-
await later2 phase Healed within 90s
quiet 4s
