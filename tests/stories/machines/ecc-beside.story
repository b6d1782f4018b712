# A GPU loses data, and only amd-smi shows it, beside rocm-smi, which passes. Three failed runs ask
# for the reboot, which ends it.
node ecc1
install ecc1 amd-smi
break ecc1 ecc-errors until reboot
await ecc1 taint repair-reboot within 120s
await ecc1 phase Healed within 120s
await ecc1 taint none within 10s
