# The leader stops for longer than its Lease, while a node needs a person. The other replica takes over
# and sends the mail; the first one wakes up and still believes for a moment that it leads. Readers
# have one mail.
node once1
freeze leader
kubectl taint node once1 repair-manual=:NoSchedule
await once1 mail within 60s
thaw leader
await once1 phase Escalated within 30s
letter once1
quiet 10s
