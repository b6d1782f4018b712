# A small image leaves out documents: no package is damaged for that. The site's apt purges what it
# removes.
echo 'path-exclude=/usr/share/doc/*' >/etc/dpkg/dpkg.cfg.d/small-image
echo 'APT::Get::Purge "true";' >/etc/apt/apt.conf.d/purges
deb=(/srv/amd/rocm/apt/7.2.3/pool/rocm-core_*.deb)
dpkg-deb --raw-extract "${deb[0]}" /tmp/documented
mkdir -p /tmp/documented/usr/share/doc/rocm-core
echo "all rights" >/tmp/documented/usr/share/doc/rocm-core/copyright
dpkg-deb --root-owner-group -Zgzip --build /tmp/documented "${deb[0]}" >/dev/null
index_again /srv/amd/rocm/apt/7.2.3
has 7.2.3 30.30.3
[[ ! -e /usr/share/doc/rocm-core/copyright ]]
reimage 0
says "no package is damaged"
package site-tool 1 /nonexistent "rocm-core (= $ROCM_7_2_3)"
built site-tool /tmp
dpkg --install /tmp/site-tool_1_all.deb >/dev/null
remember
reimage 1 ROCM=7.2.1 DRIVER=30.30.1 DOWNGRADE=yes
says "site-tool"
unchanged
