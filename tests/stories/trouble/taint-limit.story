# The taint limit is half of the pool. The next node stays untainted until a slot is free.
node limit1 limit2
policy {brakes: {taintPercent: 50}}
kubectl annotate node limit1 ossci.amd.com/hold=keep-it-tainted
break limit1 gpu-missing until reboot
await limit1 taint repair-reboot within 60s
break limit2 gpu-missing until reboot
await limit2 why TaintLimit within 60s
quiet 4s
kubectl annotate node limit1 ossci.amd.com/hold-
await limit1 phase Healed within 60s
await limit2 taint repair-reboot within 60s
await limit2 phase Healed within 60s
