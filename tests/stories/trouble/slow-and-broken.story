# A node can be both slow and broken. The repair comes first. The network is proven when no repair
# is open, also after a person had the node. A slow network is never a reason for a reboot.
routes 0s 1s 600s
node slowed1 broken1 person1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {stabiliseSeconds: 1}}
break slowed1 slow-network until forever
kubectl annotate node broken1 ossci.amd.com/hold=until-it-is-slow
kubectl taint node broken1 repair-reboot=:NoSchedule
kubectl taint node person1 repair-manual=:NoSchedule
await broken1 why OnHold within 60s
alert broken1 cluster=lab remediation=slow-network check=network
await broken1 taint slow-network within 60s
await person1 phase Escalated within 60s
alert person1 cluster=lab remediation=slow-network check=network
await person1 taint slow-network within 60s
await slowed1 phase Proving within 60s
kubectl taint node slowed1 repair-reboot=:NoSchedule
kubectl annotate node broken1 ossci.amd.com/hold-
await slowed1 phase Healed within 90s
await broken1 phase Healed within 90s
await broken1 phase Recovered within 60s
mend slowed1
await slowed1 phase Recovered within 60s
quiet 4s
kubectl taint node person1 repair-manual-
await person1 phase Released within 30s
await person1 phase Recovered within 60s
await person1 taint none within 10s
