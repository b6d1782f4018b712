# A person asks for repair-manual while the node drains. It replaces the lower taint at once, and a
# mail goes out. The release removes the taint and starts nothing.
node given1
pod stays-given1 on given1
kubectl create poddisruptionbudget stays-given1 --selector=app=stays-given1 --min-available=1
break given1 gpu-missing until forever
await given1 why DrainBlocked within 90s
kubectl taint node given1 repair-manual=:NoSchedule
await given1 phase Escalated within 60s
await given1 mail within 20s
kubectl taint node given1 repair-manual-
await given1 phase Released within 30s
await given1 taint none within 10s
quiet 6s
kubectl delete poddisruptionbudget stays-given1
