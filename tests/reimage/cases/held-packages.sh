# Packages on hold are repaired, and are on hold afterwards.
has 7.2.3 30.30.3
apt-mark hold rocm rocm-core amdgpu-dkms >/dev/null
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 0 ROCM=7.2.1 DRIVER=30.30.1 DOWNGRADE=yes
is "$ROCM_7_2_1" "1:6.16.13.30300100-2278356.22.04"
[[ $(apt-mark showhold | paste -sd ' ') == "amdgpu-dkms rocm rocm-core" ]]
