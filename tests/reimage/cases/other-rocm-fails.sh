# Only ROCm changes, and cannot be installed: what was there is put back, and the driver stays.
has 7.2.1 30.30.3
deb=(/srv/amd/rocm/apt/7.2.3/pool/rocm-core_*.deb)
dpkg-deb --raw-extract "${deb[0]}" /tmp/bad
printf '#!/bin/sh\necho "postinst: no luck" >&2\nexit 1\n' >/tmp/bad/DEBIAN/postinst
dpkg-deb --root-owner-group -Zgzip --build /tmp/bad "${deb[0]}" >/dev/null
index_again /srv/amd/rocm/apt/7.2.3
remember
reimage 1 ROCM=7.2.3
says "going back"
says "What was there is whole"
unchanged
