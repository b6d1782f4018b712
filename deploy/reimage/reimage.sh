#!/bin/bash
# Reinstalls AMD's GPU driver and ROCm from AMD's packages, on Ubuntu 22.04, Ubuntu 24.04 and Debian
# 12.
#
# The agent runs this script as root on the drained node, and reboots the node afterwards. The
# script:
#
# 1. sets up AMD's repositories and checks whether it can succeed,
# 2. completes an interrupted installation,
# 3. fetches all packages,
# 4. changes ROCm and, last, the driver.
#
# It can be restarted at any time. Each line of output names the next step; the last lines give the
# reason of a failure.
#
#   kubectl -n ossci create configmap ossci-reimage --from-file=reimage.sh
set -euo pipefail

# The release to install. The installer's package has a version of its own, listed below
# https://repo.radeon.com/amdgpu-install/ (and in the quick start of each ROCm release).
ROCM=${ROCM:-6.4.1}
INSTALLER=${INSTALLER:-6.4.60401-1}
PACKAGES=${PACKAGES:-amdgpu-dkms rocm}
# The kernel of the next boot; by default the newest one that is installed.
BOOTS=${BOOTS:-}
# The address of AMD's packages, or of a mirror with the same paths for nodes without Internet
# access.
AMD=https://repo.radeon.com
REPOSITORY=${REPOSITORY:-$AMD}
# Free space that is needed, in MB. ROCm takes about 30 GB, with downloads 40 GB. The driver is also
# part of the initial RAM disk in /boot.
ROOT_MB=${ROOT_MB:-40000}
BOOT_MB=${BOOT_MB:-200}
# Timeout in seconds for another program that locks the package manager.
LOCK_SECONDS=${LOCK_SECONDS:-300}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
# needrestart must not restart services, such as the kubelet.
export NEEDRESTART_SUSPEND=1
KERNEL=$(uname -r)
STATE=/var/lib/ossci/reimage
read -ra packages <<<"$PACKAGES"

step() { echo "step: $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# Runs a command and shows its output only if it fails.
quiet() {
  local what=$1
  shift
  "$@" >"$STATE/said" 2>&1 </dev/null || {
    tail -n 25 "$STATE/said"
    fail "$what"
  }
}
apt() { apt-get --yes -o DPkg::Lock::Timeout="$LOCK_SECONDS" -o Dpkg::Options::=--force-confold "$@"; }

# Prints AMD's name for the distribution. Debian 12 uses the packages for Ubuntu 22.04, as AMD's
# quick start says.
codename() {
  local id version
  # shellcheck source=/dev/null
  read -r id version < <(. /etc/os-release && echo "${ID:-none} ${VERSION_ID:-none}")
  case "$id $version" in
  "ubuntu 22.04" | "debian 12") echo jammy ;;
  "ubuntu 24.04") echo noble ;;
  *) fail "this script knows Ubuntu 22.04, Ubuntu 24.04 and Debian 12, not $id $version" ;;
  esac
}

# Prints the process that holds one of the package manager's locks, if any.
holder() {
  local file device inode place held
  held=$(for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    read -r device inode < <(stat --format='%d %i' "$file" 2>/dev/null) || continue
    printf -v place '%02x:%02x:%d' $((device >> 8 & 0xfff)) $((device & 0xff | device >> 12 & 0xfff00)) "$inode"
    awk -v place="$place" '$6 == place { print $5; exit }' /proc/locks
  done)
  echo "${held%%$'\n'*}"
}

wait_for_lock() {
  local pid until=$((SECONDS + LOCK_SECONDS))
  while pid=$(holder) && [[ -n $pid ]]; do
    ((SECONDS < until)) || fail "the package manager is still locked after $LOCK_SECONDS s, by process $pid ($(cat "/proc/$pid/comm" 2>/dev/null || echo gone))"
    sleep 2
  done
}

# enough PATH MB: fails if PATH has less free space.
enough() {
  local free
  free=$(df --portability --block-size=1M "$1" | awk 'NR == 2 { print $4 }')
  ((free >= $2)) || fail "$1 has $free MB free, and needs $2"
}

