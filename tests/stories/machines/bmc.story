# The BMC resets a machine that hangs during shutdown. The agent accepted the order, no new boot
# follows and the kubelet is silent. The proof after the reset heals the node.
node hangs1
break hangs1 gpu-missing until reboot
break hangs1 stays-dark until reboot
await hangs1 phase Rebooting within 60s
await hangs1 why BmcReset within 180s
await hangs1 phase Healed within 90s
