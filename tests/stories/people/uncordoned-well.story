# A person cordons the node, repairs it and uncordons it within minutes; the alert is over. The
# check before the reboot passes, so there is no reboot.
node swap1
kubectl cordon swap1
break swap1 gpu-missing until forever
await swap1 why Cordoned within 60s
mend swap1
await swap1 alert none within 90s
kubectl uncordon swap1
await swap1 phase Recovered within 60s
await swap1 taint none within 20s
quiet 4s
