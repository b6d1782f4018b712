#!/bin/bash
# Installs AMD's GPU driver and ROCm again, from AMD's packages: Ubuntu 22.04, Ubuntu 24.04, Debian 12.
#
# The agent runs it as root on the node, with nothing else at work there; the reboot that follows is not its business. It
# first sets up AMD's repositories and looks whether it can succeed, finishes what an earlier installation left undone, and
# fetches everything; only then does it change the driver and ROCm. It may be begun again at any time. Each line says what is
# done next; the last one says why it stopped.
#
#   kubectl -n ossci create configmap ossci-reimage --from-file=reimage.sh
set -euo pipefail

# What to install. The name of the installer's package has its own version, which is found below
# https://repo.radeon.com/amdgpu-install/ (and in the quick start of each release of ROCm).
ROCM=${ROCM:-6.4.1}
INSTALLER=${INSTALLER:-6.4.60401-1}
PACKAGES=${PACKAGES:-amdgpu-dkms rocm}
# Where AMD's packages are, or a mirror of it with the same paths, if the nodes have no way to the Internet.
AMD=https://repo.radeon.com
REPOSITORY=${REPOSITORY:-$AMD}
# What has to be free, in MB: all of ROCm is about 30 GB, downloads included 40; a driver goes into the initial RAM disk, too.
ROOT_MB=${ROOT_MB:-40000}
BOOT_MB=${BOOT_MB:-200}
# How long another program may hold the package manager, in seconds.
LOCK_SECONDS=${LOCK_SECONDS:-300}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
# Nothing is to be restarted behind the kubelet's back.
export NEEDRESTART_SUSPEND=1
KERNEL=$(uname -r)
STATE=/var/lib/ossci/reimage
read -ra packages <<<"$PACKAGES"

step() { echo "step: $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# What a command said is shown when it fails, and only then.
quiet() {
  local what=$1
  shift
  "$@" >"$STATE/said" 2>&1 </dev/null || {
    tail -n 25 "$STATE/said"
    fail "$what"
  }
}
apt() { apt-get --yes -o DPkg::Lock::Timeout="$LOCK_SECONDS" -o Dpkg::Options::=--force-confold "$@"; }

# AMD's name for the distribution. Debian 12 takes what is made for Ubuntu 22.04, as AMD's quick start says.
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

# The process that holds one of the package manager's locks, if any.
holder() {
  local file device inode place
  for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    read -r device inode < <(stat --format='%d %i' "$file" 2>/dev/null) || continue
    printf -v place '%02x:%02x:%d' $((device >> 8 & 0xfff)) $((device & 0xff | device >> 12 & 0xfff00)) "$inode"
    awk -v place="$place" '$6 == place { print $5; exit }' /proc/locks
  done | head -n 1
}

wait_for_lock() {
  local pid until=$((SECONDS + LOCK_SECONDS))
  while pid=$(holder) && [[ -n $pid ]]; do
    ((SECONDS < until)) || fail "the package manager is still locked after $LOCK_SECONDS s, by process $pid ($(cat "/proc/$pid/comm" 2>/dev/null || echo gone))"
    sleep 2
  done
}

# enough PLACE MB
enough() {
  local free
  free=$(df --portability --block-size=1M "$1" | awk 'NR == 2 { print $4 }')
  ((free >= $2)) || fail "$1 has $free MB free, and needs $2"
}

# AMD's repositories only: what else a site has configured is not asked for news, and may be broken.
update() {
  local list
  for list in amdgpu.list rocm.list; do
    [[ -e /etc/apt/sources.list.d/$list ]] || fail "the installer's package brought no $list"
    sed -i "s|$AMD|$REPOSITORY|" "/etc/apt/sources.list.d/$list"
    quiet "the repositories of $list cannot be read" apt update -o Dir::Etc::sourcelist="sources.list.d/$list" \
      -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any
  done
}

# The packages are taken from this repository whatever is installed, a newer version too.
pin() {
  local host=${REPOSITORY#*://}
  host=${host%%[/:]*}
  printf 'Package: *\nPin: origin "%s"\nPin-Priority: 1001\n' "$host" >"$STATE/preferences"
}
install_from_amd() { apt -o Dir::Etc::preferences="$STATE/preferences" --allow-downgrades --no-remove --fix-broken "$@"; }

# Which of AMD's packages are installed and have lost files, or were never finished. What else they need is not looked at.
damaged() {
  local package status offers lost
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    "${packages[@]}" 2>/dev/null | grep '^[a-z0-9]' | sort -u | while read -r package; do
    status=$(dpkg-query --show --showformat='${db:Status-Status} ${db:Status-Eflag}' "$package" 2>/dev/null) || continue
    offers=$(apt-cache policy "$package")
    [[ $offers == *"$REPOSITORY"* ]] || continue
    case $status in
    # A changed file of configuration is no damage.
    "installed ok")
      lost=$(dpkg --verify "$package" | grep -v ' c /' || true)
      [[ -z $lost ]] || echo "$package"
      ;;
    not-installed* | config-files*) ;;
    *) echo "$package" ;;
    esac
  done || true
}

