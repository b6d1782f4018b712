# The window closes in the middle of a repair. The mail to a person does not wait for it to open.
node shut1
break shut1 gpu-missing until forever
await shut1 phase Reimaging within 120s
policy {pool: {windows: [{days: [], from: "22:00", to: "06:00"}]}}
await shut1 phase Escalated within 120s
await shut1 mail within 20s
