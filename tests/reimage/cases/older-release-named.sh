# E2: 7.2.3 with driver 30.30.3 works on the running kernel; a pool names 6.4.1, whose driver does not
# build there. Unasked it is refused, asked it changes nothing. E2b: then the right release.
kernel_update
runs_on "$K2"
has 7.2.3 30.30.3
remember
reimage 1 ROCM=6.4.1 DRIVER=6.4.1
says "is older"
unchanged
reimage 1 ROCM=6.4.1 DRIVER=6.4.1 DOWNGRADE=yes
says "does not build for kernel $K2"
unchanged
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
