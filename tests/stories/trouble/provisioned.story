# A provisioning service reimages the nodes. The agent is not asked to. One node is healed. One Node
# is deleted with the old system and registers again with the new one. One reimage fails, one never
# finishes, and one node comes back on its old boot. No node is reimaged twice, even when the
# controller is killed. A node that is held before the request is not requested. A new disk has no
# cached number of GPUs. The record has it, so a GPU that is still missing is noticed.
node pv-heals1 pv-rejoins1 pv-fails1 pv-ends1 pv-held1 pv-learned2
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {captureSeconds: 4, drainSeconds: 60, reimageSeconds: 40}, reimage: {service: PROVISIONING}}
kubectl label node pv-learned2 ossci.amd.com/gpus-
break pv-learned2 gpu-missing until forever
break pv-heals1 gpu-missing until reimage
break pv-rejoins1 gpu-missing until reimage
break pv-rejoins1 reimage-hangs until forever
break pv-fails1 reimage-fails until forever
break pv-ends1 reimage-hangs until forever
pod stays-pv-held1 on pv-held1
kubectl create poddisruptionbudget stays-pv-held1 --selector=app=stays-pv-held1 --min-available=1
kubectl taint node pv-heals1 pv-rejoins1 pv-fails1 pv-ends1 pv-held1 pv-learned2 repair-reimage=:NoSchedule
await pv-rejoins1 phase Reimaging within 60s
await pv-held1 why DrainBlocked within 60s
kubectl annotate node pv-held1 ossci.amd.com/hold=mine
kubectl delete poddisruptionbudget stays-pv-held1
await pv-held1 why OnHold within 30s
await pv-ends1 phase Reimaging within 60s
kill controller
kubectl delete node pv-rejoins1
mend pv-rejoins1
register pv-rejoins1
await pv-heals1 phase Healed within 90s
await pv-rejoins1 phase Healed within 120s
await pv-fails1 phase Escalated within 60s
await pv-ends1 phase Escalated within 150s
await pv-learned2 phase Escalated within 120s
kubectl annotate node pv-held1 ossci.amd.com/hold-
await pv-held1 phase Healed within 90s
quiet 4s
