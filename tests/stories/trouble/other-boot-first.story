# Somebody else reboots the nodes before our reboot. That boot is the reboot: one node waited on a
# hold, the other one drained, and neither boots again.
node waits2 drains2
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}}
kubectl annotate node waits2 ossci.amd.com/hold=a-person-looks
break waits2 gpu-missing until reboot
await waits2 why OnHold within 60s
pod stays-drains2 on drains2
kubectl create poddisruptionbudget stays-drains2 --selector=app=stays-drains2 --min-available=1
break drains2 gpu-missing until reboot
await drains2 why DrainBlocked within 90s
power waits2 drains2
await drains2 phase Healed within 90s
kubectl annotate node waits2 ossci.amd.com/hold-
await waits2 taint none within 90s
kubectl delete poddisruptionbudget stays-drains2
quiet 4s
