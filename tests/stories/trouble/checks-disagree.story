# An alert fires on, although every check of the node passes. Twice the repair ends without a
# reboot; the third time within a day a person hears.
routes 1s 2s 4s
node agrees1
policy {times: {complaintGraceSeconds: 4}}
alert agrees1 cluster=lab remediation=reboot check=rocm-smi
await agrees1 phase Recovered within 90s
await agrees1 phase Escalated within 60s
await agrees1 mail within 30s
