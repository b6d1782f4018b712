# Alertmanager retries until the webhook answers. No remediator runs at first. Both deliver later:
# this is one complaint and one repair.
routes 2s 3s 600s
node lost1
kubectl scale deployment ossci-remediator --namespace ossci --replicas 0
break lost1 gpu-not-responding until reboot
await lost1 webhook refused by both within 90s
kubectl scale deployment ossci-remediator --namespace ossci --replicas 2
await lost1 webhook firing by both within 90s
await lost1 taint repair-reboot within 60s
await lost1 phase Healed within 90s
await lost1 taint none within 10s
await lost1 webhook resolved within 30s
quiet 3s
