# A slow network recovers.
routes 0s 1s 600s
node slow1
alert slow1 cluster=lab remediation=slow-network check=network
await slow1 taint slow-network within 60s
await slow1 phase Recovered within 60s
await slow1 taint none within 10s
