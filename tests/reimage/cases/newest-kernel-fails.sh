# E1e: the node runs on a kernel with a driver; a newer one is there, whole, on which it does not
# build.
has 6.4.1 6.4.1
mv /etc/kernel/header_postinst.d/dkms /etc/kernel/postinst.d/dkms /tmp/ 2>/dev/null || true
kernel_update
remember
reimage 1
says "does not build for kernel $K2"
unchanged
[[ $(modinfo --set-version "$K1" --field filename amdgpu) == */updates/* ]]
