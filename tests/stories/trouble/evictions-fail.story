# Two disruption budgets for one pod: the API server answers its eviction with 500. The other pods
# are asked all the same, and the record has the answer.
node twice1
pod twice-1 on twice1
pod plain-1 on twice1
kubectl create poddisruptionbudget twice-a --selector=app=twice-1 --min-available=0
kubectl create poddisruptionbudget twice-b --selector=app=twice-1 --min-available=0
break twice1 gpu-missing until reboot
await twice1 pod plain-1 gone within 90s
await twice1 why DrainBlocked within 20s
await twice1 phase Healed within 120s
kubectl delete poddisruptionbudget twice-a twice-b
