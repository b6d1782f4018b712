# A node is checked before its repair. One node holds the pool's only budget slot while the
# complaints of two others grow old. One of the two has recovered and is not rebooted; the other
# still fails.
node first1 better1 still1
policy {brakes: {stormPercent: 100}, times: {drainSeconds: 120, stabiliseSeconds: 1}}
pod stays-first1 on first1
kubectl create poddisruptionbudget stays-first1 --selector=app=stays-first1 --min-available=1
kubectl taint node first1 repair-reboot=:NoSchedule
await first1 why DrainBlocked within 60s
break better1 gpu-missing until forever
break still1 gpu-missing until reboot
await better1 why WaitingForBudget within 60s
await still1 why WaitingForBudget within 60s
mend better1
quiet 4s
kubectl taint node first1 repair-reboot-
await better1 phase Recovered within 60s
await still1 phase Healed within 90s
await better1 taint none within 10s
