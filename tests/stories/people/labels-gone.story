# The fault takes the labels with it that made the node a member of its pool. The episode names its
# pool, so the repair goes on.
node bare1
break bare1 gpu-missing until reboot
await bare1 taint repair-reboot within 60s
kubectl label node bare1 lab.example/story-
await bare1 phase Healed within 120s
await bare1 taint none within 10s
