# E20: another module of the site does not build; the headers are whole and stay whole; twice.
has 7.2.3 30.30.3
mkdir -p /usr/src/lustre-2.15
printf 'PACKAGE_NAME=lustre\nPACKAGE_VERSION=2.15\nBUILT_MODULE_NAME[0]=lustre\nDEST_MODULE_LOCATION[0]=/updates\nMAKE[0]=false\nCLEAN=true\nAUTOINSTALL=yes\n' >/usr/src/lustre-2.15/dkms.conf
dkms add -m lustre -v 2.15 >/dev/null
for _ in 1 2; do
  rm /opt/rocm-7.2.3/bin/rocminfo
  reimage 0
  is "$ROCM_7_2_3" "$DRIVER_30_30_3"
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "linux-headers-$K1") == installed ]]
done
