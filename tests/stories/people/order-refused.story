# An order is data. The API server refuses a command, an id that is a path, a proof without passes
# and a script that is not named by ConfigMap, key and hash. The agent refuses a reimage that the
# repair in the record does not ask for.
node ordered1
kubectl taint node ordered1 repair-manual=:NoSchedule
await ordered1 phase Escalated within 60s
refused kubectl patch nrep ordered1 --type=merge -p {"spec":{"order":{"id":"1-x","kind":"prove","bootID":"b","issuedAt":"2026-01-01T00:00:00Z","deadline":"2036-01-01T00:00:00Z","proof":{"of":"gpu","passes":1,"failures":1,"gapSeconds":1,"after":"2026-01-01T00:00:00Z","loadTest":{"command":["/bin/sh","-c","id"],"seconds":5}}}}}
refused kubectl patch nrep ordered1 --type=merge -p {"spec":{"order":{"id":"../../etc/x","kind":"prove","bootID":"b","issuedAt":"2026-01-01T00:00:00Z","deadline":"2036-01-01T00:00:00Z","proof":{"of":"gpu","passes":1,"failures":1,"gapSeconds":1,"after":"2026-01-01T00:00:00Z"}}}}
refused kubectl patch nrep ordered1 --type=merge -p {"spec":{"order":{"id":"1-x","kind":"prove","bootID":"b","issuedAt":"2026-01-01T00:00:00Z","deadline":"2036-01-01T00:00:00Z","proof":{"of":"gpu","passes":0,"failures":1,"gapSeconds":1,"after":"2026-01-01T00:00:00Z"}}}}
refused kubectl patch nrep ordered1 --type=merge -p {"spec":{"order":{"id":"1-x","kind":"prove","bootID":"b","issuedAt":"2026-01-01T00:00:00Z","deadline":"2036-01-01T00:00:00Z","proof":{"of":"gpu","passes":1,"failures":1,"gapSeconds":1,"after":"2026-01-01T00:00:00Z","loadTest":{"script":{"configMap":"../ossci","key":"passes.sh"},"seconds":5}}}}}
refused kubectl patch nrep ordered1 --type=merge -p {"spec":{"order":{"id":"1-x","kind":"prove","bootID":"b","issuedAt":"2026-01-01T00:00:00Z","deadline":"2036-01-01T00:00:00Z","proof":{"of":"gpu","passes":1,"failures":1,"gapSeconds":1,"after":"2026-01-01T00:00:00Z","loadTest":{"script":{"configMap":"ossci-load-test","key":"passes.sh","sha256":";id"},"seconds":5}}}}}
quiet 4s
