# A reimage by the site's provisioning service heals the node.
routes 0s 1s 600s
policy {times: {stabiliseSeconds: 1}, proof: {passes: 1, failures: 1}, reimage: {service: PROVISIONING}}
node served1
break served1 gpu-missing until reimage
alert served1 cluster=lab remediation=reimage check=rocm-smi
await served1 taint repair-reimage within 60s
await served1 phase Healed within 60s
await served1 taint none within 10s
