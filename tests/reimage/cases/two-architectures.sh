# A library of AMD's is there for two architectures: that is no damage.
for architecture in amd64 i386; do
  package "libdrm-amdgpu-$architecture" "$ROCM_7_2_3" /nonexistent
  sed -i "s/^Package: .*/Package: libdrm-amdgpu/; s/^Architecture: .*/Architecture: $architecture\nMulti-Arch: same/" \
    "/tmp/package-libdrm-amdgpu-$architecture/DEBIAN/control"
  built "libdrm-amdgpu-$architecture" /srv/amd/rocm/apt/7.2.3/pool
done
rm /srv/amd/rocm/apt/7.2.3/pool/libdrm-amdgpu*i386.deb
index_again /srv/amd/rocm/apt/7.2.3
has 7.2.3 30.30.3 libdrm-amdgpu
dpkg --add-architecture i386
built libdrm-amdgpu-i386 /tmp
dpkg --install /tmp/libdrm-amdgpu_*_i386.deb >/dev/null
remember
reimage 0
says "no package is damaged"
if grep -F "removing AMD's packages" "$OUT"; then exit 1; fi
unchanged
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
[[ $(dpkg-query --show --showformat='${db:Status-Status} ' libdrm-amdgpu) == "installed installed " ]]
