# Kills of the controller change no outcome. It is killed five times, at different moments.
node killed1 killed2 killed3 killed4 killed5
break killed2 gpu-missing until reboot
break killed3 gpu-missing until reimage
break killed4 gpu-missing until forever
break killed5 slow-network until forever

await killed4 taint repair-reboot within 60s
kill controller
await killed5 taint slow-network within 60s
mend killed5
await killed4 phase Stabilising within 90s
kill controller
await killed4 phase Proving within 90s
kill controller
await killed4 phase Reimaging within 90s
kill controller
await killed4 taint repair-manual within 120s
kill controller

await killed5 phase Recovered within 60s
await killed5 taint none within 30s
await killed2 phase Healed within 90s
await killed2 taint none within 10s
await killed3 taint repair-reimage within 60s
await killed3 phase Healed within 90s
await killed3 taint none within 10s
await killed4 phase Escalated within 60s
await killed4 mail within 30s
