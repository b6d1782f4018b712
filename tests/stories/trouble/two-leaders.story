# A leader that is frozen does nothing twice. It stops for longer than its lease during a repair,
# and the other replica leads. Then the first one continues and believes that it leads until it
# checks.
node two1 two2
kubectl taint node two1 repair-reboot=:NoSchedule
await two1 phase Draining within 30s
freeze leader
await two1 phase Proving within 60s
thaw leader
await two1 phase Healed within 60s
await two1 taint none within 10s
kubectl taint node two2 repair-reboot=:NoSchedule
await two2 phase Healed within 60s
await two2 taint none within 10s
