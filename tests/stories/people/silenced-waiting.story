# A silence stops a waiting repair. The alert was already sent before the silence. When the silence
# ends, the repair continues.
node waits1
policy {alertmanager: {pollSeconds: 1}}
kubectl annotate node waits1 ossci.amd.com/hold=until-it-is-silenced
break waits1 gpu-missing until reboot
await waits1 why OnHold within 60s
silence waits1
quiet 3s
kubectl annotate node waits1 ossci.amd.com/hold-
await waits1 why Silenced within 30s
quiet 4s
unsilence waits1
await waits1 phase Healed within 60s
await waits1 taint none within 10s
