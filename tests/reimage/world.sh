#!/bin/bash
# Makes a small copy of the world of reimage.sh, inside a chroot: AMD's repositories with small
# packages of the same names, versions, dependencies and maintainer scripts, and two kernels. A driver
# is built by the real dkms, with a script that fails for kernels that its release does not know.
# Sources: the packages' control files and logs in public reports (ROCm/amdgpu#192,
# legacy-rocm-build#3608, #5566, #6193).
set -euo pipefail
. /srv/packages.sh
K1=6.8.0-60-generic K2=6.14.0-29-generic
work=/srv/work
mkdir -p "$work"
export GNUPGHOME=$work/gnupg DEBIAN_FRONTEND=noninteractive
mkdir -p -m 700 "$GNUPGHOME"

control() { # folder name version depends
  mkdir -p "$1/DEBIAN"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: the lab <lab@example.com>\n' "$2" "$3" >"$1/DEBIAN/control"
  [[ -z $4 ]] || echo "Depends: $4" >>"$1/DEBIAN/control"
  printf 'Installed-Size: %s\nDescription: %s of the lab\n' "$(du -sk "$1" | cut -f 1)" "$2" >>"$1/DEBIAN/control"
}
script() { # folder when: from the standard input
  { echo '#!/bin/sh' && echo 'set -e' && cat; } >"$1/DEBIAN/$2"
  chmod 755 "$1/DEBIAN/$2"
}
module() { # file version
  printf 'static const char a[] __attribute__((section(".modinfo"),used))="version=%s"; static const char b[] __attribute__((section(".modinfo"),used))="srcversion=%s"; static const char c[] __attribute__((section(".modinfo"),used))="license=GPL"; static const char d[] __attribute__((section(".modinfo"),used))="name=amdgpu";\n' "$2" "$2" >"$work/module.c"
  gcc -c "$work/module.c" -o "$1"
}
driver() { # repository version version-of-firmware version-of-source kernel...
  local pool=$1/pool version=$2 firmware=$3 source=$4 root
  shift 4
  root=$work/amdgpu-dkms-$source
  mkdir -p "$root/usr/src/amdgpu-$source" "$root/usr/share/dkms/modules_to_force_install"
  echo amdgpu >"$root/usr/share/dkms/modules_to_force_install/amdgpu"
  cat >"$root/usr/src/amdgpu-$source/dkms.conf" <<END
PACKAGE_NAME="amdgpu"
PACKAGE_VERSION="$source"
BUILT_MODULE_NAME[0]="amdgpu"
DEST_MODULE_LOCATION[0]="/kernel/drivers/gpu/drm/amd/amdgpu"
MAKE[0]="sh ./build.sh \$kernelver"
CLEAN="true"
AUTOINSTALL="yes"
END
  module "$root/usr/src/amdgpu-$source/prebuilt.o" "$source"
  cat >"$root/usr/src/amdgpu-$source/build.sh" <<END
case " $* " in
*" \$1 "*) cp prebuilt.o amdgpu.ko ;;
*) echo "amdgpu_drm.c:97:5: error: too many arguments to function, kernel \$1" >&2; exit 2 ;;
esac
END
  control "$root" amdgpu-dkms "$version" "dkms, amdgpu-dkms-firmware (= $firmware)"
  script "$root" postinst <<END
case "\$1" in configure) /usr/lib/dkms/common.postinst amdgpu $source /usr/share/amdgpu-dkms "" "\$2" ;; esac
END
  script "$root" prerm <<END
case "\$1" in
remove | upgrade | deconfigure)
  if [ "\$(dkms status -m amdgpu -v $source)" ]; then
    echo "Deleting module amdgpu-$source completely from the DKMS tree."
    dkms remove -m amdgpu -v $source --all
  fi
  ;;
