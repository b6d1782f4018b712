# A Ready node with a silent agent is escalated. It is not reset, because it still runs pods. The
# other node has no label with its number of GPUs: the exporter has learned the number, so a reboot
# that leaves a GPU missing fails.
node silent1 learned1
policy {budget: {atMostPercent: 100}, times: {agentSilentSeconds: 5, drainSeconds: 60}}
kubectl label node learned1 ossci.amd.com/gpus-
pod stays-silent1 on silent1
kubectl create poddisruptionbudget stays-silent1 --selector=app=stays-silent1 --min-available=1
break silent1 gpu-missing until reboot
await silent1 why DrainBlocked within 90s
freeze agent silent1
kubectl delete poddisruptionbudget stays-silent1
await silent1 phase Escalated within 60s
await silent1 mail within 30s
thaw agent silent1
break learned1 gpu-missing until reimage
await learned1 phase Healed within 120s
quiet 4s
