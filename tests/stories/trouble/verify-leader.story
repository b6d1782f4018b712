# A person asks for a proof, and the controllers are killed before one has heard of it. The command
# waits until another leads, and says how the proof ended.
node waits1
kubectl taint node waits1 repair-manual=:NoSchedule
await waits1 phase Escalated within 60s
kill controller
ossci verify waits1 --reason=cable-pushed --by=ann
await waits1 phase Healed within 30s
await waits1 taint none within 10s
