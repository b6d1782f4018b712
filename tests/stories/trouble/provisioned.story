# The site's provisioning service reimages, and the agent is not asked to: one node is healed by it, of one the Node goes with the
# old system and comes with the new one, one fails, one never ends, one is back on its old boot. Nobody is reimaged twice, also when
# the remediator is killed in the middle; one that a person holds before it is asked for is not asked for. A new disk remembers no GPUs:
# the record does, so one that is still gone is missed.
node heals1 rejoins1 fails1 ends1 held1 learned2
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {captureSeconds: 4, drainSeconds: 60, reimageSeconds: 40}, reimage: {service: PROVISIONING}}
kubectl label node learned2 ossci.amd.com/gpus-
break learned2 gpu-missing until forever
break heals1 gpu-missing until reimage
break rejoins1 gpu-missing until reimage
break rejoins1 reimage-hangs until forever
break fails1 reimage-fails until forever
break ends1 reimage-hangs until forever
pod stays-held1 on held1
kubectl create poddisruptionbudget stays-held1 --selector=app=stays-held1 --min-available=1
kubectl taint node heals1 rejoins1 fails1 ends1 held1 learned2 repair-reimage=:NoSchedule
await rejoins1 phase Reimaging within 60s
await held1 why DrainBlocked within 60s
kubectl annotate node held1 ossci.amd.com/hold=mine
kubectl delete poddisruptionbudget stays-held1
await held1 why OnHold within 30s
await ends1 phase Reimaging within 60s
kill controller
kubectl delete node rejoins1
mend rejoins1
register rejoins1
await heals1 phase Healed within 90s
await rejoins1 phase Healed within 120s
await fails1 phase Escalated within 60s
await ends1 phase Escalated within 90s
await learned2 phase Escalated within 60s
kubectl annotate node held1 ossci.amd.com/hold-
await held1 phase Healed within 90s
quiet 4s
