#!/bin/bash
# Puts back AMD's GPU driver and ROCm as this node had them, from AMD's packages, on Ubuntu 22.04,
# Ubuntu 24.04 and Debian 12. A pool may name other releases.
#
# The agent runs this script as root on the drained node, with the seconds that it has as the only
# argument, and reboots the node afterwards. The script:
#
# 1. finds out what to install, and refuses in words what it cannot do,
# 2. downloads everything, and builds the driver on trial for every kernel,
# 3. changes the node; if that fails, removes AMD's packages and installs them afresh; if that fails
#    too, puts back what was there.
#
# Exit status 0: installed; the next boot loads it. 75: nothing was changed, try later. Any other:
# a person has to look; the last line says why. It can be started again at any time, and after a
# power failure.
#
#   kubectl -n ossci create configmap ossci-reimage --from-file=reimage.sh
set -euo pipefail

# The release of ROCm, such as 7.2.4 or 10.0.0, and of the driver, such as 30.30.3; until ROCm 6.4
# the driver had ROCm's number. Empty: what is installed. DRIVER=none: the kernel's own driver.
ROCM=${ROCM:-}
DRIVER=${DRIVER:-}
# The packages. Empty: those of AMD that are installed; on a node without any, amdgpu-dkms and rocm.
# From ROCm 7.11 on their names hold the series and the kind of GPU, such as amdrocm7.14-gfx942.
PACKAGES=${PACKAGES:-}
# yes: a release that is older than the installed one is installed, too.
DOWNGRADE=${DOWNGRADE:-no}
# The kernel of the next boot. Empty: the newest one that is installed.
BOOTS=${BOOTS:-}
# The address of AMD's packages of repo.radeon.com, or of a mirror with the same paths. A site whose
# mirror has other paths writes the lines of sources.list itself.
REPOSITORY=${REPOSITORY:-https://repo.radeon.com}
DRIVER_LIST=${DRIVER_LIST:-}
ROCM_LIST=${ROCM_LIST:-}
# The keys that sign them, as file or URL; a key from a URL without TLS needs its SHA-256. Empty: the
# site's key in /etc/apt/keyrings, else AMD's.
KEY=${KEY:-}
KEY_SHA256=${KEY_SHA256:-}
ROCM_KEY=${ROCM_KEY:-}
ROCM_KEY_SHA256=${ROCM_KEY_SHA256:-}
# yes: the root file system keeps its files over a reboot, although it is an overlay.
ROOT_KEEPS=${ROOT_KEEPS:-no}
# Free space in MB that is needed besides the packages: for building the driver (/var), and for the
# driver in the initial RAM disk (/boot).
BUILD_MB=${BUILD_MB:-3000}
BOOT_MB=${BOOT_MB:-200}
# Seconds to wait for another program that locks the package manager, and seconds that have to be
# left when the first package is changed.
LOCK_SECONDS=${LOCK_SECONDS:-300}
CHANGE_SECONDS=${CHANGE_SECONDS:-1500}
# The seconds that this run has.
LIMIT=${1:-3600}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
# needrestart must not restart services, such as the kubelet.
export NEEDRESTART_SUSPEND=1
KERNEL=$(uname -r)
# A library may be there for several architectures; AMD's other packages are for this one.
NATIVE=$(dpkg --print-architecture)
# For repositories that do not answer.
TIMEOUTS=(-o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15)
STATE=/var/lib/ossci/reimage

step() { echo "step: $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# What a person has to know of a failure before the release is changed.
effect="nothing was changed"
# The reason passes by itself.
later() {
  echo "LATER: $*; $effect" >&2
  exit 75
}
# The seconds that are left for commands; what comes after them needs 90.
left() { echo $((LIMIT - 90 - SECONDS > 0 ? LIMIT - 90 - SECONDS : 0)); }
enough_time() { (($(left) >= CHANGE_SECONDS)) || later "only $(left) s are left, and a change needs $CHANGE_SECONDS"; }
# Runs a command within a time limit, and keeps the end of its output in `said`. Notes which
# maintainer scripts run shortly before the limit.
run() {
  local limit status=0 watch keep
  limit=$(left)
  ((limit > 20)) || limit=20
  rm -f "$STATE/hangs"
  (
    trap 'kill "$!" 2>/dev/null; exit 0' TERM
    sleep $((limit - 5)) &
    wait "$!"
    pgrep --full --list-full '/var/lib/dpkg/(info|tmp\.ci)/' >"$STATE/hangs"
  ) 9>&- &
  watch=$!
  exec 8> >(exec tail -c 100000 >"$STATE/said" 9>&-)
  keep=$!
  timeout --kill-after=10 "$limit" "$@" >&8 2>&1 8>&- 9>&- </dev/null || status=$?
  exec 8>&-
  kill "$watch" 2>/dev/null || true
  wait "$watch" 2>/dev/null || true
  [[ $status == 124 || $status == 137 ]] || rm -f "$STATE/hangs"
  # A process in the background may hold the pipe open.
  for _ in {1..20}; do
    kill -0 "$keep" 2>/dev/null || break
    sleep 0.1
  done
  return "$status"
}
# The reason in the output of the last command, in one line.
reason() {
  local line
  if [[ -s $STATE/hangs ]]; then
    line="this did not end: $(cut -d' ' -f2- "$STATE/hangs" | head -n 1)"
  else
    # What a maintainer script says last stands before dpkg's own words.
    line=$(awk '/^(E:|dpkg: error)|trying to overwrite|[Nn]o space left| : (PreDepends|Depends|Conflicts|Breaks): / && !/Sub-process/ { if (/^dpkg: error/ && before != "") printf "%s ", before; print; if (++n == 2) exit } { before = $0 }' "$STATE/said" | paste -sd ' ') || true
    [[ -n $line ]] || line=$(grep -av '^[[:space:]]*$' "$STATE/said" | tail -n 1) || true
  fi
  echo "${line:0:400}"
}
# With a terminal of its own, dpkg would outlive the time limit.
apt() { run apt-get --yes -o DPkg::Lock::Timeout="$LOCK_SECONDS" -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"; }
# packages [NAME...]: prints the name, status, error flag and version, if any, of each package of this
# machine's architecture that dpkg knows.
packages() {
  # shellcheck disable=SC2016
  dpkg-query --show --showformat='${Architecture} ${Package} ${db:Status-Status} ${db:Status-Eflag} ${Version}\n' "$@" 2>/dev/null |
    awk -v native="$NATIVE" '$1 == native || $1 == "all" { print $2, $3, $4, $5 }' || true
}
# Prints these packages as dpkg wants them named: one that may be there for several architectures with
# this machine's.
in_dpkg() {
  # shellcheck disable=SC2016
  dpkg-query --show --showformat='${Architecture} ${binary:Package}\n' "$@" 2>/dev/null |
    awk -v native="$NATIVE" '$1 == native || $1 == "all" { print $2 }' || true
}
# here [NAME...]: prints those that are on the node, whole or not; without a name, all.
here() { packages "$@" | awk '$2 != "not-installed" && $2 != "config-files" { print $1 }'; }
status_of() { packages "$1" | awk '{ status = $2 } END { print status == "" ? "not-installed" : status }'; }
version_of() { packages "$1" | awk '{ print $4 }'; }
has_package() { [[ -n $(here "$1") ]]; }

# Prints AMD's names for the distribution: of repo.radeon.com, and of the repositories since ROCm
# 7.11. Debian 12 uses the driver for Ubuntu 22.04, as AMD's quick start says.
distribution() {
  local id version
  # shellcheck source=/dev/null
  read -r id version < <(. /etc/os-release && echo "${ID:-none} ${VERSION_ID:-none}")
  case "$id $version" in
  "ubuntu 22.04") echo jammy ubuntu2204 ;;
  "debian 12") echo jammy debian12 ;;
  "ubuntu 24.04") echo noble ubuntu2404 ;;
  *) fail "this script knows Ubuntu 22.04, Ubuntu 24.04 and Debian 12, not $id $version" ;;
  esac
}

