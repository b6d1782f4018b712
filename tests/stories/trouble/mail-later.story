# A site without mail: a node needs a person, and its record says so. Another such Node is deleted
# meanwhile. When the policy names a mail server, the first one is heard of, and the deleted one never is.
node later1 later2
policy {mail: null}
kubectl taint node later1 later2 repair-manual=:NoSchedule
await later1 phase Escalating within 30s
await later2 phase Escalating within 30s
await later1 says mail within 30s
kubectl delete node later2
await later2 phase NodeGone within 60s
quiet 5s
policy {}
await later1 mail within 60s
await later1 phase Escalated within 30s
quiet 5s
letter later1
