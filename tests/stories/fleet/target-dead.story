# The servers of the network test die: no node gets an answer any more, and no node is to blame. This
# story has a lab of its own, because in another one most nodes get their answers.
routes 1s 2s 600s
node target1 target2 target3
break target1 path-dead until forever
break target2 path-dead until forever
break target3 path-dead until forever
await target1 strikes 3 within 60s
quiet 30s
mend target1
mend target2
mend target3
await target1 strikes 0 within 60s
quiet 10s
