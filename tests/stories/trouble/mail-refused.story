# The mail server refuses every sender. The record says so in the server's words, no reconcile waits,
# and the mail goes out when the server takes it. When a person releases the node, an answer follows
# in the same thread.
node unheard1 unheard2
mail refuses 451
kubectl taint node unheard1 repair-manual=:NoSchedule
await unheard1 phase Escalating within 30s
await unheard1 says no mail server has accepted the mail yet: MAIL FROM within 30s
kubectl taint node unheard2 repair-reboot=:NoSchedule
await unheard2 phase Healed within 60s
mail accepts
await unheard1 mail within 100s
await unheard1 phase Escalated within 30s
kubectl taint node unheard1 repair-manual-
await unheard1 phase Released within 30s
await unheard1 reply within 60s
letter unheard1
