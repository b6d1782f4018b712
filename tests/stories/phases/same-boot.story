# A Node recreated on the same boot keeps its repair in each phase, and gets its taint again.
node sa-drains1 sa-out1 sa-images1 sa-settles1 sa-proves1 sa-asked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {drainSeconds: 120, reimageSeconds: 120, bootSeconds: 180, proofSeconds: 120, stabiliseSeconds: 8}, proof: {gapSeconds: 12}}
pod stays-sa-drains1 on sa-drains1
kubectl create poddisruptionbudget stays-sa-drains1 --selector=app=stays-sa-drains1 --min-available=1
pod stays-sa-out1 on sa-out1
kubectl create poddisruptionbudget stays-sa-out1 --selector=app=stays-sa-out1 --min-available=1
break sa-images1 reimage-hangs until forever
kubectl taint node sa-drains1 sa-out1 repair-reboot=:NoSchedule
kubectl taint node sa-images1 repair-reimage=:NoSchedule
kubectl taint node sa-asked1 repair-manual=:NoSchedule
await sa-drains1 why DrainBlocked within 60s
await sa-out1 why DrainBlocked within 60s
await sa-out1 taint repair-reboot within 20s
freeze agent sa-out1
kubectl delete poddisruptionbudget stays-sa-out1
await sa-out1 why RebootOrdered within 60s
await sa-images1 agent Running within 60s
await sa-asked1 phase Escalated within 60s
kubectl taint node sa-proves1 repair-reboot=:NoSchedule
await sa-proves1 phase Stabilising within 60s
kubectl taint node sa-settles1 repair-reboot=:NoSchedule
await sa-settles1 phase Stabilising within 60s
await sa-proves1 phase Proving within 60s

api down
kubectl delete node sa-drains1 sa-out1 sa-images1 sa-settles1 sa-proves1 sa-asked1
register sa-drains1 sa-out1 sa-images1 sa-settles1 sa-proves1 sa-asked1
api up
await sa-asked1 taint repair-manual within 60s
await sa-out1 taint repair-reboot within 60s
mend sa-images1
thaw agent sa-out1
kubectl delete poddisruptionbudget stays-sa-drains1
await sa-drains1 phase Healed within 90s
await sa-out1 phase Healed within 90s
await sa-images1 phase Healed within 90s
await sa-settles1 phase Healed within 90s
await sa-proves1 phase Healed within 90s
quiet 4s
