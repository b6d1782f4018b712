# Three failed reimages stop the rung. A person is asked for each of the three nodes. Another node
# waits until a person resumes the rung.
node images1 images2 images3 images4
policy {budget: {atMostPercent: 100}, brakes: {failedAttempts: 3, stormPercent: 100}, times: {stabiliseSeconds: 1}}
break images1 gpu-missing until forever
break images2 gpu-missing until forever
break images3 gpu-missing until forever
kubectl taint node images1 images2 images3 repair-reimage=:NoSchedule
await images1 phase Escalated within 120s
await images2 phase Escalated within 120s
await images3 phase Escalated within 120s

kubectl taint node images4 repair-reimage=:NoSchedule
await images4 why RungNotWorking within 60s
quiet 4s
kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/resumed-at=2100-01-01T00:00:00Z
await images4 phase Healed within 90s
kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/resumed-at-
