# A person removes our taint from a waiting node.
routes 0s 1s 600s
node hand1
kubectl annotate node hand1 ossci.amd.com/hold=a-person-looks
alert hand1 cluster=lab remediation=reboot check=rocm-smi
await hand1 why OnHold within 60s
kubectl taint node hand1 repair-reboot-
await hand1 phase Released within 60s
