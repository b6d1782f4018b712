# The repair survives an outage of the API server. The outage lasts four lease durations, during a
# drain and during a reboot. Nothing is done twice.
node down1 down2
pod stays-1 on down1
kubectl create poddisruptionbudget stays --selector=app=stays-1 --min-available=1
kubectl taint node down1 repair-reboot=:NoSchedule
await down1 why DrainBlocked within 30s
api down
quiet 12s
api up
await down1 phase Rebooting within 40s
await down1 phase Healed within 60s
await down1 taint none within 10s

kubectl taint node down2 repair-reboot=:NoSchedule
await down2 phase Rebooting within 30s
api down
quiet 12s
api up
await down2 phase Healed within 60s
await down2 taint none within 10s
