# A maintenance taint or a cordon stops a repair. The cordon is set before anything starts on one
# node, and during the drain on another. A PodDisruptionBudget that never allows an eviction is
# overruled at the drain's deadline.
node marked1 parked1 cordon1
policy {maintenance: {taints: [site.example/technician]}}
kubectl taint node marked1 site.example/technician=:NoSchedule
break marked1 gpu-missing until reboot
await marked1 why UnderMaintenance within 60s
quiet 3s
kubectl taint node marked1 site.example/technician-
await marked1 phase Healed within 60s

kubectl cordon parked1
break parked1 gpu-missing until reboot
await parked1 why Cordoned within 60s
quiet 3s
kubectl uncordon parked1
await parked1 phase Healed within 60s

pod stubborn-1 on cordon1
kubectl create poddisruptionbudget stubborn --selector=app=stubborn-1 --min-available=1
break cordon1 gpu-missing until reboot
await cordon1 why DrainBlocked within 60s
kubectl cordon cordon1
await cordon1 why Cordoned within 20s
quiet 3s
kubectl uncordon cordon1
await cordon1 phase Draining within 20s
await cordon1 phase Rebooting within 40s
await cordon1 phase Healed within 60s
