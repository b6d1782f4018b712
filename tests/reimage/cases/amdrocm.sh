# The packages since ROCm 7.11: installed beside a driver, repaired in their own release, and changed
# to a newer one of their series.
export ROCM_LIST='deb [trusted=yes] copy:/srv/multi stable main'
reimage 0 ROCM=7.14.0 DRIVER=30.30.3 PACKAGES='amdgpu-dkms amdrocm7.14-gfx942'
[[ $(dpkg-query --show --showformat='${Version}' amdrocm-core7.14) == 7.14.0-3 ]]
rm /opt/rocm/core-7.14/bin/rocminfo
reimage 0
says "to install: amdrocm-core7.14"
[[ $(cat /opt/rocm/core-7.14/bin/rocminfo) == 7.14.0-3 ]]
reimage 0 ROCM=7.14.1
[[ $(cat /opt/rocm/core-7.14/bin/rocminfo) == 7.14.1-1 ]]
driver_for_all
