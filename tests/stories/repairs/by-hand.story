# A taint that a person places starts a rung. A hold stops every action on a broken node. Removing
# the taint releases the node.
node hand1 hand2
kubectl taint node hand1 repair-reboot=:NoSchedule
await hand1 phase Rebooting within 30s
await hand1 phase Healed within 60s
await hand1 taint none within 10s

kubectl annotate node hand2 ossci.amd.com/hold=waiting-for-parts
break hand2 gpu-missing until forever
await hand2 taint repair-reboot within 60s
quiet 5s
kubectl taint node hand2 repair-reboot-
await hand2 phase Released within 20s
await hand2 taint none within 1s
quiet 5s
