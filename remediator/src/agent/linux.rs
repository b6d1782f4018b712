//! The real host: a privileged pod has the host's root file system as a folder, with the socket of
//! the host's D-Bus in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::Variant;

use super::driver::{Driver, Installed, Loaded, MODULE};
use super::evidence::{KERNEL, LOADED_DRIVER, ROCM, Section};
use super::host::{Host, ScriptKind, ScriptOutcome};
use super::process::{self, HostError};
use super::script_files::ScriptFiles;
use super::systemd::{Property, Systemd};

/// Limit of modinfo.
const MODINFO: Duration = Duration::from_secs(30);
/// Limit of each of [`EVIDENCE`]; all run in parallel. A tool that waits for a missing GPU waits
/// for ever.
const EVIDENCE_TAKES: Duration = Duration::from_secs(20);
/// The host's root.
const HOST_ROOT: &str = "/host";
/// Intervals at which a script's unit is read: the first, and the longest. Each is twice the one
/// before.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a script may take to stop.
const STOPS: Duration = Duration::from_secs(30);
/// If the script's own time limit does not work (it cannot start a process), systemd ends the unit
/// this many seconds later.
const UNIT_LATER: u64 = 60;
/// The evidence of the host: section name and command. A missing tool is reported in its section.
const EVIDENCE: [(&str, &[&str]); 17] = [
    ("uptime", &["cat", "/proc/uptime", "/proc/loadavg"]),
    ("kernel", &["uname", "-a"]),
    ("kernel command line", &["cat", "/proc/cmdline"]),
    ("distribution", &["cat", "/etc/os-release"]),
    (ROCM, &["cat", "/opt/rocm/.info/version"]),
    (LOADED_DRIVER, &["cat", "/sys/module/amdgpu/version", "/sys/module/amdgpu/srcversion"]),
    ("driver that is installed", &["modinfo", "amdgpu"]),
    ("driver's builds", &["dkms", "status"]),
    ("packages", &["dpkg-query", "--list", "amdgpu*", "rocm*", "linux-image*"]),
    ("rocm-smi", &["/opt/rocm/bin/rocm-smi", "--showallinfo"]),
    ("amd-smi", &["/opt/rocm/bin/amd-smi", "static"]),
    ("rocminfo", &["/opt/rocm/bin/rocminfo"]),
    // 1002 is AMD.
    ("PCI devices", &["lspci", "-nnvvd", "1002:"]),
    ("processes", &["ps", "-eo", "pid,ppid,stat,etimes,wchan:32,comm"]),
    // Left behind by a kernel that panicked.
    (
        "pstore",
        &["find", "/sys/fs/pstore", "/var/lib/systemd/pstore", "-type", "f", "-exec", "tail", "-c", "65536", "{}", "+"],
    ),
    (
        "kernel log of the boot before",
        &["journalctl", "--dmesg", "--boot=-1", "--no-pager", "--lines=5000", "--output=short-iso-precise"],
    ),
    (KERNEL, &["dmesg", "--time-format", "iso"]),
];

/// The machine that this process runs on.
#[derive(Debug, Clone)]
pub struct Linux {
    boot_id: PathBuf,
    /// A drop-in for the host's reboot.target.
    reboot_bound: PathBuf,
    systemd: Systemd,
}

impl Default for Linux {
    fn default() -> Self {
        Self {
            boot_id: PathBuf::from("/proc/sys/kernel/random/boot_id"),
            reboot_bound: PathBuf::from(HOST_ROOT).join("run/systemd/system/reboot.target.d/50-ossci.conf"),
            systemd: Systemd::of(Path::new(HOST_ROOT)),
        }
    }
}

