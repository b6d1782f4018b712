# The second repair of a returning fault begins with a reimage.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node again1
break again1 gpu-missing until reboot
alert again1 cluster=lab remediation=reboot check=rocm-smi
await again1 phase Healed within 60s
await again1 taint none within 10s
break again1 gpu-missing until reimage
alert again1 cluster=lab remediation=reboot check=rocminfo
await again1 taint repair-reimage within 60s
await again1 phase Healed within 60s
await again1 taint none within 10s
