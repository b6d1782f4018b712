# A loaded host: the GPU tools need more than half of their time for an answer, for as long as four
# runs and more. A late answer is an answer, and no strike. A GPU that is missing meanwhile is one.
node busy1
break busy1 slow-tools until forever
quiet 20s
await busy1 strikes 0 within 10s
break busy1 gpu-missing until reboot
await busy1 taint repair-reboot within 90s
await busy1 phase Healed within 120s
await busy1 taint none within 10s
