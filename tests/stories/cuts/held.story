# A person holds a waiting node, then removes the hold.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node wait1
kubectl annotate node wait1 ossci.amd.com/hold=a-person-looks
break wait1 gpu-missing until reboot
alert wait1 cluster=lab remediation=reboot check=rocm-smi
await wait1 why OnHold within 60s
kubectl annotate node wait1 ossci.amd.com/hold-
await wait1 phase Healed within 60s
await wait1 taint none within 10s
