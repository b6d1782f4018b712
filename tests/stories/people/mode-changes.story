# The pool's mode changes while a node waits. The mode is first observe, then taint, then reboot.
node mode1
policy {pool: {mode: observe}}
break mode1 gpu-missing until reboot
await mode1 why ObserveOnly within 60s
quiet 3s
policy {pool: {mode: taint}}
await mode1 taint repair-reboot within 20s
await mode1 why ModeTaintOnly within 20s
quiet 3s
policy {pool: {mode: reboot}}
await mode1 phase Healed within 60s
await mode1 taint none within 10s
