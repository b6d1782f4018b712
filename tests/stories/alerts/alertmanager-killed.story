# A crash of Alertmanager loses no alert. One of two is killed while an alert waits in both; later
# both are killed and lose their state. An alert that is sent twice is one complaint.
routes 6s 3s 600s
node one1 both1
break one1 slow-network until forever
await one1 alert firing within 60s
kill alertmanager-1
await one1 webhook firing within 60s
await one1 taint slow-network within 30s
start alertmanager-1

break both1 slow-network until forever
await both1 alert firing within 60s
kill alertmanager-1
kill alertmanager-2
unheard both1
start alertmanager-1
start alertmanager-2
await both1 webhook firing within 60s
await both1 taint slow-network within 30s
mend one1
mend both1
await one1 phase Recovered within 60s
await both1 phase Recovered within 60s
await one1 webhook resolved within 30s
await both1 webhook resolved within 30s
await one1 taint none within 30s
await both1 taint none within 30s
