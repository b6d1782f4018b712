//! Stories of the default reimage script on a virtual machine with real packages: each breaks the
//! installation in another way.

use anyhow::{Result, ensure};

use super::{Before, phase, reimages, takes};
use crate::lab::Lab;
use crate::vm::Room;
use crate::vm::guest::Guest;
use crate::vm::repository::{DRIVER, Repository, UNPACKING};
use crate::wait;

/// An os-release of Ubuntu 24.04; the rest of the machine stays Debian.
const UBUNTU: &str = "ID=ubuntu\\nVERSION_ID=\"24.04\"\\n";

/// The driver's package was unpacked but never configured, and has lost a file. ROCm was unpacked
/// over another release, whose core package is still installed.
pub async fn heal(lab: &Lab, room: &Room, guest: &Guest) -> Result<()> {
    let _repository = repository(lab, room, guest).await?;
    fetch(guest, &Repository::wanted("amdgpu/amdgpu-dkms"), "/tmp/driver.deb").await?;
    guest.run("dpkg --unpack /tmp/driver.deb && rm /usr/src/amdgpu-6.12.12/dkms.conf").await?;
    fetch(guest, &Repository::too_new("rocm-core"), "/tmp/core.deb").await?;
    fetch(guest, &Repository::wanted("rocm/rocm"), "/tmp/rocm.deb").await?;
    guest.run("dpkg --force-depends --install /tmp/core.deb && dpkg --force-depends --unpack /tmp/rocm.deb").await?;
    ensure!(guest.run("apt-get check").await.is_err(), "nothing is broken");
    heals(lab, guest).await
}

/// The installed driver is too new for any GPU, and os-release says Ubuntu.
pub async fn too_new(lab: &Lab, room: &Room, guest: &Guest) -> Result<()> {
    let _repository = repository(lab, room, guest).await?;
    guest
        .run(&format!(
            "mkdir -p /var/lib/lab && cp /etc/os-release /var/lib/lab/ && printf '{UBUNTU}' > /etc/os-release"
        ))
        .await?;
    fetch(guest, &Repository::too_new("amdgpu-dkms"), "/tmp/driver.deb").await?;
    guest.run("dpkg --install /tmp/driver.deb").await?;
    heals(lab, guest).await?;
    guest.run("cp /var/lib/lab/os-release /etc/os-release").await.map(drop)
}

/// The disk is full, so a person is asked with that reason. The repository is down, so the script
/// is ordered again, until its taint is removed. Nothing was changed.
pub async fn fail(lab: &Lab, room: &Room, guest: &Guest) -> Result<()> {
    let mut repository = repository(lab, room, guest).await?;
    let before = Before::of(lab, guest).await?;
    let installed = "dpkg-query --show | sha256sum";
    let was = guest.run(installed).await?;

    let free = "$(( $(df --output=avail -k / | tail -n 1) - 200000 ))";
    guest.run(&format!("mkdir -p /var/lib/lab && fallocate --length {free}K /var/lib/lab/full")).await?;
    reimages::begins(lab, guest, &Repository::script()?).await?;
    reimages::fails(lab, guest, "MB free, and needs 500").await?;
    guest.run("rm /var/lib/lab/full").await?;

    repository.close();
    reimages::begins(lab, guest, &Repository::script()?).await?;
    reimages::is_postponed(lab, guest, "LATER: AMD's repositories cannot be read").await?;
    lab.kubectl.run(&["taint", "node", &guest.name, "repair-reimage-"]).await?;
    phase(lab, &guest.name, "Released").await?;

    ensure!(guest.run(installed).await? == was, "what is installed was changed");
    before.and_boots(lab, guest, 0).await
}

/// Another program holds the package manager's lock, as unattended-upgrades does. The script
/// changes nothing, and is ordered again once the lock is gone.
pub async fn locked(lab: &Lab, room: &Room, guest: &Guest) -> Result<()> {
    let _repository = repository(lab, room, guest).await?;
    let before = Before::of(lab, guest).await?;
    let holds = "use Fcntl; open F, q(>>), q(/var/lib/dpkg/lock-frontend); my $lock = pack(q(ssx4qqix4), F_WRLCK, 0, 0, 0, \
                 0); fcntl F, F_SETLK, $lock or die; sleep 100000";
    guest.run(&format!("echo '{holds}' > /run/holds && systemd-run --quiet --unit=holds perl /run/holds")).await?;
    reimages::begins(lab, guest, &Repository::script()?).await?;
    reimages::is_postponed(lab, guest, "still locked after 10 s, by process").await?;
    guest.run("systemctl stop holds").await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    installed(guest).await
}

/// The power fails while dpkg replaces another release of ROCm. Of two packages that belong
/// together each is of another release, and one is on hold. The script is ordered again, and
/// finishes the installation.
pub async fn power_fails(lab: &Lab, room: &Room, guest: &Guest) -> Result<()> {
    let _repository = repository(lab, room, guest).await?;
    let before = Before::of(lab, guest).await?;
    fetch(guest, &Repository::too_new("rocm-core"), "/tmp/core.deb").await?;
    fetch(guest, &Repository::too_new("rocm"), "/tmp/rocm.deb").await?;
    guest.run("dpkg --install /tmp/core.deb /tmp/rocm.deb && apt-mark hold rocm").await?;
    guest.run(&format!("mkdir -p /var/lib/lab && touch {UNPACKING}")).await?;
    reimages::begins(lab, guest, &Repository::script()?).await?;
    let waits = "pgrep -f '[r]ocm-core.prerm'";
    wait::until("dpkg is between two packages", takes(), || guest.run(waits)).await?;
    guest.power().reset().await?;
    guest.up(takes()).await?;
    let left = guest.run("apt-get check").await;
    guest.run(&format!("rm -f {UNPACKING}")).await?;
    ensure!(left.is_err(), "the power failed too late: nothing is broken");
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 2).await?;
    let held = guest.run("apt-mark showhold && apt-mark unhold rocm > /dev/null").await?;
    ensure!(held.trim() == "rocm", "these packages are on hold: {held:?}");
    installed(guest).await
}

/// Downloads a package to a file of the machine.
async fn fetch(guest: &Guest, from: &str, to: &str) -> Result<()> {
    guest.run(&format!("rm -f {to} && /usr/lib/apt/apt-helper download-file {from} {to}")).await.map(drop)
}

/// Serves AMD's repositories for this machine.
async fn repository(lab: &Lab, room: &Room, guest: &Guest) -> Result<Repository> {
    Repository::open(room, guest.run("uname -r").await?.trim(), &lab.facts.dir).await
}

async fn heals(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    reimages::begins(lab, guest, &Repository::script()?).await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    installed(guest).await
}

/// Checks that the driver and ROCm are installed and that the driver is loaded.
async fn installed(guest: &Guest) -> Result<()> {
    let status = "dpkg-query --show --showformat='${Version} ${db:Status-Status}' amdgpu-dkms";
    let driver = guest.run(status).await?;
    ensure!(driver == format!("{DRIVER} installed"), "the installed driver is {driver}");
    let there = "test -f /usr/src/amdgpu-6.12.12/dkms.conf && test -f /opt/rocm-6.4.1/.info/version";
    guest.run(&format!("{there} && grep -q . /sys/module/amdgpu/srcversion")).await.map(drop)
}
