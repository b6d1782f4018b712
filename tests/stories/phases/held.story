# A person sets the hold in each phase. Actions that have not started wait. An order that no agent
# has accepted is withdrawn, also from an agent that was unreachable. A running action finishes; a
# proof and a mail continue. The story by-hand covers the waiting phase.
node ho-drains1 ho-out1 ho-images1 ho-boots1 ho-settles1 ho-asked1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {drainSeconds: 120, reimageSeconds: 120, bootSeconds: 180, proofSeconds: 120, stabiliseSeconds: 8}, proof: {gapSeconds: 12}}
pod stays-ho-drains1 on ho-drains1
kubectl create poddisruptionbudget stays-ho-drains1 --selector=app=stays-ho-drains1 --min-available=1
pod stays-ho-out1 on ho-out1
kubectl create poddisruptionbudget stays-ho-out1 --selector=app=stays-ho-out1 --min-available=1
break ho-images1 reimage-hangs until forever
break ho-boots1 stays-dark until forever
kubectl taint node ho-drains1 ho-out1 ho-boots1 ho-settles1 repair-reboot=:NoSchedule
kubectl taint node ho-images1 repair-reimage=:NoSchedule
kubectl taint node ho-asked1 repair-manual=:NoSchedule

await ho-settles1 phase Stabilising within 60s
kubectl annotate node ho-settles1 ossci.amd.com/hold=hands-off
await ho-drains1 why DrainBlocked within 60s
await ho-out1 why DrainBlocked within 60s
freeze agent ho-out1
kubectl delete poddisruptionbudget stays-ho-out1
await ho-out1 why RebootOrdered within 60s
await ho-images1 agent Running within 60s
await ho-boots1 agent Running within 60s
await ho-asked1 phase Escalated within 60s
kubectl annotate node ho-drains1 ho-out1 ho-images1 ho-boots1 ho-asked1 ossci.amd.com/hold=hands-off
mend ho-images1
mend ho-boots1
await ho-drains1 why OnHold within 30s
await ho-out1 why OnHold within 30s
await ho-images1 why OnHold within 30s
await ho-boots1 phase Healed within 60s
await ho-settles1 phase Healed within 60s
thaw agent ho-out1
quiet 4s
kubectl delete poddisruptionbudget stays-ho-drains1
kubectl annotate node ho-drains1 ho-out1 ho-images1 ossci.amd.com/hold-
await ho-drains1 phase Healed within 60s
await ho-out1 phase Healed within 60s
await ho-images1 phase Healed within 60s
