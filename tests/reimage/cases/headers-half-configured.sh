# E1, ROCm issue 3701: a new kernel's headers are half configured, because the driver does not build
# there; the pool names a release that does.
has 6.4.1 6.4.1
kernel_update
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
all_whole
