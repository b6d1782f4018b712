# Unknown silences block every repair. Nothing disruptive starts without an Alertmanager. Silences
# are unknown until one answers again.
node gone1
policy {alertmanager: {pollSeconds: 1}}
kubectl annotate node gone1 ossci.amd.com/hold=no-alertmanager-answers
break gone1 gpu-missing until reboot
await gone1 why OnHold within 60s
kill alertmanager-1
kill alertmanager-2
kubectl annotate node gone1 ossci.amd.com/hold-
await gone1 why AlertsUnknown within 30s
quiet 4s
start alertmanager-1
await gone1 phase Healed within 60s
