# E0: a first installation, then lost files, then a change of release, up and down across the
# firmware's epoch.
reimage 0 ROCM=6.4.1 DRIVER=6.4.1
is "$ROCM_6_4_1" "$DRIVER_6_4_1"
rm /usr/src/amdgpu-6.12.12-2164967.22.04/dkms.conf /opt/rocm-6.4.1/.info/version
reimage 0
says "to install: amdgpu-dkms rocm-core"
is "$ROCM_6_4_1" "$DRIVER_6_4_1"
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
remember
reimage 1 ROCM=6.4.1 DRIVER=6.4.1
says "if that is wanted, set DOWNGRADE=yes"
unchanged
reimage 0 ROCM=6.4.1 DRIVER=6.4.1 DOWNGRADE=yes
is "$ROCM_6_4_1" "$DRIVER_6_4_1"
