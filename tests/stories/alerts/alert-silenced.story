# A silence delays the alert until it ends. It does not matter which Alertmanager the silence was
# created in.
routes 2s 3s 600s
node hushed1 loud1
silence hushed1
break hushed1 slow-network until forever
await hushed1 alert suppressed within 60s

# The other node complains later and is sent: the silence is the only difference.
break loud1 slow-network until forever
await loud1 webhook firing within 60s
await loud1 taint slow-network within 30s
unheard hushed1

unsilence hushed1
await hushed1 webhook firing within 30s
await hushed1 taint slow-network within 30s
mend hushed1
mend loud1
await hushed1 phase Recovered within 60s
await loud1 phase Recovered within 60s
await hushed1 webhook resolved within 30s
await loud1 webhook resolved within 30s
await hushed1 taint none within 30s
await loud1 taint none within 30s
