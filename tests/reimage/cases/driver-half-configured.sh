# E1d: amdgpu-dkms itself is half configured; the pool names a release that builds.
kernel_update
has 6.4.1 6.4.1
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
all_whole
