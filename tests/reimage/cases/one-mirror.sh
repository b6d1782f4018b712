# A mirror has all releases in one repository: the installed one is repaired, not the newest one
# installed.
mkdir -p /srv/one/pool
cp /srv/amd/{amdgpu,rocm/apt}/*/{pool,ubuntu/pool}/*.deb /srv/one/pool/ 2>/dev/null || true
index /srv/one stable site-mirror
has 7.2.1 30.30.1
rm /opt/rocm-7.2.1/bin/rocminfo /usr/src/amdgpu-6.16.13-2278356.22.04/dkms.conf
export ROCM_LIST='deb [trusted=yes] copy:/srv/one stable main' DRIVER_LIST='deb [trusted=yes] copy:/srv/one stable main'
reimage 0
is "$ROCM_7_2_1" "1:6.16.13.30300100-2278356.22.04"
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
