# The site's provisioning service reimages, and the agent is not asked to: one node is healed by it, of one the Node goes with the
# old system and comes with the new one, one fails, one never ends, one is back on its old boot. Nobody is reimaged twice, also when
# the remediator is killed in the middle; one that a person holds before it is asked for is not asked for. A new disk remembers no GPUs:
# the record does, so one that is still gone is missed.
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
await pv-ends1 phase Escalated within 90s
await pv-learned2 phase Escalated within 60s
kubectl annotate node pv-held1 ossci.amd.com/hold-
await pv-held1 phase Healed within 90s
quiet 4s
