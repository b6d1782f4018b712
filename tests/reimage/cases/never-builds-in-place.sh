# The trial build passes and the installation fails all the same: AMD's packages are removed and
# installed afresh, which fails too, and then what was there is put back.
has 7.2.1 30.30.1
deb=(/srv/amd/amdgpu/30.30.3/ubuntu/pool/amdgpu-dkms_*.deb)
dpkg-deb --raw-extract "${deb[0]}" /tmp/bad
printf '#!/bin/sh\necho "postinst: no luck" >&2\nexit 1\n' >/tmp/bad/DEBIAN/postinst
dpkg-deb --root-owner-group -Zgzip --build /tmp/bad "${deb[0]}" >/dev/null
index_again /srv/amd/amdgpu/30.30.3/ubuntu
remember
reimage 1 ROCM=7.2.3 DRIVER=30.30.3
says "removing AMD's packages and installing them afresh"
says "going back"
says "What was there is whole"
unchanged
