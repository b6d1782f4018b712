# A changed reimage script is not run. Nor is a deleted one. An order names the script by its hash
# at the time of the order. The agent refuses another script, and a person is asked.
node changes1 vanishes1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {captureSeconds: 2, reimageSeconds: 120, agentSilentSeconds: 600}, reimage: {key: other.sh}}
kubectl -n ossci patch configmap ossci-reimage --type=merge --patch={"data":{"other.sh":"false"}}
freeze agent changes1
freeze agent vanishes1
kubectl taint node changes1 vanishes1 repair-reimage=:NoSchedule
await changes1 order reimage within 60s
await vanishes1 order reimage within 60s
kubectl -n ossci patch configmap ossci-reimage --type=merge --patch={"data":{"other.sh":"true"}}
thaw agent changes1
await changes1 phase Escalated within 60s
kubectl -n ossci patch configmap ossci-reimage --type=merge --patch={"data":{"other.sh":null}}
thaw agent vanishes1
await vanishes1 phase Escalated within 60s
quiet 4s
