# An alert of another cluster about a node of the same name is answered 200 and counted, and nothing is done.
routes 2s 3s 600s
node twin1
alert twin1 remediation=reboot check=rocm-smi severity=critical cluster=elsewhere
await twin1 webhook firing within 60s
await twin1 ignored another cluster within 10s
quiet 3s
