# No server of the network test answers one node, while the others get their answers: its path is
# at fault. It comes back.
node path1 path2 path3
break path1 path-dead until forever
await path1 taint slow-network within 90s
mend path1
await path1 phase Recovered within 90s
await path1 taint none within 10s
