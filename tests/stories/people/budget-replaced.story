# Somebody replaces the budget object while a node holds the pool's only slot. The record says that
# the slot is in use, so the next node waits. People ask for both repairs, because an alert would end
# while its node waits.
node slot1 slot2
pod stays-slot1 on slot1
kubectl create poddisruptionbudget stays-slot1 --selector=app=stays-slot1 --min-available=1
kubectl taint node slot1 repair-reboot:NoSchedule
await slot1 why DrainBlocked within 90s
kubectl taint node slot2 repair-reboot:NoSchedule
await slot2 why WaitingForBudget within 60s
kubectl -n ossci delete configmap ossci-budget
kubectl -n ossci create configmap ossci-budget
quiet 6s
kubectl delete poddisruptionbudget stays-slot1
await slot1 phase Healed within 90s
await slot2 phase Healed within 120s
