# E13, ROCm issues 3608 and 1033: a tree of dkms without a source; twice.
has 7.2.3 30.30.3
mkdir -p /var/lib/dkms/amdgpu/6.7.0-1787201.22.04
ln -s /usr/src/amdgpu-6.7.0-1787201.22.04 /var/lib/dkms/amdgpu/6.7.0-1787201.22.04/source
for _ in 1 2; do
  rm -f /opt/rocm-7.2.3/bin/rocminfo
  reimage 0
  is "$ROCM_7_2_3" "$DRIVER_30_30_3"
  all_whole
done
[[ ! -e /var/lib/dkms/amdgpu/6.7.0-1787201.22.04 ]]