# The release in a version of rocm-core (7.2.3.70203-90~22.04: 7.2.3; 7.0.0.70000-38: 7.0, as in
# AMD's addresses) and of amdgpu-dkms (1:6.16.13.30300300-1: 30.30.3; 1:6.12.12.60401-1: 6.4.1).
rocm_release() {
  local major minor patch rest
  IFS=. read -r major minor patch rest <<<"${1%%-*}"
  [[ -z ${patch:-} || $patch == 0 ]] && echo "$major.$minor" || echo "$major.$minor.$patch"
}
driver_release() {
  local digits=${1%%-*}
  digits=${digits##*.}
  ((${#digits} % 2 == 0)) || digits=0$digits
  rocm_release "$((10#${digits:0:2})).$((10#${digits:2:2})).$((10#${digits:4:2}))"
}
older() { [[ $1 != "$2" && $(printf '%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$1" ]]; }
# Whether ROCm of this release comes in the packages amdrocm*.
is_amdrocm() { ! older "$1" 7.11; }

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
    ((SECONDS < until)) || later "the package manager is still locked after $LOCK_SECONDS s, by process $pid ($(cat "/proc/$pid/comm" 2>/dev/null || echo gone))"
    sleep 2
  done
}

# enough PATH MB WHAT: fails if the file system of PATH has less free space.
enough() {
  local path=$1 free
  until [[ -d $path ]]; do path=$(dirname "$path"); done
  free=$(df --portability --block-size=1M "$path" | awk 'NR == 2 { print $4 }')
  ((free >= $2)) || fail "$1 has $free MB free, and needs $2 for $3; $effect"
}

# Refuses a node whose driver or root file system is managed by others, or that would not load a
# driver of this script.
refuse() {
  local type options found loaded
  read -r type options < <(awk '$2 == "/" { root = $3 " " $4 } END { print root }' /proc/mounts)
  case $type in
  tmpfs | ramfs | rootfs | squashfs | nfs | nfs4 | erofs)
    fail "the root file system is a $type: what is installed is lost with the boot; a reboot is this node's reimage"
    ;;
  overlay) [[ $ROOT_KEEPS == yes ]] || fail "the root file system is an overlay: if it keeps its files over a reboot, set ROOT_KEEPS=yes; else a reboot is this node's reimage" ;;
  esac
  [[ ,$options, != *,ro,* ]] || fail "the root file system is read-only"
  [[ ! -e /run/ostree-booted ]] || fail "this is an image-based system (ostree): a new image is this node's reimage"
  if [[ $(cat /proc/cmdline) =~ (^|[[:space:],=])(modprobe|module|rd\.driver)[._]blacklist=[^[:space:]]*amdgpu ]]; then
    fail "the kernel's command line blacklists amdgpu: no boot loads the driver"
  fi
  found=$(grep -lsE '^[[:space:]]*(blacklist[[:space:]]+amdgpu([[:space:]]|$)|install[[:space:]]+amdgpu[[:space:]])' /etc/modprobe.d/*.conf /run/modprobe.d/*.conf | head -n 1) || true
  [[ -z $found ]] || fail "$found blacklists amdgpu: no boot loads the driver of the host; where the GPU operator or KMM brings the driver, switch the pool's reimages off"
  loaded=$(cat /sys/module/amdgpu/srcversion 2>/dev/null || true)
  if [[ -n $loaded ]] && ! has_package amdgpu-dkms && [[ ! -d /var/lib/dkms/amdgpu ]] &&
    ! grep -qxF "$loaded" < <(modinfo --field srcversion amdgpu 2>/dev/null); then
    fail "the loaded driver is none of this host's: the GPU operator or KMM brings it; switch the pool's reimages off"
  fi
  # The kernel's own driver is neither built nor signed here.
  [[ $DRIVER != none ]] || return 0
  [[ ! -e /etc/dkms/no-autoinstall ]] || fail "/etc/dkms/no-autoinstall keeps the driver's package from building it; remove that file"
  secure_boot
}
# With Secure Boot the kernel loads only modules that an enrolled key signed.
secure_boot() {
  local state key
  state=$(od --address-radix=n --format=u1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c 2>/dev/null | awk '{ print $NF }') || true
  [[ $state == 1 ]] || return 0
  for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do
    [[ -e $key ]] || continue
    # It exits with 1 for a key that is enrolled.
    ! mokutil --test-key "$key" 2>/dev/null | grep -q 'is already enrolled' || return 0
  done
  fail "Secure Boot is on, and no enrolled key signs a driver that is built here: enrol the key of dkms (mokutil --import), or switch Secure Boot off"
}

# key NAME KEY SHA256 SITE URL: prints the file of the key.
key() {
  local name=$1 key=$2 hash=$3 site=$4 url=$5 file
  [[ -n $key ]] || { [[ -s $site ]] && key=$site || key=$url; }
  if [[ $key == /* ]]; then
    [[ -s $key ]] || fail "there is no key $key"
    file=$key
  else
    [[ $key == https://* || $key == file:* || -n $hash ]] || fail "the key $key would come without TLS: set the SHA-256 of the key ($name)"
    file=$STATE/$name.key
    rm -f "$file"
    run /usr/lib/apt/apt-helper "${TIMEOUTS[@]}" download-file "$key" "$file" ||
      later "the key $key cannot be fetched: $(reason)"
  fi
  if [[ -n $hash && $(sha256sum <"$file") != "$hash "* ]]; then fail "the key $key has another SHA-256 than $hash"; fi
  # apt tells the two formats of a key apart by the name of its file.
  case $(head -c 10 "$file" | tr -d '\0') in
  -----BEGIN*) cp "$file" "$STATE/$name.asc" && echo "$STATE/$name.asc" ;;
  *) cp "$file" "$STATE/$name.gpg" && echo "$STATE/$name.gpg" ;;
  esac
}
# Writes the lines of sources.list for a release of ROCm and of the driver. Packages of a folder are
# copied like others: what is installed must not come in the middle from a mount.
lists() {
  local rocm=$1 driver=$2 radeon amd base
  # A failed substitution in an argument would not end the script.
  if [[ -n $driver && -z $DRIVER_LIST ]] || { [[ -n $rocm && -z $ROCM_LIST ]] && ! is_amdrocm "$rocm"; }; then
    radeon=$(key KEY "$KEY" "$KEY_SHA256" /etc/apt/keyrings/rocm.gpg "$REPOSITORY/rocm/rocm.gpg.key") || exit
  fi
  if [[ -n $driver ]]; then
    echo "${DRIVER_LIST:-deb [arch=amd64 signed-by=$radeon] ${REPOSITORY/#file:/copy:}/amdgpu/$driver/ubuntu $code main}"
  fi
  if [[ -n $rocm && -n $ROCM_LIST ]]; then
    echo "$ROCM_LIST"
  elif [[ -n $rocm ]] && is_amdrocm "$rocm"; then
    base=https://stable.repo.amd.com/rocm/core/packages amd=https://stable.repo.amd.com/rocm/gpg/packages.gpg
    if older "$rocm" 10; then base=https://repo.amd.com/rocm/packages-multi-arch amd=$base/gpg/rocm.gpg; fi
    amd=$(key ROCM_KEY "$ROCM_KEY" "$ROCM_KEY_SHA256" /etc/apt/keyrings/amdrocm.gpg "$amd") || exit
    echo "deb [arch=amd64 signed-by=$amd] $base/$folder stable main"
  elif [[ -n $rocm ]]; then
    echo "deb [arch=amd64 signed-by=$radeon] ${REPOSITORY/#file:/copy:}/rocm/apt/$rocm $code main"
  fi
}
# offers FILE NAME: reads the repositories in a sources.list into a folder of their own, and writes
# one line "package version" for each package to NAME. Returns 1 if they cannot be read.
offers() {
  local lists=$STATE/lists-$2
  rm -rf "$lists"
  mkdir -p "$lists/partial"
  APT_CONFIG='' apt update -o Dir::State::lists="$lists" -o Dir::Etc::sourcelist="$1" -o Dir::Etc::sourceparts=- \
    -o APT::Update::Error-Mode=any -o Acquire::Retries=2 "${TIMEOUTS[@]}" || return 1
  find "$lists" -maxdepth 1 -name '*_Packages*' -exec /usr/lib/apt/apt-helper cat-file {} + |
    awk '$1 == "Package:" { name = $2 } $1 == "Version:" { print name, $2 }' | sort -u >"$STATE/$2"
  [[ -s $STATE/$2 ]]
}
# The number of a release in the versions of its packages: 70203 of ROCm 7.2.3, 303003 of driver
# 30.30.3, which two more digits follow there.
number_of() {
  local major minor patch
  IFS=. read -r major minor patch <<<"$1"
  [[ -z $major ]] || printf '%d%02d%02d' "$major" "${minor:-0}" "${patch:-0}"
}
# Of several releases in one repository, the wanted one; of several versions of a package, the
# newest.
newest_of_release() {
  awk -v series="$ROCM" -v rocm="$(number_of "$ROCM")" -v driver="$(number_of "$DRIVER")" '
    function is_of(wanted) { return wanted != "" && (number == wanted || substr(number, 1, length(number) - 2) == wanted) }
    { number = $2; sub(/-.*/, "", number); sub(/.*\./, "", number) }
    $1 ~ /^amdrocm/ { if (series == "" || index($2, series ".") == 1 || index($2, series "-") == 1) print; next }
    $1 ~ /^amdgpu-dkms/ { if (driver == "" || is_of(driver)) print; next }
    number !~ /^[0-9]+$/ || length(number) < 5 || is_of(rocm) || is_of(driver)' |
    sort -k1,1 -k2,2Vr | awk '!seen[$1]++'
}

# The site's repositories, for what AMD's packages depend on, without an entry for one of ours: apt
# refuses the same repository with other options.
site_sources() {
  local file ours
  rm -rf "$STATE/sources"
  mkdir "$STATE/sources"
  ours=$(grep -hoE '(https?|file|copy|mirror[^:]*):[^ ]+' "$STATE/wanted.list" "$STATE/before.list" 2>/dev/null | sed -E 's|^[a-z+]+||; s|/*$||' | sort -u) || true
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ ! -e $file ]] || without_ours "$file" '\n' '\n' >"$STATE/sources/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ ! -e $file ]] || without_ours "$file" '' '\n\n' >"$STATE/sources/$(basename "$file")"
  done
  cp "$STATE/wanted.list" "$STATE/sources/ossci-wanted.list"
}
# without_ours FILE RS ORS: leaves out each entry with an address in `ours`. RS and ORS are awk's,
# which reads a file of sections by an empty RS. Packages of a folder are copied, as those of `lists`.
without_ours() {
  awk -v ours="$ours" -v RS="$2" -v ORS="$3" 'BEGIN { n = split(ours, all, "\n") } { text = $0 " "; gsub(/\n/, " ", text); for (i = 1; i <= n; i++) if (index(text, all[i] " ") || index(text, all[i] "/ ")) next; gsub(/ file:/, " copy:"); print }' "$1"
}
# Every package of AMD's has one right version, wherever it comes from.
pin() {
  awk '{ print "Package: " $1 "\nPin: version " $2 "\nPin-Priority: 1001\n" }' "$1" >"$STATE/preferences"
  mkdir -p "$STATE/lists/partial" "$STATE/archives/partial"
  printf '%s\n' "Dir::Etc::preferences \"$STATE/preferences\";" "Dir::Etc::sourcelist \"/dev/null\";" \
    "Dir::Etc::sourceparts \"$STATE/sources\";" "Dir::State::lists \"$STATE/lists\";" \
    "Dir::Cache::archives \"$STATE/archives\";" "APT::Keep-Downloaded-Packages \"true\";" >"$STATE/apt.conf"
  export APT_CONFIG=$STATE/apt.conf
}
# Whether the last command failed by a reason that passes by itself.
passes() { grep -qE 'frontend lock|Could not get lock|Unable to (fetch|acquire)|Failed to fetch|Could not (connect|resolve)|Temporary failure|Hash Sum mismatch|unexpected size|[Cc]onnection (failed|timed out)' "$STATE/said"; }
# To what is named, apt adds the repair of packages whose dependencies are broken.
install_from_amd() { apt --allow-downgrades --allow-change-held-packages --fix-broken install "$@"; }
# removed_besides [NAME...]: prints what else the dry run before would have removed, in one line.
removed_besides() {
  awk '$1 == "Remv" || $1 == "Purg" { print $2 }' "$STATE/said" | while read -r name; do
    [[ " $* " == *" $name "* ]] || echo "$name"
  done | paste -sd ' '
}
# change_with_apt [ARGUMENT...]: install_from_amd, which removes no package of others.
change_with_apt() {
  local others
  install_from_amd --simulate "$@" || return
  others=$(removed_besides "${gone[@]}" "$mine")
  [[ -z $others ]] || { echo "E: $others would have to be removed, which is not AMD's" >"$STATE/said" && return 1; }
  install_from_amd "$@"
}

# Prints the newest kernel that is installed.
newest_kernel() {
  local folder kernel
  for folder in /lib/modules/*/; do
    kernel=$(basename "$folder")
    [[ ! -e /boot/vmlinuz-$kernel ]] || echo "$kernel"
  done | sort --version-sort | tail -n 1
}

# Reads what dpkg says of files, and prints those that are needed.
lost_files() { awk '$2 != "c" && $NF !~ "^/usr/share/(doc|man|info|locale|lintian)/" { print $NF }'; }
# Prints those of the named packages that are installed in another version, have lost files, or were
# never configured.
damaged() {
  local name status flag version named
  (($# > 0)) || return 0
  while read -r name status flag version; do
    [[ $status != not-installed && $status != config-files ]] || continue
    [[ $status/$flag == installed/ok && ${right[$name]:-$version} == "$version" ]] || echo "$name"
  done < <(packages "$@")
  # A changed configuration file is not damage, nor are documents that a small image leaves out.
  mapfile -t named < <(in_dpkg "$@")
  { dpkg --verify "${named[@]}" 2>/dev/null || true; } | lost_files | xargs --no-run-if-empty dpkg-query --search 2>/dev/null |
    awk -F: '{ print $1 }' | tr ',' '\n' | tr -d ' ' | sort -u | while read -r name; do
    [[ " $* " != *" $name "* ]] || echo "$name"
  done
}

module_of() { modinfo --set-version "$1" --field filename amdgpu 2>/dev/null || true; }
is_ours() { [[ $1 == */updates/* || $1 == */extra/* ]]; }
# What is not as wanted, in one line; nothing if all is.
wrong() {
  local name kernel module
  for name in "${wanted[@]}"; do
    [[ $(status_of "$name") == installed ]] || { echo "$name is $(status_of "$name")" && return; }
    [[ -z ${right[$name]:-} || $(version_of "$name") == "${right[$name]}" ]] ||
      { echo "$name is $(version_of "$name"), wanted is ${right[$name]}" && return; }
  done
  name=$(for name in $(damaged "${change[@]}" | sort -u); do [[ " ${wanted[*]} " != *" $name "* ]] || echo "$name"; done | paste -sd ' ')
  [[ -z $name ]] || { echo "these have lost files, or are not configured: $name" && return; }
  name=$(incomplete | paste -sd ' ')
  [[ -z $name ]] || { echo "what these need is not installed: $name" && return; }
  [[ $has_driver == yes ]] || return 0
  for kernel in "${kernels[@]}"; do
    depmod "$kernel" 2>/dev/null || { echo "the modules' index of kernel $kernel cannot be made" && return; }
    module=$(module_of "$kernel")
    [[ -n $module ]] || { echo "there is no module amdgpu for kernel $kernel" && return; }
    is_ours "$module" || { echo "the module amdgpu for kernel $kernel is the kernel's own: the package built none, see /var/lib/dkms/amdgpu/*/build/make.log" && return; }
  done
}

# Saves the partition modes of the GPUs, one line per GPU, and restores them at the next boot: a new
# driver starts with the factory modes.
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
# Written by OSSCI Ops: restores once the partitions that each GPU had before a reimage, and removes
# its unit.
file=/var/lib/ossci/reimage/partitions
# restore memory|compute: sets the modes that differ and prints the GPUs that it changed.
restore() {
  local address compute memory wanted mode
  while read -r address compute memory; do
    wanted=${!1}
    mode=/sys/bus/pci/devices/$address/current_$1_partition
    [[ $wanted == - || $(cat "$mode" 2>/dev/null) == "$wanted" ]] || { echo "$wanted" >"$mode" && echo "$address"; }
  done <"$file"
}
# The driver applies a new memory mode only when it is loaded again, and resets the compute mode
# then.
[[ -z $(restore memory) ]] || { modprobe --remove amdgpu && modprobe amdgpu; }
restore compute
rm -f "$file" /etc/systemd/system/ossci-gpu-partitions.service \
  /etc/systemd/system/multi-user.target.wants/ossci-gpu-partitions.service
END
  cat >/etc/systemd/system/ossci-gpu-partitions.service <<'END'
[Unit]
Description=GPU partitions as before the last reimage of OSSCI Ops, once
After=systemd-modules-load.service systemd-udev-settle.service
Wants=systemd-udev-settle.service
Before=kubelet.service k3s.service k3s-agent.service rke2-server.service rke2-agent.service snap.microk8s.daemon-kubelite.service
ConditionPathExists=/var/lib/ossci/reimage/partitions

[Service]
Type=oneshot
ExecStart=/bin/bash /var/lib/ossci/reimage/restore-partitions
TimeoutStartSec=600

[Install]
WantedBy=multi-user.target
END
  sync "$STATE/restore-partitions" /etc/systemd/system/ossci-gpu-partitions.service
  run systemctl enable ossci-gpu-partitions.service || fail "the unit that restores partitions cannot be enabled: $(reason)"
}

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

[[ $EUID == 0 ]] || fail "this has to run as root"
mkdir -p "$STATE"
chmod 700 "$STATE"
exec 9>"$STATE/lock"
flock --nonblock 9 || later "another run of this script is not done"
find "$STATE/holds" "$STATE/changing" -mmin +1440 -delete 2>/dev/null || true
# Downloads stay for a run that comes later, not on a node that a person has to look at.
trap '[[ $? == 75 ]] || rm -rf "$STATE/archives" "$STATE/back" "$STATE/trial"
hold_again || echo "what was held could not be held again: it stands in $STATE/holds"' EXIT

enough_time

step "looking whether this can succeed (kernel $KERNEL)"
read -r code folder < <(distribution) || exit 1
refuse

# What is installed, and what is wanted. An interrupted change of release goes on to its end.
driver_before='' rocm_before=''
if has_package amdgpu-dkms; then driver_before=$(driver_release "$(version_of amdgpu-dkms)"); fi
rocm_package=$(here 'amdrocm-core*' rocm-core | sed -n 1p)
case $rocm_package in
'') ;;
# One repository holds several releases of a series.
amdrocm*) rocm_before=$(version_of "$rocm_package") && rocm_before=${rocm_before%%-*} ;;
*) rocm_before=$(rocm_release "$(version_of "$rocm_package")") ;;
esac
rocm_interrupted='' driver_interrupted='' packages_interrupted=''
[[ ! -e $STATE/changing ]] || read -r rocm_interrupted driver_interrupted packages_interrupted <"$STATE/changing"
ROCM=${ROCM:-${rocm_interrupted:-$rocm_before}}
DRIVER=${DRIVER:-${driver_interrupted:-$driver_before}}
# In the file and in the setting, a word stands for none.
ROCM=${ROCM/#none/}
if [[ $DRIVER == none && -n $driver_before && $driver_interrupted != none ]]; then
  fail "DRIVER=none means the kernel's own driver, and amdgpu-dkms is installed: name its release, or remove it"
fi
if [[ -z $DRIVER && -z $ROCM ]]; then
  fail "no package of AMD's is installed, so nothing says what this node had: set ROCM and DRIVER, for instance to 7.2.4 and 30.30.3, and PACKAGES if it had more than rocm"
fi
[[ -n $DRIVER ]] || fail "no package says which driver this node had: set DRIVER, for instance to 30.30.3, or to none for the kernel's own"
same_as_interrupted=no
[[ ${ROCM:-none} != "$rocm_interrupted" || $DRIVER != "$driver_interrupted" ]] || same_as_interrupted=yes
DRIVER=${DRIVER/#none/}
[[ -n $DRIVER || -n $ROCM ]] || fail "neither ROCm nor a driver is wanted (ROCM, DRIVER)"
if [[ -n $ROCM && $DOWNGRADE != yes && $rocm_interrupted != "$ROCM" ]] && older "$ROCM" "${rocm_before:-$ROCM}"; then
  fail "ROCm $rocm_before is installed, and $ROCM is older: if that is wanted, set DOWNGRADE=yes"
fi
if [[ $DOWNGRADE != yes && $driver_interrupted != "$DRIVER" ]] && older "$DRIVER" "${driver_before:-$DRIVER}"; then
  fail "the driver $driver_before is installed, and $DRIVER is older: if that is wanted, set DOWNGRADE=yes"
fi
release="ROCm ${ROCM:-none} and driver ${DRIVER:-none}"
echo "installed: ROCm ${rocm_before:-none}, driver ${driver_before:-none}; wanted: ROCm ${ROCM:-none}, driver ${DRIVER:-none}"
wait_for_lock

step "reading AMD's repositories"
lists "$ROCM" "$DRIVER" >"$STATE/wanted.list"
if ! offers "$STATE/wanted.list" offered; then
  # apt says of a host that it cannot reach, too, that it has no Release file.
  unreached=$(grep -E -m 1 'Could not|Cannot initiate|Temporary failure|timed out|[Cc]onnection |unreachable| 50[0-9] ' "$STATE/said") || true
  [[ -z $unreached ]] || later "AMD's repositories cannot be read: ${unreached:0:300}"
  case $(cat "$STATE/said") in
  *Clearsigned*) later "AMD's repositories cannot be read, something else answers for them: $(reason)" ;;
  *"does not have a Release file"* | *" 404 "* | *NO_PUBKEY* | *"is not signed"* | *"no longer has a Release"* | *BADSIG*)
    fail "AMD's repositories of $release cannot be used: $(reason); $effect"
    ;;
  *) later "AMD's repositories cannot be read: $(reason)" ;;
  esac
