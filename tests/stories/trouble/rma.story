# Three of ten nodes are in the hands of people, tainted and cordoned. They do not count as down, so a
# dead node is reset by its BMC.
node rma1 rma2 rma3 dead1 well1 well2 well3 well4 well5 well6
kubectl taint node rma1 rma2 rma3 repair-manual=:NoSchedule
kubectl cordon rma1 rma2 rma3
await rma1 phase Escalated within 60s
await rma2 phase Escalated within 90s
await rma3 phase Escalated within 150s
break dead1 gpu-missing until reboot
break dead1 stays-dark until reboot
await dead1 phase Rebooting within 90s
await dead1 why BmcReset within 180s
await dead1 phase Healed within 90s
