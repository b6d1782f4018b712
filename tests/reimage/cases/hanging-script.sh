# A maintainer script that never ends is ended within the time of the order, and is named.
has 7.2.3 30.30.3
deb=(/srv/amd/rocm/apt/7.2.3/pool/rocm-core_*.deb)
dpkg-deb --raw-extract "${deb[0]}" /tmp/hangs
printf '#!/bin/sh\necho "asks somebody"\nsleep 1000\n' >/tmp/hangs/DEBIAN/postinst
dpkg-deb --root-owner-group -Zgzip --build /tmp/hangs "${deb[0]}" >/dev/null
index_again /srv/amd/rocm/apt/7.2.3
rm /opt/rocm-7.2.3/bin/rocminfo
LIMIT=125 reimage 1 CHANGE_SECONDS=20
says "rocm-core.postinst"
[[ $(modinfo --set-version "$K1" --field filename amdgpu) == */updates/* ]]
# Nothing of it runs on.
[[ -z $(processes 'rocm-core\.postinst|apt-get|dpkg ') ]]
