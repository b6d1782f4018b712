# The remediator loses the API server in each phase. The outage lasts four lease durations; api-down
# covers the other phases. The agents still reach the API server and finish their orders. Nothing is
# done twice.
node off-waits1 off-images1 off-settles1 off-proves1 off-asked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {drainSeconds: 120, reimageSeconds: 120, bootSeconds: 180, proofSeconds: 120, stabiliseSeconds: 8}, proof: {gapSeconds: 12}}
break off-images1 reimage-hangs until forever
kubectl annotate node off-waits1 ossci.amd.com/hold=wait
kubectl taint node off-waits1 off-proves1 repair-reboot=:NoSchedule
kubectl taint node off-images1 repair-reimage=:NoSchedule
kubectl taint node off-asked1 repair-manual=:NoSchedule
await off-proves1 phase Stabilising within 60s
kubectl taint node off-settles1 repair-reboot=:NoSchedule
await off-waits1 why OnHold within 60s
await off-images1 agent Running within 60s
await off-asked1 phase Escalated within 60s
await off-settles1 phase Stabilising within 60s
await off-proves1 phase Proving within 60s

api down
kubectl annotate node off-waits1 ossci.amd.com/hold-
mend off-images1
quiet 13s
api up
await off-waits1 phase Healed within 90s
await off-images1 phase Healed within 90s
await off-settles1 phase Healed within 90s
await off-proves1 phase Healed within 90s
quiet 4s
