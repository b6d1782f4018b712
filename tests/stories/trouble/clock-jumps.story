# A clock jump expires no deadline. The remediator's clock jumps an hour ahead during a reboot, and
# back during the proof. A remediator that starts with a wrong clock does nothing disruptive until
# the clock is right.
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
