# Five GPU nodes show the five outcomes. One stays healthy, one is healed by a reboot, one by a
# reimage, one is escalated to a person, and one has a slow network that recovers by itself.
node node1 node2 node3 node4 node5

say node2, node3 and node4 each lose a GPU; node5's network becomes slow
break node2 gpu-missing until reboot
break node3 gpu-missing until reimage
break node4 gpu-missing until forever
break node5 slow-network until forever

await node5 taint slow-network within 60s
say somebody mends the switch port of node5
mend node5

await node2 taint repair-reboot within 60s
await node3 taint repair-reboot within 60s
await node4 taint repair-reboot within 60s
await node5 phase Recovered within 60s
await node5 taint none within 30s
await node2 phase Healed within 90s
await node2 taint none within 10s
await node3 taint repair-reimage within 60s
await node3 phase Healed within 90s
await node3 taint none within 10s
await node4 taint repair-manual within 90s
await node4 phase Escalated within 60s
await node4 mail within 30s
letter node4
