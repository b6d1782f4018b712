# The site boots a kernel that is neither the running one nor the newest: it has a driver afterwards.
# The package builds for the running kernel and the newest one.
sed -i "s/^for KERNEL in .*/for KERNEL in $K2; do/" /usr/lib/dkms/common.postinst
kernel_update
runs_on "$K2"
has 7.2.3 30.30.3
for _ in 1 2; do
  rm /usr/src/amdgpu-6.16.13-2327507.22.04/dkms.conf
  reimage 0 BOOTS="$K1"
  is "$ROCM_7_2_3" "$DRIVER_30_30_3"
  if grep -F "removing AMD's packages" "$OUT"; then exit 1; fi
done
