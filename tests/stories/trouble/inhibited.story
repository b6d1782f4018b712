# A program on the node holds an inhibitor lock, so the host refuses the reboot. The agent asks
# again until the lock is gone. A hold calls the reboot back. A person hears after half of the time
# of the reboot.
node lock1 lock2 lock3
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {bootSeconds: 120}}
break lock1 inhibited until forever
break lock2 inhibited until forever
break lock3 inhibited until forever
kubectl taint node lock1 lock2 lock3 repair-reboot=:NoSchedule
await lock1 why RebootInhibited within 60s
await lock2 why RebootInhibited within 60s
await lock3 why RebootInhibited within 60s
mend lock1
kubectl annotate node lock2 ossci.amd.com/hold=apt-runs
await lock2 why OnHold within 40s
await lock1 phase Healed within 90s
await lock3 phase Escalated within 120s
await lock3 mail within 20s
mend lock2
kubectl annotate node lock2 ossci.amd.com/hold-
await lock2 phase Healed within 90s
quiet 4s
