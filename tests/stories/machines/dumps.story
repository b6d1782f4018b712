# A crash kernel is loaded on this node, so a machine that is silent may be writing its dump: the BMC
# waits for dumpSeconds before it resets it.
node dumps1
policy {bmc: {dumpSeconds: 75}}
break dumps1 gpu-missing until reboot
break dumps1 stays-dark until reboot
break dumps1 crash-kernel until forever
await dumps1 phase Rebooting within 60s
await dumps1 why NotReady within 90s
quiet 40s
await dumps1 why BmcReset within 120s
await dumps1 phase Healed within 90s
