# A released node that fails again is rebooted. Nothing starts within releasedQuietSeconds. Then the
# repair begins with a reboot, because a release is not a failed reboot.
routes 0s 1s 600s
node freed1
policy {times: {releasedQuietSeconds: 20, stabiliseSeconds: 1}}
kubectl annotate node freed1 ossci.amd.com/hold=a-person-looks
alert freed1 cluster=lab remediation=reboot check=rocm-smi
await freed1 why OnHold within 60s
kubectl taint node freed1 repair-reboot-
await freed1 phase Released within 30s
kubectl annotate node freed1 ossci.amd.com/hold-
break freed1 gpu-missing until reboot
alert freed1 cluster=lab remediation=reboot check=rocminfo
quiet 8s
await freed1 taint repair-reboot within 60s
await freed1 phase Healed within 60s
