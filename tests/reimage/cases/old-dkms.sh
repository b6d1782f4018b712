# dkms 2.8 of Ubuntu 22.04 builds and installs nothing again, even with --force. A module that was
# lost comes back all the same, and nothing is removed for it.
sed -i 's/if \[\[ "\$force" = "true" \]\]; then/if false; then/' /usr/sbin/dkms
[[ $(grep -c 'if false; then' /usr/sbin/dkms) == 2 ]]
has 7.2.3 30.30.3
rm "$(modinfo --set-version "$K1" --field filename amdgpu)"
depmod "$K1"
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
if grep -F "removing AMD's packages" "$OUT"; then exit 1; fi