impl Linux {
    /// Sets a time limit for the reboot. systemd stops containers first, this one too, so only the
    /// host itself can end a shutdown that hangs: by the time limit of systemd's reboot job. When
    /// it expires, systemd continues by force: it kills what is left, unmounts, and reboots.
    ///
    /// The alternative is a unit of ours that sleeps and then uses SysRq. It would have to survive
    /// that killing, needs a shell, and unmounts nothing. Neither helps if process 1 is dead: that
    /// is for the BMC.
    ///
    /// Source: systemd.unit(5), `JobTimeoutSec=` and `JobTimeoutAction=`. The file is in /run, so
    /// it is gone with this boot.
    async fn bound_the_reboot(&self, within: Duration) -> Result<(), HostError> {
        let text = format!("[Unit]\nJobTimeoutSec={}s\nJobTimeoutAction=reboot-force\n", within.as_secs().max(1));
        let write = |path: &Path| {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            std::fs::write(path, text)
        };
        let path = &self.reboot_bound;
        write(path).map_err(|source| HostError::Write { path: path.display().to_string(), source })?;
        self.systemd.reload().await
    }

    async fn unbound(&self) {
        let gone = std::fs::remove_file(&self.reboot_bound);
        if let Err(error) = self.systemd.reload().await {
            tracing::warn!(error = %error, drop_in_removed = gone.is_ok(), "cannot reload systemd after a refused reboot");
        }
    }
}

/// The folder of all orders below `root`.
fn orders(root: &str) -> PathBuf {
    PathBuf::from(format!("{root}/var/lib/ossci/orders"))
}

/// The transient unit of an order's script.
fn unit(key: &str) -> String {
    format!("ossci-order-{key}.service")
}

/// Returns the properties of a script's unit. It stays loaded after its end until the outcome is
/// recorded.
///
/// Source: org.freedesktop.systemd1(5); a scale is a share of 2^32 - 1.
fn properties(kind: ScriptKind, command: &[&str], seconds: u64) -> Vec<Property> {
    const MICROSECONDS: u64 = 1_000_000;
    let arguments: Vec<String> = command.iter().map(|&argument| argument.to_owned()).collect();
    let start = (command[0].to_owned(), arguments, false);
    let longest = seconds.saturating_add(UNIT_LATER).saturating_mul(MICROSECONDS);
    let common: [Property; 5] = [
        ("Description", Variant::from("OSSCI Ops order")),
        ("Type", Variant::from("exec")),
        ("RemainAfterExit", Variant::from(true)),
        ("RuntimeMaxUSec", Variant::from(longest)),
        ("ExecStart", Variant::from(vec![start])),
    ];
    let of_kind: Vec<Property> = match kind {
        // A build of kernel modules needs some memory and processes, but not all: what takes too
        // much fails alone, and the script reports it.
        ScriptKind::Reimage => vec![
            ("Delegate", Variant::from(true)),
            ("MemoryMaxScale", Variant::from(u32::MAX / 2)),
            ("OOMPolicy", Variant::from("continue")),
            ("CPUQuotaPerSecUSec", Variant::from(16 * MICROSECONDS)),
            ("CPUWeight", Variant::from(20_u64)),
            ("TasksMax", Variant::from(4096_u64)),
        ],
        ScriptKind::LoadTest => vec![("TimeoutStopUSec", Variant::from(10 * MICROSECONDS))],
    };
    common.into_iter().chain(of_kind).collect()
}

/// Runs a command in the host's root.
async fn on_host(what: &str, command: &[&str], deadline: Duration) -> Result<process::Ended, HostError> {
    let arguments: Vec<&str> = [HOST_ROOT].iter().chain(command).copied().collect();
    process::run(what, "chroot", &arguments, b"", deadline).await
}

/// Where the kernel says that a crash kernel is loaded: `1`. Absent without CONFIG_KEXEC.
const CRASH_KERNEL: &str = "/sys/kernel/kexec_crash_loaded";

impl Host for Linux {
    fn crash_kernel(&self) -> bool {
        std::fs::read_to_string(CRASH_KERNEL).is_ok_and(|text| text.trim() == "1")
    }

    fn boot_id(&self) -> Result<String, HostError> {
        std::fs::read_to_string(&self.boot_id)
            .map(|text| text.trim().to_owned())
            .map_err(|source| HostError::BootID { path: self.boot_id.display().to_string(), source })
    }

