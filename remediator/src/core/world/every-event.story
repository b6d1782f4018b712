node n1
break n1 gpu-missing until reboot
break n1 gpu-missing until reimage
alert n1 cluster=lab remediation=manual check=site-hardware
mend n1
await n1 alert none within 90s
power n1
break n1 stays-dark until forever # and then: power n1
break n1 stays-dark until forever
break n1 hung until forever
break n1 slow-network until forever
break n1 inhibited until forever
break n1 reimage-postponed until forever
# n1: SlowBoots
# n1: Kured
kubectl delete node n1
register n1
kubectl taint node n1 repair-manual=:NoSchedule
kubectl taint node n1 repair-manual-
kubectl label node n1 lab.example/story-
kubectl label node n1 ossci.amd.com/pool-
freeze agent n1
thaw agent n1
kubectl cordon n1
kubectl uncordon n1
kubectl annotate node n1 ossci.amd.com/hold=world
kubectl taint node n1 site/technician=:NoSchedule
silence n1
# until something is due
clock +86400s
policy {pool: {windows: [{days: [], from: "22:00", to: "06:00"}]}}
policy {pool: {windows: []}}
policy {pool: {mode: taint}}
kubectl -n ossci delete configmap ossci-budget
kubectl -n ossci annotate --overwrite configmap ossci-budget ossci.amd.com/pause=world
mail refuses 451
mail accepts
clock -3600s
kill controller
