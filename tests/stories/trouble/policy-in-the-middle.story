# The policy is changed while pods are asked to leave: the pool is only tainted from now on, so what is not out yet stops, and
# the place in the budget is free. When the pool may be rebooted again, it goes on.
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
