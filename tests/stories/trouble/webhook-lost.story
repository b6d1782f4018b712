# Polling replaces lost webhooks. Neither the firing nor the resolved notification arrives.
routes 600s 600s 600s
policy {alertmanager: {pollSeconds: 2}, times: {complaintGraceSeconds: 5}}
node lost1
break lost1 gpu-missing until reboot
await lost1 phase Healed within 90s
await lost1 alert none within 60s
unheard lost1
quiet 8s
