# E11, E11b: AMD's lists of another release in /etc/apt/sources.list itself, and under a mirror with
# another path: what is installed is what was wanted.
has 7.2.3 30.30.3
cp -a /srv/amd /srv/other
sed 's|/srv/amd|/srv/other|' /etc/apt/sources.list.d/{amdgpu,rocm}.list >/etc/apt/sources.list.d/site-amd.list
cat /etc/apt/sources.list.d/{amdgpu,rocm}.list >>/etc/apt/sources.list
reimage 0 ROCM=7.2.1 DRIVER=30.30.1 DOWNGRADE=yes
is "$ROCM_7_2_1" "1:6.16.13.30300100-2278356.22.04"
