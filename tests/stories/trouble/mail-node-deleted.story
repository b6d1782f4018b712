# A Node is deleted, and another is released, while the mail server refuses their mails; the policy is
# read again in the middle of it. Neither mail is sent afterwards; that of the third node is.
node mute1 mute2 mute3
mail refuses 451
kubectl taint node mute1 mute2 mute3 repair-manual=:NoSchedule
await mute1 says no mail server has accepted the mail yet within 60s
await mute2 says no mail server has accepted the mail yet within 60s
await mute3 says no mail server has accepted the mail yet within 60s
kubectl delete node mute1
kubectl taint node mute2 repair-manual-
await mute1 phase NodeGone within 60s
await mute2 phase Released within 60s
await refusal within 120s
mail accepts
policy {times: {stabiliseSeconds: 7}}
await mute3 mail within 100s
await mute3 phase Escalated within 30s
letter mute3
quiet 10s
