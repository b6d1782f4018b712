# A storm taints all four nodes and reboots none. They complain within seconds. After the storm the
# first node has to heal before the second reboot starts.
node storm1 storm2 storm3 storm4
policy {brakes: {stormSeconds: 110}, budget: {atMostPercent: 100}}
kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/pause=until-all-four-have-asked
break storm1 gpu-missing until reboot
break storm2 gpu-missing until reboot
break storm3 gpu-missing until reboot
break storm4 gpu-missing until reboot
await storm1 why Paused within 60s
await storm2 why Paused within 60s
await storm3 why Paused within 60s
await storm4 why Paused within 60s
kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/pause-
await storm1 why StormBrake within 30s
await storm4 why StormBrake within 30s
# The checks pause under the taint, so the alerts end after a minute. That would call a reboot back
# that is just ordered, so the storm lasts longer.
await storm1 alert none within 90s
await storm2 alert none within 30s
await storm3 alert none within 30s
await storm4 alert none within 30s
quiet 8s
await storm1 phase Healed within 180s
await storm2 phase Healed within 120s
await storm3 phase Healed within 120s
await storm4 phase Healed within 120s
