# A machine that hangs in its shutdown: the agent took the order, no new boot comes, the kubelet is silent. Its BMC resets it,
# and what heals it is the proof.
node hangs1
break hangs1 gpu-missing until reboot
break hangs1 stays-dark until reboot
await hangs1 phase Rebooting within 60s
await hangs1 why BmcReset within 180s
await hangs1 phase Healed within 90s
