# E18: /opt is a small file system of its own: refused before a change.
has 6.4.1 6.4.1
mkdir -p /tmp/big/opt/rocm-7.2.3/lib
head -c 9000000 /dev/urandom >/tmp/big/opt/rocm-7.2.3/lib/librocblas.so
package rocblas "$ROCM_7_2_3" /tmp/big
printf 'Installed-Size: 8800\n' >>/tmp/package-rocblas/DEBIAN/control
built rocblas /srv/amd/rocm/apt/7.2.3/pool
rm /srv/amd/rocm/apt/7.2.3/pool/rocm_*.deb
package rocm "$ROCM_7_2_3" /nonexistent "rocm-core (= $ROCM_7_2_3), rocblas"
built rocm /srv/amd/rocm/apt/7.2.3/pool
index_again /srv/amd/rocm/apt/7.2.3
mkdir /tmp/opt
cp -a /opt/. /tmp/opt/
mount -t tmpfs -o size=4m small /opt
cp -a /tmp/opt/. /opt/
remember
reimage 1 ROCM=7.2.3 DRIVER=30.30.3
says "/opt has"
unchanged
