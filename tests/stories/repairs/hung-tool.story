# Hung GPU tools lead to a reboot. The exporter still answers scrapes while they hang.
node hung1
break hung1 hung until reboot
await hung1 taint repair-reboot within 90s
await hung1 phase Healed within 120s
await hung1 taint none within 10s
