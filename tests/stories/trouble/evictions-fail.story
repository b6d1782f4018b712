# Two disruption budgets for one pod: the API server answers its eviction with 500. The other pods
# are asked all the same, and the record has the answer.
node fails1
pod twice-1 on fails1
pod plain-1 on fails1
kubectl create poddisruptionbudget twice-a --selector=app=twice-1 --min-available=0
kubectl create poddisruptionbudget twice-b --selector=app=twice-1 --min-available=0
break fails1 gpu-missing until reboot
await fails1 pod plain-1 gone within 90s
await fails1 why DrainBlocked within 20s
await fails1 phase Healed within 120s
kubectl delete poddisruptionbudget twice-a twice-b
