# Deleting a Node ends its repair in each phase; after an order, when it is not created again.
node de-waits1 de-drains1 de-images1 de-boots1 de-settles1 de-proves1 de-asked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100, stormSeconds: 1}, times: {drainSeconds: 120, reimageSeconds: 90, bootSeconds: 90, proofSeconds: 90, stabiliseSeconds: 8}, proof: {gapSeconds: 12}}
pod stays-de-drains1 on de-drains1
kubectl create poddisruptionbudget stays-de-drains1 --selector=app=stays-de-drains1 --min-available=1
break de-images1 reimage-hangs until forever
break de-boots1 stays-dark until forever
kubectl annotate node de-waits1 ossci.amd.com/hold=wait
kubectl taint node de-waits1 de-drains1 de-boots1 de-settles1 de-proves1 repair-reboot=:NoSchedule
kubectl taint node de-images1 repair-reimage=:NoSchedule
kubectl taint node de-asked1 repair-manual=:NoSchedule

await de-settles1 phase Stabilising within 60s
kubectl delete node de-settles1
await de-proves1 phase Proving within 60s
kubectl delete node de-proves1
await de-waits1 why OnHold within 60s
await de-drains1 why DrainBlocked within 60s
await de-images1 agent Running within 60s
await de-boots1 agent Running within 60s
await de-asked1 phase Escalated within 60s
kubectl delete node de-waits1 de-drains1 de-images1 de-boots1 de-asked1

await de-waits1 phase NodeGone within 30s
await de-drains1 phase NodeGone within 30s
await de-asked1 phase NodeGone within 30s
await de-images1 why NodeGone within 30s
await de-boots1 why NodeGone within 30s
await de-images1 phase NodeGone within 120s
await de-boots1 phase NodeGone within 120s
await de-settles1 phase NodeGone within 30s
await de-proves1 phase NodeGone within 30s
mend de-images1
mend de-boots1
quiet 6s
