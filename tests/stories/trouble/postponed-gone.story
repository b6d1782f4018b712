# Reimages that are postponed. One Node is deleted meanwhile, and registers again when its repair is
# over: nothing begins. The pool of the other names a release meanwhile: it is ordered again and heals.
node gone3 later3
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {reimageSeconds: 60, bootSeconds: 20}}
break gone3 reimage-postponed until forever
break later3 reimage-postponed until forever
kubectl taint node gone3 later3 repair-reimage=:NoSchedule
await gone3 why ReimagePostponed within 60s
await later3 why ReimagePostponed within 60s
kubectl delete node gone3
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {reimageSeconds: 60, bootSeconds: 20}, pool: {reimage: {rocm: 6.4.3}}}
mend later3
await later3 phase Healed within 90s
await gone3 phase NodeGone within 90s
mend gone3
register gone3
quiet 6s
