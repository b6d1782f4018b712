#!/bin/bash
# Words for the cases of reimage.sh: what the node is like, runs of the script, and what it has to be
# like then. A case is a bash script in cases/ that begins with a comment, and fails by its first
# failing line.
set -euo pipefail
. /srv/packages.sh
K1=6.8.0-60-generic K2=6.14.0-29-generic
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/srv/work/gnupg
# The settings of a site: its mirror, and what a small node on an overlay needs.
export REPOSITORY=file:/srv/amd ROOT_KEEPS=yes BUILD_MB=10 BOOT_MB=1 LOCK_SECONDS=3 CHANGE_SECONDS=60
DRIVER_6_4_1="1:6.12.12.60401-2164967.22.04" DRIVER_30_30_3="1:6.16.13.30300300-2327507.22.04"
ROCM_6_4_1="6.4.1.60401-83~22.04" ROCM_7_2_3="7.2.3.70203-90~22.04" ROCM_7_2_1="7.2.1.70201-81~22.04"
OUT=/tmp/out
# Nothing may run on in the file system of a case.
trap 'gpgconf --kill all; kill $(jobs -p) 2>/dev/null || true; wait' EXIT

# has ROCM DRIVER [PACKAGE...]: the site installed this release, with AMD's documented lists.
has() {
  local rocm=$1 driver=$2
  shift 2
  mkdir -p /etc/apt/keyrings
  gpg --dearmor <"${REPOSITORY#file:}/rocm/rocm.gpg.key" >/etc/apt/keyrings/rocm.gpg
  echo "deb [arch=amd64 signed-by=/etc/apt/keyrings/rocm.gpg] $REPOSITORY/amdgpu/$driver/ubuntu jammy main" >/etc/apt/sources.list.d/amdgpu.list
  echo "deb [arch=amd64 signed-by=/etc/apt/keyrings/rocm.gpg] $REPOSITORY/rocm/apt/$rocm jammy main" >/etc/apt/sources.list.d/rocm.list
  apt-get -qq update
  apt-get -qq -y --allow-downgrades install amdgpu-dkms rocm "$@" >/tmp/has.log 2>&1 || echo "the site's installation failed: $(tail -n 1 /tmp/has.log)"
}
# The newer kernel comes by an update, and its headers' hooks may fail.
kernel_update() {
  apt-get -qq -y install "linux-image-$K2" "linux-headers-$K2" >/tmp/kernel.log 2>&1 || echo "the update of the kernel failed, as expected: $(tail -n 1 /tmp/kernel.log)"
}
# processes PATTERN: prints those of this case whose command line has the pattern.
processes() {
  local process
  for process in /proc/[0-9]*; do
    [[ ! $process/root -ef / ]] || ! tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -qE "$1" || echo "${process#/proc/}"
  done
}
runs_on() { echo "$1" >/srv/running; }
# package NAME VERSION FOLDER [DEPENDS]: a package of others, with the files below FOLDER.
package() {
  local root=/tmp/package-$1
  rm -rf "$root"
  mkdir -p "$root"
  [[ ! -d $3 ]] || cp -a "$3/." "$root/"
  mkdir -p "$root/DEBIAN"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: somebody <s@example.com>\n%sDescription: %s\n' "$1" "$2" "${4:+Depends: $4
}" "$1" >"$root/DEBIAN/control"
}
built() { build "/tmp/package-$1" "$2"; }
# index_again REPOSITORY: after its pool was changed.
index_again() {
  local suite
  for suite in "$1"/dists/*; do index "$1" "$(basename "$suite")" "$(sed -n 's/^Origin: //p' "$suite/Release")"; done
}

# reimage STATUS [SETTING=VALUE...]: runs the script, which has to exit with this status.
reimage() {
  local wanted=$1 status=0
  shift
  env "$@" bash /srv/reimage.sh "${LIMIT:-900}" >"$OUT" 2>&1 </dev/null || status=$?
  sed 's/^/  | /' "$OUT"
  [[ $status == "$wanted" ]] || { echo "it exited with $status instead of $wanted" && return 1; }
  # A run that was killed could not.
  [[ $status == 137 || ! -e /var/lib/ossci/reimage/holds ]] || { echo "the holds were not put back" && return 1; }
}
says() { grep -qF -- "$1" "$OUT" || { echo "it does not say: $1" && return 1; }; }
# What is installed, the modules that each kernel would load, and what is below /opt and in /etc/apt.
state() {
  mkdir -p /opt
  dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Version}\n' 'amd*' 'rocm*' 'linux-*' dkms 2>/dev/null | grep -v '^un' || true
  dkms status 2>&1 | sort
  for kernel in "$K1" "$K2"; do
    [[ ! -d /lib/modules/$kernel ]] || echo "$kernel: $(modinfo --set-version "$kernel" --field filename amdgpu 2>&1) $(modinfo --set-version "$kernel" --field version amdgpu 2>&1)"
  done
  find /opt /etc/apt -type f -exec sha256sum {} + | sort -k 2
  find /opt -type l -printf '%p -> %l\n' | sort
}
remember() { state >/tmp/before; }
# Nothing is other than it was.
unchanged() { diff /tmp/before <(state) || { echo "the node was changed" && return 1; }; }
# is ROCM DRIVER: everything of AMD's is whole and of this release, and each kernel has the driver.
is() {
  local name
  for name in "rocm $1" "rocm-core $1" "amdgpu-dkms $2"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status} ${Version}' "${name% *}") == "installed ${name#* }" ]] ||
      { echo "$name is: $(dpkg-query --show --showformat='${db:Status-Status} ${Version}' "${name% *}")" && return 1; }
  done
  driver_for_all
  [[ -x /opt/rocm/bin/rocminfo && $(/opt/rocm/bin/rocminfo) == "rocminfo $1" ]] || { echo "/opt/rocm is not of $1" && return 1; }
  [[ -z $(dpkg --verify rocm-core amdgpu-dkms) ]] || { echo "files are lost" && return 1; }
}
driver_for_all() {
  local kernel
  for kernel in "$K1" "$K2"; do
    [[ ! -d /lib/modules/$kernel || $(modinfo --set-version "$kernel" --field filename amdgpu) == */updates/* ]] || { echo "kernel $kernel has no driver of AMD's" && return 1; }
  done
}
# Every package of the node is whole.
all_whole() { [[ -z $(dpkg --audit) ]] || { dpkg --audit && return 1; }; }