    async fn reboot(&self, order: &str, within: Duration) -> Result<(), HostError> {
        self.bound_the_reboot(within).await?;
        match self.systemd.reboot(&format!("OSSCI Ops repair order {order}")).await {
            Ok(()) => Ok(()),
            // The request may still take effect, and needs its time limit then.
            Err(error) if error.may_be_done() => Err(error),
            Err(error) => {
                // Another program's reboot must not get our time limit.
                self.unbound().await;
                Err(error)
            }
        }
    }

    async fn evidence(&self, within: Duration) -> Vec<Section> {
        let within = within.min(EVIDENCE_TAKES);
        let sections = EVIDENCE.iter().map(|(name, command)| async move {
            let said = on_host(command[0], command, within).await;
            let said = said.map(|ended| [ended.stdout, ended.stderr].concat());
            let said = said.map(|text| String::from_utf8_lossy(&text).into_owned()).map_err(|error| error.whole());
            Section { name, said }
        });
        futures::future::join_all(sections).await
    }

    async fn driver(&self) -> Option<Driver> {
        let module = Path::new("/sys/module").join(MODULE);
        let loaded = if module.is_dir() {
            let version = std::fs::read_to_string(module.join("srcversion")).ok();
            Loaded::Yes(version.map(|text| text.trim().to_owned()))
        } else {
            Loaded::No
        };
        let asked = on_host("modinfo", &["modinfo", MODULE], MODINFO).await.ok()?;
        Some(Driver { installed: Installed::of(&String::from_utf8_lossy(&asked.stdout)), loaded })
    }

    async fn start_script(
        &self,
        kind: ScriptKind,
        key: &str,
        script: &str,
        settings: &[(&str, &str)],
        seconds: u64,
    ) -> Result<(), HostError> {
        let files = ScriptFiles::of(&orders(HOST_ROOT), key);
        let path = files.run().display().to_string();
        files.write(script, settings).map_err(|source| HostError::Write { path, source })?;
        // The path as the host sees it.
        let run = ScriptFiles::of(&orders(""), key).run().display().to_string();
        let time = seconds.to_string();
        let command: &[&str] = match kind {
            ScriptKind::Reimage => &["/bin/bash", &run, &time, "unit"],
            ScriptKind::LoadTest => &["/bin/bash", &run, &time],
        };
        self.systemd.start(&unit(key), properties(kind, command, seconds)).await
    }

    async fn script_ended(&self, key: &str) -> Result<Option<ScriptOutcome>, HostError> {
        let files = ScriptFiles::of(&orders(HOST_ROOT), key);
        let look = || {
            let path = files.run().display().to_string();
            files.outcome().map_err(|source| HostError::Read { path, source })
        };
        let mut wait = LOOK_FIRST;
        loop {
            let runs = match self.systemd.runs(&unit(key)).await {
                // systemd is reloaded or its bus restarted: the script runs on.
                Err(error) if error.may_be_done() => true,
                other => other?,
            };
            // Read after the unit: a script that exited in between has left its result.
            match look()? {
                Some(outcome) => {
                    if let Err(error) = self.end_script(key).await {
                        tracing::warn!(order = key, error = error.whole(), "cannot stop the unit of a finished script");
                    }
                    return Ok(Some(outcome));
                }
                None if !runs => return Ok(None),
                None => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(LOOK_EVERY);
        }
    }

    async fn end_script(&self, key: &str) -> Result<(), HostError> {
        self.systemd.stop(&unit(key)).await?;
        let ended = async {
            while self.systemd.runs(&unit(key)).await? {
                tokio::time::sleep(LOOK_FIRST).await;
            }
            Ok(())
        };
        let too_long = || HostError::TooLong { what: format!("stopping {}", unit(key)), seconds: STOPS.as_secs() };
        tokio::time::timeout(STOPS, ended).await.unwrap_or_else(|_| Err(too_long()))?;
        self.systemd.forget(&unit(key)).await
    }
}
