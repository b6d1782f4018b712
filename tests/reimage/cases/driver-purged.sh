# Somebody purged the driver: nothing says which one it was, which is asked for in words. The kernel's
# own is not replaced where the site says so, and the driver that it names is installed.
has 7.2.3 30.30.3
remember
reimage 1 DRIVER=none
says "amdgpu-dkms is installed"
unchanged
dpkg --purge --force-depends amdgpu-dkms amdgpu-dkms-firmware >/dev/null
remember
reimage 1
says "set DRIVER"
unchanged
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 0 DRIVER=none
unchanged
reimage 0 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