# A GPU that was partitioned is to be so again: the driver begins with the modes of the factory. One line for each GPU.
keep_partitions() {
  local device compute memory
  for device in /sys/bus/pci/drivers/amdgpu/*:*; do
    compute=$(cat "$device/current_compute_partition" 2>/dev/null) || continue
    memory=$(cat "$device/current_memory_partition" 2>/dev/null || echo -)
    echo "${device##*/} $compute $memory"
  done >"$STATE/partitions.new"
  # A driver that is gone tells of no GPU; what an earlier run saw then stays.
  [[ -s $STATE/partitions.new ]] || return 0
  mv "$STATE/partitions.new" "$STATE/partitions"
  grep -qv ' SPX \(NPS1\|-\)$' "$STATE/partitions" || return 0
  cat >"$STATE/restore-partitions" <<'END'
#!/bin/bash
# Written by OSSCI Ops: gives every GPU the partitions that it had before the last reimage.
while read -r address compute memory; do
  device=/sys/bus/pci/devices/$address
  for mode in "current_memory_partition $memory" "current_compute_partition $compute"; do
    read -r file wanted <<<"$mode"
    [[ $wanted == - || $(cat "$device/$file" 2>/dev/null) == "$wanted" ]] || echo "$wanted" >"$device/$file"
  done
done </var/lib/ossci/reimage/partitions
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
TimeoutStartSec=120

[Install]
WantedBy=multi-user.target
END
  quiet "the unit that restores partitions cannot be enabled" systemctl enable ossci-gpu-partitions.service
}

mkdir -p "$STATE"
chmod 700 "$STATE"
[[ $EUID == 0 ]] || fail "this has to run as root"

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
# It brings the lists and the key, and depends on nothing; what is broken elsewhere does not stop it.
quiet "the installer's package cannot be installed" dpkg --force-confnew --install "$STATE/$deb"
update
pin

step "looking for the kernel's headers"
headers=()
# Ubuntu keeps what the driver builds on in a package of its own.
! apt-cache show "linux-modules-extra-$KERNEL" >/dev/null 2>&1 || headers=("linux-modules-extra-$KERNEL")
if [[ ! -d /lib/modules/$KERNEL/build ]]; then
  apt-cache show "linux-headers-$KERNEL" >/dev/null 2>&1 ||
    fail "there are no headers for kernel $KERNEL: the driver cannot be built; boot a kernel whose linux-headers package can be had"
  headers+=("linux-headers-$KERNEL")
fi

step "finishing what an earlier installation left undone"
wait_for_lock
# What cannot be finished is damaged, and is installed again.
dpkg --configure --pending >"$STATE/said" 2>&1 </dev/null || tail -n 1 "$STATE/said"

step "looking for damaged packages"
mapfile -t again < <(damaged)
[[ ${#again[@]} == 0 ]] || echo "damaged: ${again[*]}"
# The driver is always built again.
for package in "${packages[@]}"; do
  [[ $package != *dkms* || " ${again[*]} " == *" $package "* ]] || again+=("$package")
done

step "fetching $PACKAGES"
quiet "the packages cannot be fetched" install_from_amd install --download-only "${packages[@]}" "${headers[@]}"
quiet "the packages cannot be fetched" install_from_amd install --download-only --reinstall "${again[@]}"

# From here on things change.
keep_partitions
step "installing $PACKAGES"
quiet "the packages cannot be installed" install_from_amd install "${packages[@]}" "${headers[@]}"
quiet "the packages cannot be installed again" install_from_amd install --reinstall "${again[@]}"

step "looking whether the driver was built for kernel $KERNEL"
quiet "the modules' index cannot be made" depmod "$KERNEL"
module=$(modinfo --set-version "$KERNEL" --field filename amdgpu 2>/dev/null) || fail "there is no module amdgpu for kernel $KERNEL"
[[ $module == */updates/* || $module == */extra/* ]] ||
  fail "the module amdgpu for kernel $KERNEL is the kernel's own ($module): the package built none"
unfinished=$(dpkg --audit)
[[ -z $unfinished ]] || fail "the package manager still has unfinished packages: $(tail -n 1 <<<"$unfinished")"
rm -f "$STATE"/*.deb
apt-get clean

versions=$(dpkg-query --show --showformat='${Package} ${Version}, ' "${packages[@]}")
echo "installed: ${versions%, }; the next boot loads the driver"
