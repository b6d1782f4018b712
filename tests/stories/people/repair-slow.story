# A person has a node whose network is slow as well, and begins a reboot by hand. The repair ends the
# part of the person, and the network stays marked as slow until it is proven.
node marked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {stabiliseSeconds: 1}}
break marked1 slow-network until forever
await marked1 taint slow-network within 90s
kubectl taint node marked1 repair-manual=:NoSchedule
await marked1 phase Escalated within 60s
ossci repair marked1 --reason=card-replaced --by=ann
await marked1 taint slow-network within 1s
await marked1 phase Healed within 90s
await marked1 taint slow-network within 1s
mend marked1
await marked1 phase Recovered within 60s
await marked1 taint none within 10s
