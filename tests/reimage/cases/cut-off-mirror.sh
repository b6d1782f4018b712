# Nothing can be installed any more after the purge, and no older release is there to go back to: the
# next run still knows what this node had.
has 7.2.3 30.30.3 rocm-validation-suite
deb=(/srv/amd/rocm/apt/7.2.3/pool/rocm-core_*.deb)
cp "${deb[0]}" /tmp/good.deb
dpkg-deb --raw-extract "${deb[0]}" /tmp/bad
printf '#!/bin/sh\n[ "$1" != configure ]\n' >/tmp/bad/DEBIAN/postinst
printf '#!/bin/sh\n[ "$1" != install ] || exit 1\n' >/tmp/bad/DEBIAN/preinst
chmod 755 /tmp/bad/DEBIAN/preinst
dpkg-deb --root-owner-group -Zgzip --build /tmp/bad "${deb[0]}" >/dev/null
index_again /srv/amd/rocm/apt/7.2.3
rm /opt/rocm-7.2.3/bin/{rocminfo,rvs}
reimage 1
says "NOT whole"
driver_for_all
cp /tmp/good.deb "${deb[0]}"
index_again /srv/amd/rocm/apt/7.2.3
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
[[ -e /opt/rocm/bin/rvs ]]
