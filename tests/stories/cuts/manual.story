# A reboot fails and a reimage is not allowed. A person is asked, once.
routes 0s 1s 600s
policy {pool: {mode: reboot}, times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}}
node person1
break person1 gpu-missing until forever
alert person1 cluster=lab remediation=reboot check=rocm-smi
await person1 phase Escalated within 60s
await person1 mail within 10s