fi
newest_of_release <"$STATE/offered" >"$STATE/right"
declare -A right=() known=()
while read -r name version; do right[$name]=$version known[$name]=1; done <"$STATE/right"
[[ -z $ROCM_LIST$DRIVER_LIST ]] || echo "the lists of the settings are used: $ROCM_LIST $DRIVER_LIST"
# The release that is there: its names, and its packages for the way back.
: >"$STATE/before.list"
: >"$STATE/offered-before"
if [[ $rocm_before != "$ROCM" || $driver_before != "$DRIVER" ]]; then
  (lists "$rocm_before" "$driver_before") >"$STATE/before.list" 2>/dev/null || : >"$STATE/before.list"
  if [[ ! -s $STATE/before.list ]] || ! offers "$STATE/before.list" offered-before; then
    echo "the repositories of the installed release cannot be read: if this fails, only the driver's modules can be put back"
    : >"$STATE/offered-before"
  fi
  while read -r name _; do known[$name]=1; done <"$STATE/offered-before"
fi

# The packages of AMD's that are there, and that are wanted: the same, or the settings' and the same.
mapfile -t installed < <(here | while read -r name; do
  # A mirror of AMD's repositories may hold kernels, which belong to no release.
  [[ -z ${known[$name]:-} || $name == linux-* ]] || echo "$name"
done)
gone=()
for name in $packages_interrupted; do
  [[ $same_as_interrupted == no && -z ${right[$name]:-} || " $PACKAGES " == *" $name "* ]] || PACKAGES+=" $name"
