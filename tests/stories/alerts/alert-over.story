# An alert that is over before its group waited is told to nobody. One that was told is taken back when it is over. On
# its way each step comes after the one before.
routes 10s 3s 600s
node brief1 long1
break brief1 slow-network until forever
await brief1 alert firing within 60s
mend brief1
await brief1 alert none within 30s

# Its group waits from later on: when it is told, the first one had its chance.
break long1 slow-network until forever
await long1 strikes 3 within 60s
await long1 webhook firing within 60s
await long1 taint slow-network within 30s
order long1 strike alert webhook taint
unheard brief1
mend long1
await long1 webhook resolved within 30s
await long1 phase Recovered within 60s
await long1 taint none within 30s
unheard brief1
