# A pool may have any name: Events, notices, metrics and the record carry it.
node rack1
policy {pool: {name: MI300X (rack 4)}, brakes: {failedAttempts: 1}}
break rack1 gpu-missing until forever
await rack1 phase Escalated within 180s
await rack1 mail within 20s
