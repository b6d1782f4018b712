# The power fails while the second try removes AMD's packages: the next run installs what there was,
# also on a node that has the driver alone.
{ declare -f processes && echo 'kill -9 $(processes "/srv/reimage.sh|apt-get|timeout|dpkg|sleep|tail")'; } >/tmp/power-fails
has 7.2.3 30.30.3
deb=(/srv/amd/amdgpu/30.30.3/ubuntu/pool/amdgpu-dkms_*.deb)
cp "${deb[0]}" /tmp/good.deb
dpkg-deb --raw-extract "${deb[0]}" /tmp/bad
for alone in no yes; do
  printf '#!/bin/sh\n[ "$1" != configure ]\n' >/tmp/bad/DEBIAN/postinst
  printf '#!/bin/sh\n[ "$1" != remove ] || bash /tmp/power-fails\n' >/tmp/bad/DEBIAN/prerm
  dpkg-deb --root-owner-group -Zgzip --build /tmp/bad "${deb[0]}" >/dev/null
  index_again /srv/amd/amdgpu/30.30.3/ubuntu
  rm /usr/src/amdgpu-6.16.13-2327507.22.04/dkms.conf
  reimage 137
  says "removing AMD's packages and installing them afresh"
  while [[ -n $(processes 'apt-get|dpkg|reimage\.sh') ]]; do sleep 0.1; done
  # A person finished the removal, as dpkg asks for.
  printf '#!/bin/sh\n' >/var/lib/dpkg/info/amdgpu-dkms.prerm
  dpkg --purge --force-depends amdgpu-dkms amdgpu-dkms-firmware >/dev/null
  cp /tmp/good.deb "${deb[0]}"
  index_again /srv/amd/amdgpu/30.30.3/ubuntu
  reimage 0
  driver_for_all
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' amdgpu-dkms) == installed ]]
  [[ $alone == yes ]] || is "$ROCM_7_2_3" "$DRIVER_30_30_3"
  dpkg --purge rocm rocm-core >/dev/null
done
