# A PodDisruptionBudget blocks the drain. The eviction is retried until a person deletes the budget.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node stuck1
pod stays-stuck1 on stuck1
kubectl create poddisruptionbudget stays-stuck1 --selector=app=stays-stuck1 --min-available=1
break stuck1 gpu-missing until reboot
alert stuck1 cluster=lab remediation=reboot check=rocm-smi
await stuck1 why DrainBlocked within 60s
kubectl delete poddisruptionbudget stays-stuck1
await stuck1 phase Healed within 60s
await stuck1 taint none within 10s
