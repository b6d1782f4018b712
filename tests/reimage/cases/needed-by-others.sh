# AMD's package can be configured only after it was purged, and the driver's prerm fails: the second
# try removes no package of the site's that needs AMD's, and installs whatever its removals said.
has 7.2.3 30.30.3
package site-tool 1 /nonexistent rocm-core
built site-tool /tmp
dpkg --install /tmp/site-tool_1_all.deb >/dev/null
deb=(/srv/amd/rocm/apt/7.2.3/pool/rocm-core_*.deb)
dpkg-deb --raw-extract "${deb[0]}" /tmp/stale
printf '#!/bin/sh\n[ "$1" != configure ] || [ ! -e /var/lib/stale ] || exit 1\n' >/tmp/stale/DEBIAN/postinst
printf 'update-alternatives --install /opt/rocm rocm /opt/rocm-7.2.3 70203\n' >>/tmp/stale/DEBIAN/postinst
printf '#!/bin/sh\n[ "$1" != purge ] || rm -f /var/lib/stale\n' >/tmp/stale/DEBIAN/postrm
chmod 755 /tmp/stale/DEBIAN/postrm
dpkg-deb --root-owner-group -Zgzip --build /tmp/stale "${deb[0]}" >/dev/null
index_again /srv/amd/rocm/apt/7.2.3
touch /var/lib/stale
sed -i 's/^set -e$/[ "$1" != remove ] || exit 1/' /var/lib/dpkg/info/amdgpu-dkms.prerm
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 0
says "removing AMD's packages and installing them afresh"
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
[[ $(dpkg-query --show --showformat='${db:Status-Status}' site-tool) == installed ]]
