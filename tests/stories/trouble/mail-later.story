# A site without mail: a node needs a person, and its record says so. Another such Node is deleted
# meanwhile. When the policy names a mail server, the first one is heard of, and the deleted one never is.
node nomail1 nomail2
policy {mail: null}
kubectl taint node nomail1 nomail2 repair-manual=:NoSchedule
await nomail1 phase Escalating within 30s
await nomail2 phase Escalating within 30s
await nomail1 says mail within 30s
kubectl delete node nomail2
await nomail2 phase NodeGone within 60s
quiet 5s
policy {}
await nomail1 mail within 60s
await nomail1 phase Escalated within 30s
quiet 5s
letter nomail1