# AMD's repositories have to be readable. The site's other repositories may be broken: their cached
# lists are enough.
update() {
  local list
  for list in amdgpu.list rocm.list; do
    [[ -e /etc/apt/sources.list.d/$list ]] || fail "the installer's package brought no $list"
    sed -i "s|$AMD|$REPOSITORY|" "/etc/apt/sources.list.d/$list"
    quiet "the repositories of $list cannot be read" apt update -o Dir::Etc::sourcelist="sources.list.d/$list" \
      -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any
  done
}

# Installs AMD's packages from these repositories only, even over a newer version. Another release's
# repository could offer a newer version or conflict with this one.
pin() {
  local file
  printf 'Package: *\nPin: release o=repo.radeon.com\nPin-Priority: 1001\n' >"$STATE/preferences"
  rm -rf "$STATE/sources"
  mkdir "$STATE/sources"
  for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [[ -e $file ]] || continue
    if [[ ${file##*/} == amdgpu.list || ${file##*/} == rocm.list ]] ||
      ! grep -qE "^[^#]*($AMD|$REPOSITORY)/(amdgpu|rocm|graphics)" "$file"; then
      ln -s "$file" "$STATE/sources/"
    fi
  done
  printf 'Dir::Etc::preferences "%s";\nDir::Etc::sourceparts "%s";\n' "$STATE/preferences" "$STATE/sources" >"$STATE/apt.conf"
  export APT_CONFIG=$STATE/apt.conf
  timeout 300 apt-get update -o APT::Get::List-Cleanup=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 \
    >"$STATE/said" 2>&1 </dev/null || echo "not every repository can be read; what was known of it before is used"
}
install_from_amd() { apt --allow-downgrades --allow-change-held-packages --no-remove --fix-broken "$@"; }

# Prints the newest kernel that is installed.
newest() {
  local folder kernel
  for folder in /lib/modules/*/; do
    kernel=$(basename "$folder")
    [[ ! -e /boot/vmlinuz-$kernel ]] || echo "$kernel"
  done | sort --version-sort | tail -n 1
}

# Prints AMD's packages that are installed in another version, have lost files, or were never
# configured. Packages that they depend on from elsewhere are not checked.
damaged() {
  local package status offers lost
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    "${packages[@]}" 2>/dev/null | grep '^[a-z0-9]' | sort -u | while read -r package; do
    status=$(dpkg-query --show --showformat='${db:Status-Status} ${db:Status-Eflag}' "$package" 2>/dev/null) || continue
    offers=$(apt-cache policy "$package")
    [[ $offers == *"$REPOSITORY"* ]] || continue
    case $status in
    # A changed configuration file is not damage.
    "installed ok")
      lost=$(dpkg --verify "$package" | grep -v ' c /' || true)
      lost+=$(dpkg --audit "$package")
      lost+=$(awk '$1 == "Installed:" { is = $2 } $1 == "Candidate:" && $2 != is' <<<"$offers")
      [[ -z $lost ]] || echo "$package"
      ;;
    not-installed* | config-files*) ;;
    *) echo "$package" ;;
    esac
  done || true
}

# Saves the partition modes of the GPUs, one line per GPU, and restores them at boot: a new driver
# starts with the factory modes.
keep_partitions() {
  local device compute memory
  for device in /sys/bus/pci/drivers/amdgpu/*:*; do
    compute=$(cat "$device/current_compute_partition" 2>/dev/null) || continue
    memory=$(cat "$device/current_memory_partition" 2>/dev/null || echo -)
    echo "${device##*/} $compute $memory"
  done >"$STATE/partitions.new"
  # Without a driver no GPU is listed; the file of an earlier run is kept then.
  [[ -s $STATE/partitions.new ]] || return 0
  mv "$STATE/partitions.new" "$STATE/partitions"
  sync "$STATE/partitions" "$STATE"
  grep -qv ' SPX \(NPS1\|-\)$' "$STATE/partitions" || return 0
  cat >"$STATE/restore-partitions" <<'END'
#!/bin/bash
# Written by OSSCI Ops: restores the partitions that each GPU had before the last reimage.
# restore memory|compute: sets the modes that differ and prints the GPUs that it changed.
restore() {
  local address compute memory wanted file
  while read -r address compute memory; do
    wanted=${!1}
    file=/sys/bus/pci/devices/$address/current_$1_partition
    [[ $wanted == - || $(cat "$file" 2>/dev/null) == "$wanted" ]] || { echo "$wanted" >"$file" && echo "$address"; }
  done </var/lib/ossci/reimage/partitions
}
# The driver applies a new memory mode only when it is loaded again, and resets the compute mode
# then.
[[ -z $(restore memory) ]] || { modprobe --remove amdgpu && modprobe amdgpu; }
restore compute
END
  cat >/etc/systemd/system/ossci-gpu-partitions.service <<'END'
[Unit]
Description=GPU partitions as before the last reimage of OSSCI Ops
After=systemd-modules-load.service systemd-udev-settle.service
Wants=systemd-udev-settle.service
Before=kubelet.service
ConditionPathExists=/var/lib/ossci/reimage/partitions

[Service]
Type=oneshot
ExecStart=/bin/bash /var/lib/ossci/reimage/restore-partitions
TimeoutStartSec=600

[Install]
WantedBy=multi-user.target
END
  sync "$STATE/restore-partitions" /etc/systemd/system/ossci-gpu-partitions.service
  quiet "the unit that restores partitions cannot be enabled" systemctl enable ossci-gpu-partitions.service
}

mkdir -p "$STATE"
chmod 700 "$STATE"
[[ $EUID == 0 ]] || fail "this has to run as root"

# Restores the site's package holds on exit, including those of a run that was interrupted within
# the last day.
hold_again() {
  local deadline=$((SECONDS + 20))
  [[ -e $STATE/holds ]] || return 0
  until sort -u "$STATE/holds" | sed 's/$/ hold/' | dpkg --set-selections >"$STATE/said" 2>&1; do
    ((SECONDS < deadline)) || return
    sleep 2
  done
  rm "$STATE/holds"
}
find "$STATE/holds" -mmin +1440 -delete 2>/dev/null || true
trap 'hold_again || echo "what was held could not be held again: it stands in $STATE/holds"' EXIT

step "looking whether this can succeed (kernel $KERNEL, ROCm $ROCM)"
code=$(codename)
enough / "$ROOT_MB"
[[ ! -d /boot ]] || enough /boot "$BOOT_MB"
wait_for_lock

step "fetching AMD's installer $INSTALLER for $code from $REPOSITORY"
deb=amdgpu-install_${INSTALLER}_all.deb
rm -f "$STATE"/*.deb
quiet "the installer's package cannot be fetched" \
  /usr/lib/apt/apt-helper download-file "$REPOSITORY/amdgpu-install/$ROCM/ubuntu/$code/$deb" "$STATE/$deb"

step "setting up AMD's repositories"
wait_for_lock
# This package brings the repository lists and the key, even if they were deleted. It has no
# dependencies, so other broken packages do not stop it.
quiet "the installer's package cannot be installed" dpkg --force-confnew,confmiss,confask --install "$STATE/$deb"
wait_for_lock
update
pin

step "looking for the kernel's headers"
headers=()
BOOTS=${BOOTS:-$(newest)}
BOOTS=${BOOTS:-$KERNEL}
mapfile -t kernels < <(printf '%s\n' "$KERNEL" "$BOOTS" | sort -u)
for kernel in "${kernels[@]}"; do
  # Ubuntu ships some modules that the driver needs in a separate package.
  for package in "linux-modules-extra-$kernel" "linux-headers-$kernel"; do
    ! apt-cache show "$package" >/dev/null 2>&1 || headers+=("$package")
  done
  [[ -e /lib/modules/$kernel/build/include || " ${headers[*]} " == *" linux-headers-$kernel "* ]] ||
    fail "there are no headers for kernel $kernel: the driver cannot be built; boot a kernel whose linux-headers package can be had"
done

step "finishing what an earlier installation left undone"
wait_for_lock
keep_partitions
apt-mark showhold >>"$STATE/holds"
sync "$STATE/holds" "$STATE"
# Packages that dpkg was killed in are reinstalled on their own: apt fails to reinstall one together
# with a package that depends on it. apt repairs conflicts between packages of two releases only
# when no package is named, and apt-get check does not report all of them. Each of the two steps may
# need the other one first, so both run twice.
for _ in 1 2; do
  dpkg --configure --pending >"$STATE/said" 2>&1 </dev/null || true
  mapfile -t cut < <(dpkg-query --show --showformat='${Package} ${db:Status-Eflag}\n' | awk '$2 == "reinstreq" { print $1 }')
  [[ ${#cut[@]} == 0 ]] || install_from_amd install --reinstall "${cut[@]}" >"$STATE/said" 2>&1 </dev/null || true
  [[ -n $(dpkg --audit) ]] || ! apt-get check >"$STATE/said" 2>&1 </dev/null || break
  install_from_amd install >"$STATE/said" 2>&1 </dev/null || true
done
[[ -z $(dpkg --audit) ]] || echo "not all of it can be finished: $(tail -n 1 "$STATE/said")"

step "looking for damaged packages"
mapfile -t again < <(damaged)
[[ ${#again[@]} == 0 ]] || echo "damaged: ${again[*]}"
# The driver is always rebuilt, and last: an earlier failure leaves the installed driver in place.
drivers=() rest=("${headers[@]}")
for package in "${packages[@]}" "${again[@]}"; do
  if [[ $package == *-dkms ]]; then drivers+=("$package"); else rest+=("$package"); fi
done

step "fetching $PACKAGES"
wait_for_lock
quiet "the packages cannot be fetched" install_from_amd install --download-only --reinstall "${rest[@]}" "${drivers[@]}"

# From here on the working installation is changed.
step "installing all but the driver"
quiet "the packages cannot be installed" install_from_amd install --reinstall "${rest[@]}"

built() { modinfo --set-version "$BOOTS" --field filename amdgpu 2>/dev/null; }
ours() { [[ $1 == */updates/* || $1 == */extra/* ]]; }
# Installing a driver first removes the installed one, so a driver that does not build is detected
# before.
if ours "$(built)" && command -v dkms >/dev/null; then
  step "building the driver for kernel $BOOTS on trial"
  trial=$STATE/trial
  rm -rf "$trial"
  mkdir -p "$trial/tree"
  (cd "$trial" && quiet "the driver's package cannot be fetched" apt download amdgpu-dkms)
  quiet "the driver's package cannot be unpacked" dpkg-deb --extract "$trial"/amdgpu-dkms_*.deb "$trial"
  source=("$trial"/usr/src/amdgpu-*)
  quiet "the driver does not build for kernel $BOOTS; the one that is installed was left as it is" dkms build -m amdgpu \
    -v "${source[0]##*/amdgpu-}" -k "$BOOTS" --sourcetree "$trial/usr/src" --dkmstree "$trial/tree"
  rm -rf "$trial"
fi
step "installing the driver"
quiet "the driver cannot be installed" install_from_amd install --reinstall "${drivers[@]}"

step "looking whether the driver was built for kernel $BOOTS"
quiet "the modules' index cannot be made" depmod "$BOOTS"
module=$(built) || fail "there is no module amdgpu for kernel $BOOTS"
ours "$module" || fail "the module amdgpu for kernel $BOOTS is the kernel's own ($module): the package built none"
unfinished=$(dpkg --audit "${rest[@]}" "${drivers[@]}" || true)
[[ -z $unfinished ]] || fail "the package manager still has unfinished packages: $(tail -n 1 <<<"$unfinished")"
rm -f "$STATE"/*.deb
# A failure is ignored: another program may hold the lock now.
apt-get clean || true

versions=$(dpkg-query --show --showformat='${Package} ${Version}, ' "${packages[@]}")
echo "installed: ${versions%, }; the next boot loads the driver"
