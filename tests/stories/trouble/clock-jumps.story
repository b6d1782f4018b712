# The remediator's clock jumps an hour ahead while a node reboots, and back while it is proven: no deadline is believed to be
# past. One that starts with a wrong clock does nothing disruptive until it is right.
node jumps1 starts1
clock +0s
kubectl taint node jumps1 repair-reboot=:NoSchedule
await jumps1 phase Rebooting within 60s
clock +3600s
await jumps1 phase Stabilising within 60s
clock -3600s
await jumps1 phase Healed within 60s
clock +3600s
kill controller
kubectl taint node starts1 repair-reboot=:NoSchedule
await starts1 why ClockSkew within 60s
quiet 6s
clock +0s
await starts1 phase Healed within 60s
