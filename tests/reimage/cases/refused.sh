# What this script cannot do is refused in words, before any change.
has 7.2.3 30.30.3
remember
reimage 1 ROOT_KEEPS=no
says "set ROOT_KEEPS=yes"
echo 'blacklist amdgpu' >/etc/modprobe.d/blacklist-amdgpu.conf
reimage 1
says "/etc/modprobe.d/blacklist-amdgpu.conf blacklists amdgpu"
rm /etc/modprobe.d/blacklist-amdgpu.conf
echo 'modprobe.blacklist=nouveau,amdgpu quiet' >/tmp/cmdline
mount --bind /tmp/cmdline /proc/cmdline
reimage 1
says "the kernel's command line blacklists amdgpu"
umount /proc/cmdline
mkdir -p /sys/firmware/efi/efivars
printf '\6\0\0\0\1' >/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
reimage 1
says "Secure Boot is on"
printf '\6\0\0\0\0' >/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
printf 'ID=rhel\nVERSION_ID="9.4"\n' >/tmp/os-release
cp /etc/os-release /tmp/os-release.site
cp --remove-destination /tmp/os-release /etc/os-release
reimage 1
says "not rhel 9.4"
cp /tmp/os-release.site /etc/os-release
reimage 1 BOOTS=5.4.0-1
says "there is no kernel 5.4.0-1"
reimage 1 PACKAGES="amdgpu-dkms rocm-everything"
says "have no package rocm-everything"
reimage 1 ROCM=7.9.9
says "cannot be used"
reimage 1 REPOSITORY=http://127.0.0.1:9 KEY=http://127.0.0.1:9/key
says "set the SHA-256 of the key"
reimage 1 KEY_SHA256=0000
says "another SHA-256"
unchanged
