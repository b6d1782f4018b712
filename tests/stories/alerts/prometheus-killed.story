# A crash of Prometheus loses no strike. Both servers are killed. Two strikes, a pass during the
# outage and two more strikes cause no repair, even with group_wait 0. A third strike during the
# outage causes one.
routes 0s 3s 600s
node pass1 third1
await pass1 seen 0 within 60s
break pass1 gpu-not-responding until two-runs
await pass1 seen 2 within 60s
kill prometheus-1
kill prometheus-2
break third1 gpu-not-responding until reboot
await third1 strikes 3 within 60s
await pass1 strikes 0 within 30s
start prometheus-1
start prometheus-2
break pass1 gpu-not-responding until two-runs
await pass1 strikes 2 within 30s
await pass1 strikes 0 within 30s
await third1 taint repair-reboot within 90s
await third1 phase Healed within 90s
await third1 taint none within 10s
await third1 webhook resolved within 30s
unheard pass1
