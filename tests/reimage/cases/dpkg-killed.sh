# dpkg was killed while it replaced a package: its journal is not played back, and apt rehearses
# nothing. The node ends with what it had.
has 7.2.3 30.30.3
cp /var/lib/dpkg/info/rocm-core.prerm /tmp/prerm
printf '#!/bin/sh\nkill -9 $PPID\n' >/var/lib/dpkg/info/rocm-core.prerm
dpkg --install /srv/amd/rocm/apt/7.2.1/pool/rocm-core_*.deb >/dev/null 2>&1 || true
cp /tmp/prerm /var/lib/dpkg/info/rocm-core.prerm
compgen -G '/var/lib/dpkg/updates/[0-9]*'
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
all_whole
