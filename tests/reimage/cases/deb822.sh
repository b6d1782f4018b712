# E17, ROCm issue 5558: the site has the same repositories in the newer form, with other options. Its
# own apt calls work before and afterwards, and its files are as they were.
has 7.2.3 30.30.3
rm /etc/apt/sources.list.d/{amdgpu,rocm}.list
cp /etc/apt/keyrings/rocm.gpg /etc/apt/keyrings/site.gpg
for list in amdgpu/30.30.3/ubuntu rocm/apt/7.2.3; do
  printf 'Types: deb\nURIs: file:/srv/amd/%s/\nSuites: jammy\nComponents: main\nSigned-By: /etc/apt/keyrings/site.gpg\n\n' "$list"
done >/etc/apt/sources.list.d/amd.sources
apt-get -qq update
rm /opt/rocm-7.2.3/.info/version
state | grep ' /etc/apt/' >/tmp/apt-before
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"
diff /tmp/apt-before <(state | grep ' /etc/apt/')
apt-get -qq update
