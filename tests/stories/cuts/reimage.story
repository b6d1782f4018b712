# The reboot fails and the reimage heals.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node image1
break image1 gpu-missing until reimage
alert image1 cluster=lab remediation=reboot check=rocm-smi
await image1 taint repair-reimage within 60s
await image1 phase Healed within 60s
await image1 taint none within 10s
