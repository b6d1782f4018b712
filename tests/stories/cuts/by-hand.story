# A taint that a person places starts the rung.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node taint1
kubectl taint node taint1 repair-reboot=:NoSchedule
await taint1 phase Healed within 60s
await taint1 taint none within 10s
