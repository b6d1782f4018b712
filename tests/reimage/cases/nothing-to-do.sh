# A node whose packages are whole: the driver is built again, nothing is downloaded and /etc/apt stays
# as it is.
has 7.2.3 30.30.3
remember
reimage 0
says "no package is damaged"
unchanged
[[ ! -e /var/lib/ossci/reimage/archives ]] || ! compgen -G "/var/lib/ossci/reimage/archives/*.deb"
rm "$(modinfo --set-version "$K1" --field filename amdgpu)"
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
