# A host gives all of its GPUs to virtual machines: none has the driver amdgpu any more, and the
# tools show none. That is no fault of the node. A GPU that is missing afterwards is one.
node lent1
quiet 12s
break lent1 lent until forever
quiet 20s
await lent1 strikes 0 within 10s
mend lent1
quiet 5s
break lent1 gpu-missing until reboot
await lent1 taint repair-reboot within 90s
await lent1 phase Healed within 120s
await lent1 taint none within 10s
