# What a run left that was interrupted days ago is not what is wanted now.
has 7.2.3 30.30.3
mkdir -p /var/lib/ossci/reimage
echo '7.2.1 30.30.1 amdgpu-dkms rocm' >/var/lib/ossci/reimage/changing
touch --date='2 days ago' /var/lib/ossci/reimage/changing
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
