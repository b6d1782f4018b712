# dpkg was killed, and a package of the site's has a dependency that nothing offers: apt would repair
# that by removing it. It stays, and is named.
has 7.2.3 30.30.3
package kubelet 1 /nonexistent nowhere
built kubelet /tmp
dpkg --install --force-depends /tmp/kubelet_1_all.deb >/dev/null 2>&1
remember
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 1
says "kubelet"
cp /srv/amd/rocm/apt/7.2.3/pool/rocm-core_*.deb /tmp/core.deb
printf '#!/bin/sh\nkill -9 $PPID\n' >/var/lib/dpkg/info/rocm-core.prerm
dpkg --install /tmp/core.deb >/dev/null 2>&1 || true
printf '#!/bin/sh\n' >/var/lib/dpkg/info/rocm-core.prerm
reimage 1
says "kubelet"
[[ $(dpkg-query --show --showformat='${db:Status-Status}' kubelet) == installed ]]
driver_for_all
