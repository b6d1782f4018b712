# Removing our taint ends the repair in each phase. Nothing more is ordered. Running actions finish:
# a reimage that has begun is completed and no reboot follows it, and a boot in progress completes.
node un-drains1 un-images1 un-boots1 un-settles1 un-proves1 un-asked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {drainSeconds: 120, reimageSeconds: 120, bootSeconds: 180, proofSeconds: 120, stabiliseSeconds: 8}, proof: {gapSeconds: 12}}
pod stays-un-drains1 on un-drains1
kubectl create poddisruptionbudget stays-un-drains1 --selector=app=stays-un-drains1 --min-available=1
break un-images1 reimage-hangs until forever
break un-boots1 stays-dark until forever
kubectl taint node un-drains1 un-boots1 un-settles1 un-proves1 repair-reboot=:NoSchedule
kubectl taint node un-images1 repair-reimage=:NoSchedule
kubectl taint node un-asked1 repair-manual=:NoSchedule

await un-settles1 phase Stabilising within 60s
kubectl taint node un-settles1 repair-reboot-
await un-proves1 phase Proving within 60s
kubectl taint node un-proves1 repair-reboot-
await un-drains1 why DrainBlocked within 60s
await un-images1 agent Running within 60s
await un-boots1 phase Rebooting within 60s
await un-boots1 agent Running within 60s
await un-asked1 phase Escalated within 60s
kubectl taint node un-drains1 un-boots1 repair-reboot-
kubectl taint node un-images1 repair-reimage-
kubectl taint node un-asked1 repair-manual-

await un-drains1 phase Released within 30s
await un-images1 phase Released within 30s
await un-boots1 phase Released within 30s
await un-settles1 phase Released within 30s
await un-proves1 phase Released within 30s
await un-asked1 phase Released within 30s
mend un-images1
mend un-boots1
quiet 6s
