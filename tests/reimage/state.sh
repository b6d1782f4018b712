# One state of a node between two releases: its packages in STATE (amdgpu-dkms, rocm-core and rocm, each
# old, new, unpacked, which is the new one without its configuration, or absent), a driver that builds
# or not in BUILD, and a mirror that is whole or gone in the middle of a package in MIRROR. The pool
# names the new release. The node ends healed, or no worse than it was.
read -r driver core rocm <<<"$STATE"
old=(/srv/amd/{amdgpu/30.30.1/ubuntu,rocm/apt/7.2.1}/pool) new=(/srv/amd/{amdgpu/30.30.3/ubuntu,rocm/apt/7.2.3}/pool)
# put PACKAGE STATE: brings one package into its state, whatever the others say.
put() {
  local deb
  deb=$([[ $2 == old ]] && find "${old[@]}" -name "$1_*" || find "${new[@]}" -name "$1_*")
  case $2 in
  old | new) dpkg --install --force-all "$deb" ;;
  unpacked) dpkg --unpack --force-all "$deb" ;;
  absent) dpkg --purge --force-all "$1" ;;
  esac
}
has 7.2.1 30.30.1
put amdgpu-dkms-firmware "$driver"
put amdgpu-dkms "$driver"
put rocm-core "$core"
put rocm "$rocm"
if [[ $BUILD == fails ]]; then
  deb=("${new[0]}"/amdgpu-dkms_*.deb)
  dpkg-deb --raw-extract "${deb[0]}" /tmp/never
  echo 'echo "amdgpu_drm.c:97:5: error: no" >&2; exit 2' >/tmp/never/usr/src/amdgpu-6.16.13-2327507.22.04/build.sh
  dpkg-deb --root-owner-group -Zgzip -z1 --build /tmp/never "${deb[0]}" >/dev/null
  index_again /srv/amd/amdgpu/30.30.3/ubuntu
fi
if [[ $MIRROR == gone ]]; then
  for deb in "${new[1]}"/rocm-core_*.deb; do truncate --size=-100 "$deb"; done
fi
# Each package that is whole, and each kernel's own or AMD's module.
whole() { dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' amdgpu-dkms amdgpu-dkms-firmware rocm-core rocm 2>/dev/null | sed -n 's/^installed //p' || true; }
loads() { modinfo --set-version "$K1" --field filename amdgpu | sed "s|.*/$K1/||; s|/.*||" || true; }
whole >/tmp/whole
had=$(loads)
remember

status=0
env ROCM=7.2.3 DRIVER=30.30.3 PACKAGES="amdgpu-dkms rocm" bash /srv/reimage.sh 900 >"$OUT" 2>&1 </dev/null || status=$?
sed 's/^/  | /' "$OUT"
if [[ $status == 0 ]]; then
  is "$ROCM_7_2_3" "$DRIVER_30_30_3"
  all_whole
  echo "END healed"
elif [[ $BUILD/$MIRROR == works/whole ]]; then
  echo "nothing was in the way" && exit 1
elif grep -qE '^(FAILED|LATER): .*nothing was changed' "$OUT"; then
  unchanged
  echo "END as it was"
else
  [[ $status != 75 ]]
  [[ $had != updates || $(loads) == updates ]] || { echo "the driver is lost" && exit 1; }
  while read -r name; do
    whole | grep -qx "$name" || { echo "$name was whole, and is not" && exit 1; }
  done </tmp/whole
  echo "END not worse"
fi
