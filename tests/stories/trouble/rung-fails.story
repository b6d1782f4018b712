# Three failed reboots stop the rung. A person resumes it.
node fails1 fails2 fails3 fails4
policy {pool: {mode: reboot}, brakes: {failedAttempts: 3}, budget: {atMostPercent: 100}}
break fails1 gpu-missing until forever
break fails2 gpu-missing until forever
break fails3 gpu-missing until forever
await fails1 phase Escalated within 120s
await fails2 phase Escalated within 120s
await fails3 phase Escalated within 120s

break fails4 gpu-missing until reboot
await fails4 why RungNotWorking within 60s
quiet 4s
kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/resumed-at=2100-01-01T00:00:00Z
await fails4 phase Healed within 60s
await fails4 taint none within 10s
kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/resumed-at-