done
read -ra wanted <<<"$PACKAGES"
for name in "${installed[@]}"; do
  [[ " ${wanted[*]} " != *" $name "* ]] || continue
  series=$name
  [[ $name != amdrocm* ]] || series=${name/${rocm_before%.*}/${ROCM%.*}}
  if [[ -n ${right[$name]:-} ]]; then
    wanted+=("$name")
  elif [[ -n ${right[$series]:-} ]]; then
    wanted+=("$series") gone+=("$name")
  else
    gone+=("$name")
  fi
done
# A driver or a ROCm that is named, and of which nothing is installed.
if [[ -z $PACKAGES ]]; then
  [[ -z $DRIVER || -n $driver_before ]] || wanted+=(amdgpu-dkms)
  [[ -z $ROCM || -n $rocm_before ]] || wanted+=(rocm)
fi
[[ ${#wanted[@]} -gt 0 ]] || fail "no package is wanted of $release: name the packages in PACKAGES; $effect"
for name in "${wanted[@]}"; do
  [[ -n ${right[$name]:-} ]] || fail "AMD's repositories of $release have no package $name: name the packages in PACKAGES; $effect"
done
[[ ${#gone[@]} == 0 ]] || echo "these are not in the wanted release, and are removed: ${gone[*]}"
has_driver=no
[[ " ${wanted[*]} " != *" amdgpu-dkms "* ]] || has_driver=yes
site_sources
pin "$STATE/right"
cp --archive --link --no-clobber /var/lib/apt/lists/*_* "$STATE/lists/" 2>/dev/null || true
apt update -o APT::Get::List-Cleanup=0 "${TIMEOUTS[@]}" ||
  echo "not every repository of the site can be read; what was known of it before is used"

step "looking at the kernels and their headers"
BOOTS=${BOOTS:-$(newest_kernel)}
BOOTS=${BOOTS:-$KERNEL}
[[ -d /lib/modules/$BOOTS ]] || fail "there is no kernel $BOOTS (BOOTS)"
# The package builds for the running kernel and for the newest one.
mapfile -t kernels < <(printf '%s\n' "$KERNEL" "$BOOTS" "$(newest_kernel)" | grep . | sort -u)
headers=()
for kernel in "${kernels[@]}"; do
  # Ubuntu ships some modules that the driver needs in a separate package.
  for package in "linux-modules-extra-$kernel" "linux-headers-$kernel"; do
    case $(status_of "$package") in
    # What is half configured becomes whole with a driver that builds.
    half-configured | triggers-*) ;;
    installed) [[ -z $({ dpkg --verify "$package" || true; } | lost_files) ]] || headers+=("$package") ;;
    # apt-cache knows a package also by the name alone, which others suggest.
    *) ! apt-get --print-uris download "$package" >/dev/null 2>&1 || headers+=("$package") ;;
    esac
  done
  [[ $has_driver == no || -e /lib/modules/$kernel/build/include || -e /lib/modules/$kernel/build/Makefile || " ${headers[*]} " == *" linux-headers-$kernel "* ]] ||
    fail "there are no headers for kernel $kernel: the driver cannot be built; boot a kernel whose linux-headers package can be had"
done

mine=" ${installed[*]} ${wanted[*]} ${headers[*]} "
# Prints those of AMD's packages whose dependencies are not there.
incomplete() {
  apt-get check 2>&1 | sed -nE 's/^ ([^ :]+)(:[a-z0-9]+)? : .*/\1/p' | sort -u | while read -r name; do
    [[ $mine != *" $name "* ]] || echo "$name"
  done
}
# Prints those of AMD's packages that are on the node now.
still_here() { here "${installed[@]}" "${wanted[@]}" | sort -u; }
step "looking for damaged packages"
again=() change=() build_here=no
look_at_packages() {
  local name there
  mapfile -t there < <(still_here)
  mapfile -t again < <({ damaged "${there[@]}" && incomplete; } | sort -u)
  for name in "${wanted[@]}"; do [[ " ${there[*]} " == *" $name "* ]] || again+=("$name"); done
  [[ ${#again[@]} == 0 ]] && echo "no package is damaged" || echo "to install: ${again[*]}"
  change=("${headers[@]}")
  for name in "${again[@]}"; do [[ " ${gone[*]} " == *" $name "* ]] || change+=("$name"); done
  build_here=no
  if [[ $has_driver == yes && " ${again[*]} " != *" amdgpu-dkms "* ]]; then
    # The source is whole: it is built again without a download, where dkms is.
    if command -v dkms >/dev/null && [[ ${#headers[@]} == 0 ]]; then build_here=yes; else change+=(amdgpu-dkms); fi
  fi
}
look_at_packages
# Prints the version under which dkms knows the installed driver's source.
version_of_source() { dpkg-query --listfiles amdgpu-dkms | sed -nE 's|^/usr/src/amdgpu-([^/]+)$|\1|p' | head -n 1; }
# Prints the source's folder in a package.
source_of() { dpkg-deb --fsys-tarfile "$1" | tar --list 2>/dev/null | sed -nE 's|^\./usr/src/(amdgpu-[^/]+)/$|\1|p' | head -n 1; }

unfinished() { packages | awk -v mine="$mine" -v only="${1:-}" 'index(mine, " " $1 " ") && (only != "" ? $3 == only : ($2 != "installed" && $2 != "not-installed" && $2 != "config-files" || $3 != "ok")) { print $1 }'; }
# The first change: notes what is wanted, and keeps what a way back needs.
begun=no
begin() {
  local kernel module
  [[ $begun == no ]] || return 0
  begun=yes
  echo "${ROCM:-none} ${DRIVER:-none} ${wanted[*]}" >"$STATE/changing.new"
  mv "$STATE/changing.new" "$STATE/changing"
  keep_partitions
  # What a run kept that was interrupted stays, where nothing of AMD's is in its place.
  for kernel in "${kernels[@]}"; do
    is_ours "$(module_of "$kernel")" || continue
    rm -rf "$STATE/kept/$kernel"
    mkdir -p "$STATE/kept/$kernel"
    for module in "/lib/modules/$kernel"/{updates,extra}; do
      [[ ! -d $module ]] || cp --archive "$module" "$STATE/kept/$kernel/"
    done
  done
  apt-mark showhold >>"$STATE/holds"
  sync "$STATE/changing" "$STATE/holds" "$STATE"
}
# Packages that dpkg was killed in are reinstalled on their own: apt fails to reinstall one together
# with a package that depends on it. apt repairs conflicts between packages of two releases only
# when no package is named, and apt-get check does not report all of them. Each of the two steps may
# need the other one first, so both run twice.
finish() {
  local tree cut
  step "finishing what an earlier installation left undone"
  for tree in /var/lib/dkms/amdgpu/[0-9]*/; do
    [[ ! -d $tree || -e $tree/source/dkms.conf ]] || { echo "dkms: $tree has lost its source, and is removed" && rm -rf "$tree"; }
  done
  if [[ -n $(unfinished) ]] || ! apt-get check >/dev/null 2>&1; then
    for _ in 1 2; do
      run dpkg --configure --pending || true
      mapfile -t cut < <(unfinished reinstreq)
      [[ ${#cut[@]} == 0 ]] || change_with_apt --reinstall "${cut[@]}" || true
      [[ -n $(unfinished) ]] || ! apt-get check >/dev/null 2>&1 || break
      change_with_apt || true
    done
  fi
}

# dpkg was killed, and its journal is not played back.
is_interrupted() { compgen -G '/var/lib/dpkg/updates/[0-9]*' >/dev/null; }
# Not by --assume-no: apt asks no question when it does only what it was told, and would begin.
dry_run() { install_from_amd --simulate --reinstall "${change[@]}" "${removals[@]}"; }

step "downloading"
enough_time
wait_for_lock
rm -rf "$STATE/back"
if [[ ${#change[@]} -gt 0 || ${#gone[@]} -gt 0 ]]; then
  removals=("${gone[@]/%/-}")
  dry_run=failed
  is_interrupted || ! dry_run || dry_run=passed
  if [[ $dry_run == failed ]] && { is_interrupted || { ! passes && { [[ -n $(unfinished) ]] || ! apt-get check >/dev/null 2>&1; }; }; }; then
    # dpkg was killed: apt makes no dry run before that is finished.
    effect="what an interrupted installation left was finished as far as it could be"
    begin
    finish
    look_at_packages
    ! dry_run || dry_run=passed
  fi
  if [[ $dry_run == failed ]]; then
    ! passes || later "the package manager cannot be used: $(reason)"
    fail "the packages cannot be installed together: $(reason); $effect"
  fi
  others=$(removed_besides "${gone[@]}")
  [[ -z $others ]] || fail "$release cannot be installed without removing $others, which is not AMD's of this release and which this script never removes: remove or change it, or name another release; $effect"
  install_from_amd --print-uris --reinstall "${change[@]}" "${removals[@]}" || true
  fetch=$(awk '/^\x27/ { bytes += $3 } END { print int(bytes / 1000000) + 1 }' "$STATE/said")
  enough /var/lib/ossci "$fetch" "the packages"
  if ! install_from_amd --download-only --reinstall "${change[@]}" "${removals[@]}"; then
    ! passes || later "the packages cannot be fetched: $(reason)"
    fail "the packages cannot be downloaded: $(reason); $effect"
  fi
fi
# Each file system has to hold what grows on it, and the largest package twice while it is replaced.
declare -A grows=() largest=()
for file in "$STATE"/archives/*.deb; do
  [[ -e $file ]] || continue
  # shellcheck disable=SC2016
  read -r name size < <(dpkg-deb --show --showformat='${Package} ${Installed-Size}\n' "$file")
  size=$((${size:-0} / 1024 + 1))
  before=$(dpkg-query --show --showformat='${Installed-Size}\n' "$name" 2>/dev/null | head -n 1) || true
  [[ $(dpkg-deb --fsys-tarfile "$file" | tar --list 2>/dev/null | grep -c -m 1 '^\./opt/.') == 0 ]] && place=/usr || place=/opt
  grows[$place]=$((${grows[$place]:-0} + size - ${before:-0} / 1024))
  ((size <= ${largest[$place]:-0})) || largest[$place]=$size
done
# Two that are one file system share its space.
if [[ -d /opt && $(stat --format=%d /opt) == "$(stat --format=%d /usr)" ]]; then
  grows[/usr]=$((${grows[/usr]:-0} + ${grows[/opt]:-0})) grows[/opt]=0
fi
for place in /usr /opt; do
  need=$((${grows[$place]:-0} + ${largest[$place]:-0}))
  ((need <= 0)) || enough "$place" "$need" "the packages"
done
if [[ $has_driver == yes ]]; then
  enough /var/lib "$BUILD_MB" "building the driver"
  [[ ! -d /boot ]] || enough /boot "$BOOT_MB" "the initial RAM disk"
fi
# The way back to the release that is there.
if [[ -s $STATE/offered-before && ${#change[@]} -gt 0 ]]; then
  mkdir -p "$STATE/back"
  for name in "${installed[@]}"; do
    version=$(version_of "$name")
    [[ " ${change[*]} ${gone[*]} amdgpu-dkms " != *" $name "* ]] || ! grep -qxF "$name $version" "$STATE/offered-before" || echo "$name=$version"
  done >"$STATE/back.names"
  if [[ -s $STATE/back.names ]]; then
    cp "$STATE/before.list" "$STATE/sources/ossci-before.list"
    mapfile -t names <"$STATE/back.names"
    if ! apt update -o APT::Get::List-Cleanup=0 || ! (cd "$STATE/back" && run apt-get download "${names[@]}"); then
      echo "the installed release cannot be fetched: if this fails, only the driver's modules can be put back"
      rm -f "$STATE/back"/*
    fi
    rm "$STATE/sources/ossci-before.list"
    apt update -o APT::Get::List-Cleanup=0 || true
  fi
fi

if [[ $has_driver == yes ]] && command -v dkms >/dev/null; then
  trial=$STATE/trial
  rm -rf "$trial"
  mkdir -p "$trial/tree"
  if [[ $build_here == yes ]]; then
    sources=/usr/src
    source=amdgpu-$(version_of_source)
  else
    sources=$trial/usr/src
    driver_deb() { find "$STATE/archives" -name 'amdgpu-dkms_*.deb' | sort --version-sort | tail -n 1; }
    # apt fetches no package that has only to be configured.
    [[ -n $(driver_deb) ]] || (cd "$STATE/archives" && run apt-get download amdgpu-dkms) || later "the driver's package cannot be fetched: $(reason)"
    driver_deb=$(driver_deb)
    dpkg-deb --extract "$driver_deb" "$trial"
    source=$(source_of "$driver_deb")
  fi
  # A driver that AMD's runfile installed stays in dkms beside the package's, and both would be built
  # for the next kernel.
  for tree in /var/lib/dkms/amdgpu/[0-9]*/; do
    version=$(basename "$tree")
    [[ ! -e $tree/source/dkms.conf || $version == "${source#amdgpu-}" ]] || dpkg-query --search "/usr/src/amdgpu-$version/dkms.conf" >/dev/null 2>&1 ||
      fail "dkms has a driver amdgpu $version that no package brought, as AMD's runfile installs it: uninstall it with that runfile; $effect"
  done
  for kernel in "${kernels[@]}"; do
    step "building the driver for kernel $kernel on trial"
    # The headers that are missing would come with the change.
    [[ -e /lib/modules/$kernel/build ]] || { echo "its headers are not installed yet: it is built without a trial" && continue; }
    if ! run dkms build -m amdgpu -v "${source#amdgpu-}" -k "$kernel" --sourcetree "$sources" --dkmstree "$trial/tree"; then
      log=$(find "$trial/tree" -name make.log | head -n 1)
      [[ -z $log ]] || grep -aE -m 5 'error|Error' "$log" || tail -n 5 "$log"
      fail "driver ${DRIVER:-} does not build for kernel $kernel: $(grep -aE -m 1 'error' "${log:-$STATE/said}" || reason); $effect"
    fi
  done
  rm -rf "$trial"
fi
enough_time
wait_for_lock

# From here on the node is changed.
begin
finish

# build_again KERNEL...: builds and installs the driver for these kernels with dkms.
build_again() {
  local kernel version
  version=$(version_of_source)
  for kernel in "$@"; do
    # dkms until 2.8 does not build again what is built, even with --force.
    run dkms unbuild -m amdgpu -v "$version" -k "$kernel" || true
    run dkms build --force -m amdgpu -v "$version" -k "$kernel" && run dkms install --force -m amdgpu -v "$version" -k "$kernel" || return
    [[ ! -e /boot/initrd.img-$kernel ]] || ! command -v update-initramfs >/dev/null || run update-initramfs -u -k "$kernel" || return
  done
}
# purge [NAME...]: goes on whatever the packages' scripts say.
purge() {
  local named
  [[ $# -gt 0 ]] || return 0
  mapfile -t named < <(in_dpkg "$@")
  run dpkg --purge --force-depends "${named[@]}" || true
}
install_all() {
  local kernel without=()
  [[ ${#change[@]} == 0 && ${#gone[@]} == 0 ]] || change_with_apt --reinstall "${change[@]}" "${gone[@]/%/-}" || true
  [[ $build_here == no ]] || build_again "${kernels[@]}" || true
  # A package of the site's that cannot be configured is not ours.
  [[ -z $(unfinished) ]] || run dpkg --configure --pending || true
  # The package builds for the running kernel and the newest one only.
  [[ $has_driver == yes && $(status_of amdgpu-dkms) == installed ]] || return 0
  for kernel in "${kernels[@]}"; do is_ours "$(module_of "$kernel")" || without+=("$kernel"); done
  build_again "${without[@]}" || true
}
step "installing"
install_all
reasons=$(wrong)
why="$reasons: $(reason)"
if [[ -n $reasons ]] && (($(left) >= CHANGE_SECONDS)); then
  echo "that failed: $why"
  step "removing AMD's packages and installing them afresh"
  touched=" ${change[*]} ${gone[*]} "
  look_at_packages
  for name in "${wanted[@]}"; do
    [[ $touched != *" $name "* || " ${change[*]} " == *" $name "* ]] || change+=("$name")
  done
  if [[ $build_here == yes ]]; then change+=(amdgpu-dkms) build_here=no; fi
  # Downloaded first, so that a mirror that is gone meanwhile costs nothing.
  if install_from_amd --download-only --reinstall "${change[@]}"; then
    mapfile -t all < <(for name in $(still_here); do [[ " ${change[*]} ${gone[*]} " != *" $name "* ]] || echo "$name"; done)
    # What needs them stays: they come back at once, whatever this says.
    purge "${all[@]}"
    install_all
  fi
  reasons=$(wrong)
  why="$reasons: $(reason)"
fi

if [[ -n $reasons ]]; then
  step "going back"
  if ! compgen -G "$STATE/back/*.deb" >/dev/null; then
    echo "there are no packages of another release to go back to"
  elif (($(left) >= CHANGE_SECONDS / 2)); then
    # What can be put back, and what was not there before.
    mapfile -t all < <(for name in $(still_here); do
      [[ " ${installed[*]} " == *" $name "* ]] && ! compgen -G "$STATE/back/${name}_*.deb" >/dev/null || echo "$name"
    done)
    purge "${all[@]}"
    run dpkg --install "$STATE"/back/*.deb || true
    run dpkg --configure --pending || true
  else
    echo "there is no time left to put the packages back"
  fi
  for kernel in "${kernels[@]}"; do
    if [[ -d $STATE/kept/$kernel ]] && ! is_ours "$(module_of "$kernel")"; then
      cp --archive "$STATE/kept/$kernel/." "/lib/modules/$kernel/"
      depmod "$kernel"
      echo "the driver's modules for kernel $kernel were put back"
    fi
  done
  missing=$(for name in "${installed[@]}"; do [[ $(status_of "$name") == installed ]] || echo "$name"; done | paste -sd ' ')
  now="driver $(version_of amdgpu-dkms) ($(status_of amdgpu-dkms)), ${rocm_package:-rocm-core} $(version_of "${rocm_package:-rocm-core}")"
  if [[ -n $missing ]]; then
    fail "$release cannot be installed: $why. What was there is NOT whole, these are missing: $missing. There is now: $now. Correct the cause and start this again: it goes on for a day"
  fi
  rm -f "$STATE/changing"
  fail "$release cannot be installed: $why. What was there is whole: $now"
fi

step "looking at what was installed"
rm -rf "$STATE/kept" "$STATE/back" "$STATE/archives" "$STATE/changing"
foreign=$(dpkg --audit | grep -E '^ [a-z]' | awk '{ print $1 }' | paste -sd ' ') || true
[[ -z $foreign ]] || echo "the package manager has unfinished packages of others: $foreign"
echo "installed: $(packages "${wanted[@]}" | awk '{ print $1, $4 }' | paste -sd ,); the next boot loads the driver"
