# A recreated Node keeps its repair. A deleted one has none. On the same boot the Node gets its
# taint back; on another boot it is proven first. A deleted Node frees its budget slot.
node left1 same1 other1 goes1 next1
kubectl annotate node left1 ossci.amd.com/hold=wait
kubectl taint node left1 repair-reboot=:NoSchedule
await left1 why OnHold within 30s
kubectl delete node left1
await left1 phase NodeGone within 20s

kubectl annotate node other1 ossci.amd.com/hold=wait
kubectl taint node other1 repair-reboot=:NoSchedule
await other1 why OnHold within 30s
api down
kubectl delete node other1
power other1
register other1
api up
await other1 phase Stabilising within 30s
await other1 phase Healed within 60s

kubectl annotate node same1 ossci.amd.com/hold=wait
kubectl taint node same1 repair-reboot=:NoSchedule
await same1 why OnHold within 30s
api down
kubectl delete node same1
register same1
api up
await same1 taint repair-reboot within 30s
await same1 phase Healed within 60s

pod stays-goes1 on goes1
kubectl create poddisruptionbudget stays-goes1 --selector=app=stays-goes1 --min-available=1
kubectl taint node goes1 repair-reboot=:NoSchedule
await goes1 why DrainBlocked within 30s
kubectl taint node next1 repair-reboot=:NoSchedule
await next1 why WaitingForBudget within 30s
kubectl delete node goes1
await goes1 phase NodeGone within 20s
await next1 phase Healed within 60s
