# A stricter mode stops a drain. The policy changes to mode taint during the drain: the drain stops
# and the budget slot is free. When the policy allows reboots again, the repair continues.
node middle1
policy {times: {drainSeconds: 120, stabiliseSeconds: 1}}
pod stays-middle1 on middle1
kubectl create poddisruptionbudget stays-middle1 --selector=app=stays-middle1 --min-available=1
kubectl taint node middle1 repair-reboot=:NoSchedule
await middle1 why DrainBlocked within 60s
policy {pool: {mode: taint}, times: {drainSeconds: 120, stabiliseSeconds: 1}}
await middle1 why ModeTaintOnly within 30s
kubectl delete poddisruptionbudget stays-middle1
quiet 4s
policy {pool: {mode: reboot}, times: {drainSeconds: 120, stabiliseSeconds: 1}}
await middle1 phase Healed within 60s
