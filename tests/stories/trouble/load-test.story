# A failed load test fails the proof. The checks pass after the reboot, and the site's load test
# does not. The node gets a reimage, and then the load test passes.
node loads1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, proof: {loadTest: {key: fails.sh, seconds: 20}}}
break loads1 gpu-missing until reboot
await loads1 phase Reimaging within 120s
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, proof: {loadTest: {key: passes.sh, seconds: 20}}}
await loads1 phase Healed within 120s
quiet 4s
