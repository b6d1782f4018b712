# A fault that comes back within a day was not healed by a reboot: the next repair begins with a reimage. The third within a
# week is a person's.
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
break again1 gpu-missing until forever
await again1 taint repair-manual within 90s
await again1 phase Escalated within 60s
await again1 mail within 30s
