# An alert leads to an eviction, a reboot and a proof.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node boot1
pod training-boot1 on boot1
break boot1 gpu-missing until reboot
alert boot1 cluster=lab remediation=reboot check=rocm-smi
await boot1 phase Healed within 60s
await boot1 taint none within 10s
