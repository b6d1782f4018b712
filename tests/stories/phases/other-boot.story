# A Node recreated on another boot is proven first. This holds in each phase. When the proof passes,
# the episode ends, even if a person had been asked.
node ot-drains1 ot-out1 ot-images1 ot-settles1 ot-proves1 ot-asked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {drainSeconds: 120, reimageSeconds: 120, bootSeconds: 180, proofSeconds: 120, stabiliseSeconds: 8}, proof: {gapSeconds: 12}}
pod stays-ot-drains1 on ot-drains1
kubectl create poddisruptionbudget stays-ot-drains1 --selector=app=stays-ot-drains1 --min-available=1
pod stays-ot-out1 on ot-out1
kubectl create poddisruptionbudget stays-ot-out1 --selector=app=stays-ot-out1 --min-available=1
break ot-images1 reimage-hangs until forever
kubectl taint node ot-drains1 ot-out1 repair-reboot=:NoSchedule
kubectl taint node ot-images1 repair-reimage=:NoSchedule
kubectl taint node ot-asked1 repair-manual=:NoSchedule
await ot-drains1 why DrainBlocked within 60s
await ot-out1 why DrainBlocked within 60s
freeze agent ot-out1
kubectl delete poddisruptionbudget stays-ot-out1
await ot-out1 why RebootOrdered within 60s
await ot-images1 agent Running within 60s
await ot-asked1 phase Escalated within 60s
kubectl taint node ot-proves1 repair-reboot=:NoSchedule
await ot-proves1 phase Stabilising within 60s
kubectl taint node ot-settles1 repair-reboot=:NoSchedule
await ot-settles1 phase Stabilising within 60s
await ot-proves1 phase Proving within 60s
await ot-proves1 order prove within 20s

api down
kubectl delete node ot-drains1 ot-out1 ot-images1 ot-settles1 ot-proves1 ot-asked1
power ot-drains1 ot-out1 ot-images1 ot-settles1 ot-proves1 ot-asked1
register ot-drains1 ot-out1 ot-images1 ot-settles1 ot-proves1 ot-asked1
api up
await ot-drains1 phase Healed within 90s
await ot-out1 phase Healed within 90s
await ot-images1 phase Healed within 90s
await ot-settles1 phase Healed within 90s
await ot-proves1 phase Healed within 90s
await ot-asked1 phase Healed within 90s
quiet 4s