esac
END
  build "$root" "$pool"
  root=$work/amdgpu-dkms-firmware-$source
  mkdir -p "$root/usr/lib/firmware/updates/amdgpu"
  echo "$source" >"$root/usr/lib/firmware/updates/amdgpu/vega.bin"
  control "$root" amdgpu-dkms-firmware "$firmware" ""
  build "$root" "$pool"
}
rocm() { # repository version folder
  local pool=$1/pool version=$2 folder=rocm-$3 root
  root=$work/rocm-core-$version
  mkdir -p "$root/opt/$folder/"{.info,bin}
  echo "$version" >"$root/opt/$folder/.info/version"
  printf '#!/bin/sh\necho rocminfo %s\n' "$version" >"$root/opt/$folder/bin/rocminfo"
  chmod 755 "$root/opt/$folder/bin/rocminfo"
  control "$root" rocm-core "$version" ""
  echo "update-alternatives --install /opt/rocm rocm /opt/$folder ${3//./}00" | script "$root" postinst
  echo "update-alternatives --remove rocm /opt/$folder || true" | script "$root" prerm
  build "$root" "$pool"
  root=$work/rocm-$version
  control "$root" rocm "$version" "rocm-core (= $version)"
  build "$root" "$pool"
  root=$work/rvs-$version
  mkdir -p "$root/opt/$folder/bin"
  echo "$version" >"$root/opt/$folder/bin/rvs"
  control "$root" rocm-validation-suite "$version" rocm-core
  build "$root" "$pool"
}
amdrocm() { # repository version: the packages since 7.11
  local pool=$1/pool version=$2 series=${2%.*} root
  series=${series%%-*}
  root=$work/amdrocm-core-$version
  mkdir -p "$root/opt/rocm/core-$series/bin"
  echo "$version" >"$root/opt/rocm/core-$series/bin/rocminfo"
  control "$root" "amdrocm-core$series" "$version" ""
  build "$root" "$pool"
  root=$work/amdrocm-$version
  control "$root" "amdrocm$series-gfx942" "$version" "amdrocm-core$series (= $version)"
  build "$root" "$pool"
}
kernel() { # kernel repository
  local root=$work/image-$1
  mkdir -p "$root/boot" "$root/lib/modules/$1/kernel/drivers/gpu/drm/amd/amdgpu"
  echo kernel >"$root/boot/vmlinuz-$1"
  echo config >"$root/boot/config-$1"
  module "$root/lib/modules/$1/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko" "in-tree-$1"
  control "$root" "linux-image-$1" 1 ""
  printf 'depmod %s\n[ ! -d /etc/kernel/postinst.d ] || run-parts --report --exit-on-error --arg=%s /etc/kernel/postinst.d\n' "$1" "$1" | script "$root" postinst
  build "$root" "$2/pool"
  root=$work/headers-$1
  mkdir -p "$root/usr/src/linux-headers-$1/include" "$root/lib/modules/$1"
  echo header >"$root/usr/src/linux-headers-$1/include/header"
  ln -s "/usr/src/linux-headers-$1" "$root/lib/modules/$1/build"
  control "$root" "linux-headers-$1" 1 ""
  printf '[ ! -d /etc/kernel/header_postinst.d ] || run-parts --report --exit-on-error --arg=%s /etc/kernel/header_postinst.d\n' "$1" | script "$root" postinst
  build "$root" "$2/pool"
}

# What this machine has of its own is none of the node's.
rm -rf /etc/apt/sources.list.d/* /etc/apt/preferences.d/* /etc/apt/apt.conf.d/* /opt/* /usr/src/*
: >/etc/apt/sources.list
# The kernel and the command line of this machine are none of the node's.
printf '#!/bin/sh\ncase "$1" in -r) cat /srv/running ;; *) exec /bin/uname "$@" ;; esac\n' >/usr/local/bin/uname
chmod 755 /usr/local/bin/uname
echo "$K1" >/srv/running
dpkg --install /srv/debs/*.deb
gpg --batch --quiet --passphrase '' --quick-generate-key 'the lab <lab@example.com>' ed25519 sign never

radeon=/srv/amd
driver "$radeon/amdgpu/6.4.1/ubuntu" "1:6.12.12.60401-2164967.22.04" "1:6.12.12.60401-2164967.22.04" 6.12.12-2164967.22.04 "$K1"
driver "$radeon/amdgpu/30.30.3/ubuntu" "1:6.16.13.30300300-2327507.22.04" "30.30.3.0.30300300-2327507.22.04" 6.16.13-2327507.22.04 "$K1" "$K2"
driver "$radeon/amdgpu/30.30.1/ubuntu" "1:6.16.13.30300100-2278356.22.04" "30.30.1.0.30300100-2278356.22.04" 6.16.13-2278356.22.04 "$K1" "$K2"
rocm "$radeon/rocm/apt/6.4.1" "6.4.1.60401-83~22.04" 6.4.1
rocm "$radeon/rocm/apt/7.2.1" "7.2.1.70201-81~22.04" 7.2.1
rocm "$radeon/rocm/apt/7.2.3" "7.2.3.70203-90~22.04" 7.2.3
for version in 7.14.0-3 7.14.1-1; do amdrocm /srv/multi "$version"; done
releases=(amdgpu/6.4.1/ubuntu amdgpu/30.30.3/ubuntu amdgpu/30.30.1/ubuntu rocm/apt/6.4.1 rocm/apt/7.2.1 rocm/apt/7.2.3)
for release in "${releases[@]}"; do index "$radeon/$release" jammy repo.radeon.com; done
index /srv/multi stable repo.amd.com
gpg --batch --armor --export >"$radeon/rocm/rocm.gpg.key"
# A mirror that signs by itself, with another origin.
cp -a "$radeon" /srv/mirror
for release in "${releases[@]}"; do index "/srv/mirror/$release" jammy site-mirror; done
kernel "$K1" /srv/site
kernel "$K2" /srv/site
index /srv/site stable site
echo "deb [trusted=yes] file:/srv/site stable main" >/etc/apt/sources.list.d/site.list
apt-get -qq update
apt-get -qq -y install "linux-image-$K1" "linux-headers-$K1" >/dev/null
rm -rf "$work"/amd* "$work"/r* "$work"/image* "$work"/headers*
gpgconf --kill all
