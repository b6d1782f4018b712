# A package that others only suggest, and that nothing offers, as linux-modules-extra on the images of
# clouds: it is not asked for.
package suggests 1 /nonexistent
sed -i "s/^Description:/Suggests: linux-modules-extra-$K1\n&/" /tmp/package-suggests/DEBIAN/control
built suggests /srv/site/pool
index_again /srv/site
apt-get -qq update
has 7.2.3 30.30.3 suggests
rm /opt/rocm-7.2.3/bin/rocminfo
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
