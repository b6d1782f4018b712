# A person has a node and asks for a proof. It fails while a fault is there, and the node stays with
# the person, without another mail. The second passes, and the node is free.
node verified1
kubectl taint node verified1 repair-manual=:NoSchedule
await verified1 phase Escalated within 60s
await verified1 mail within 20s
letter verified1
break verified1 gpu-missing until forever
refused ossci verify verified1 --reason=card-replaced --by=ann
await verified1 why ProofFailed within 10s
mend verified1
ossci verify verified1 --reason=cable-pushed --by=ann
await verified1 phase Healed within 30s
await verified1 taint none within 10s
refused ossci verify verified1 --reason=again
