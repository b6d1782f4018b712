# A reboot heals a GPU that does not respond. A pod of another user is evicted first.
node heal1
pod training-1 on heal1
break heal1 gpu-not-responding until reboot
await heal1 taint repair-reboot within 60s
await heal1 phase Draining within 30s
await heal1 pod training-1 gone within 30s
await heal1 phase Rebooting within 60s
await heal1 phase Proving within 60s
await heal1 phase Healed within 60s
await heal1 taint none within 10s
