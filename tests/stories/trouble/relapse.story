# A fault that returns within a day skips the reboot. The second repair begins with a reimage. The
# third repair within a week goes to a person. Only rocm-smi sees the last fault, so one alert alone
# gives the mail its subject.
routes 1s 2s 600s
node again1
policy {times: {complaintGraceSeconds: 4}}
break again1 gpu-missing until reboot
await again1 phase Healed within 90s
await again1 alert none within 60s
break again1 gpu-missing until reimage
await again1 taint repair-reimage within 90s
await again1 phase Healed within 90s
await again1 alert none within 60s
break again1 gpu-not-responding until forever
await again1 taint repair-manual within 90s
await again1 phase Escalated within 60s
await again1 mail within 30s
