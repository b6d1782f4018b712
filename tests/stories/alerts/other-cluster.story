# Alerts of another cluster are only counted. Its node has the same name as one of ours; the answer
# is 200.
routes 2s 3s 600s
node twin1
alert twin1 remediation=reboot check=rocm-smi severity=critical cluster=elsewhere
await twin1 webhook firing within 60s
await twin1 ignored another cluster within 10s
quiet 3s
