# E5: a package of the site whose maintainer script always fails stops nothing.
has 6.4.1 6.4.1
package foreign 1 /nonexistent
printf '#!/bin/sh\nexit 1\n' >/tmp/package-foreign/DEBIAN/postinst
chmod 755 /tmp/package-foreign/DEBIAN/postinst
built foreign /tmp
dpkg --install /tmp/foreign_1_all.deb >/dev/null 2>&1 || true
rm /opt/rocm-6.4.1/bin/rocminfo /usr/src/amdgpu-6.12.12-2164967.22.04/build.sh
reimage 0
says "unfinished packages of others: foreign"
is "$ROCM_6_4_1" "$DRIVER_6_4_1"
