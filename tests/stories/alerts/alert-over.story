# An alert that resolves early is never sent. It resolves within group_wait. An alert that was sent
# is later sent as resolved. The strike, the alert, the webhook and the taint happen in this order.
routes 10s 3s 600s
node brief1 long1
break brief1 slow-network until forever
await brief1 alert firing within 60s
mend brief1
await brief1 alert none within 30s

# The group of long1 starts to wait after that of brief1: once it is sent, brief1 had its chance.
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
