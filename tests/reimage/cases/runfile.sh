# E4, E4b: a driver that AMD's runfile installed, of the same release and of another one.
deb=(/srv/amd/amdgpu/30.30.3/ubuntu/pool/amdgpu-dkms_*.deb)
dpkg-deb --extract "${deb[0]}" /
dkms add -m amdgpu -v 6.16.13-2327507.22.04 >/dev/null
dkms install --force -m amdgpu -v 6.16.13-2327507.22.04 -k "$K1" >/dev/null 2>&1
remember
reimage 1
says "set ROCM and DRIVER"
reimage 1 ROCM=6.4.1 DRIVER=6.4.1
says "uninstall it with that runfile"
unchanged
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
