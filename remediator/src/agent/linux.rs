//! The real host: a privileged pod in the host's PID namespace reaches systemd and the root file
//! system through the namespaces of process 1.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::driver::{Driver, Loaded, MODULE};
use super::evidence::{KERNEL, Section, tail};
use super::host::{Host, ScriptOutcome};
use super::load_test;
use super::process::HostError;
use super::redact::redact;
use super::script_files::ScriptFiles;
use crate::agent::process;

const SYSTEMCTL: Duration = Duration::from_secs(30);
/// Limit of a request to reboot. systemd gives a generator 90 s when it reloads its units, and
/// `systemctl reboot` waits twice 25 s for a logind that does not answer before it turns to process
/// 1.
const FOR_REBOOT: Duration = Duration::from_secs(120);
/// How long a load test may take to stop after its time limit, in seconds.
const LOAD_TEST_ENDS: u64 = 10;
/// Limit of each of [`EVIDENCE`]; all run in parallel. A tool that waits for a missing GPU waits
/// for ever.
const EVIDENCE_TAKES: Duration = Duration::from_secs(20);
/// The host's root, as process 1 sees it.
const HOST_ROOT: &str = "/proc/1/root";
/// Limit of the stored output of a load test, in characters.
const SAID: usize = 2_000;
/// Interval at which a script's unit is read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Properties of a script's unit. It stays loaded after its end until the outcome is recorded. A
/// build of kernel modules needs some memory and processes, but not all: what takes too much fails
/// alone, and the script reports it.
const SCRIPT_PROPERTIES: [&str; 8] = [
    "--property=RemainAfterExit=yes",
    "--property=Type=exec",
    "--property=Delegate=yes",
    "--property=MemoryMax=50%",
    "--property=OOMPolicy=continue",
    "--property=CPUQuota=1600%",
    "--property=CPUWeight=20",
    "--property=TasksMax=4096",
];
/// If the script's own time limit does not work (it cannot start a process), systemd ends the unit
/// this many seconds later.
const UNIT_LATER: u64 = 60;
/// All namespaces of process 1 that decide what a command sees.
const ENTER: [&str; 7] = ["--target", "1", "--mount", "--uts", "--ipc", "--net", "--"];

/// The evidence of the host: section name and command. A missing tool is reported in its section.
const EVIDENCE: [(&str, &[&str]); 16] = [
    ("uptime", &["cat", "/proc/uptime", "/proc/loadavg"]),
    ("kernel", &["uname", "-a"]),
    ("kernel command line", &["cat", "/proc/cmdline"]),
    ("distribution", &["cat", "/etc/os-release"]),
    ("driver that is loaded", &["cat", "/sys/module/amdgpu/version", "/sys/module/amdgpu/srcversion"]),
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
}

impl Default for Linux {
    fn default() -> Self {
        Self {
            boot_id: PathBuf::from("/proc/sys/kernel/random/boot_id"),
            reboot_bound: PathBuf::from(HOST_ROOT).join("run/systemd/system/reboot.target.d/50-ossci.conf"),
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
        systemctl(&["daemon-reload"], FOR_REBOOT).await
    }

    async fn unbound(&self) {
        let gone = std::fs::remove_file(&self.reboot_bound);
        if let Err(error) = systemctl(&["daemon-reload"], FOR_REBOOT).await {
            tracing::warn!(error = %error, drop_in_removed = gone.is_ok(), "cannot reload systemd after a refused reboot");
        }
    }
}

/// The folder of all orders below `root`.
fn orders(root: &str) -> PathBuf {
    PathBuf::from(format!("{root}/var/lib/ossci/orders"))
}

/// Whether the unit of a script runs on this boot.
async fn runs(key: &str) -> Result<bool, HostError> {
    let show = ["systemctl", "show", "--property=SubState", "--value", &unit(key)];
    let ended = on_host("systemctl show", &show, b"", SYSTEMCTL).await?;
    done("systemctl show", &ended)?;
    // A unit that is being stopped may still run for a while.
    Ok(!matches!(String::from_utf8_lossy(&ended.stdout).trim(), "dead" | "failed" | "exited" | ""))
}

/// The transient unit of a load test.
fn load_test_unit(key: &str) -> String {
    format!("ossci-load-test-{key}.service")
}

/// The transient unit of an order's script.
fn unit(key: &str) -> String {
    format!("ossci-order-{key}.service")
}

/// Whether the machine is already shutting down: systemd then refuses another request.
async fn goes_down() -> bool {
    let asked = on_host("systemctl is-system-running", &["systemctl", "is-system-running"], b"", SYSTEMCTL).await;
    asked.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim() == "stopping")
}

async fn systemctl(arguments: &[&str], within: Duration) -> Result<(), HostError> {
    let what = format!("systemctl {}", arguments[0]);
    let command: Vec<&str> = ["systemctl"].iter().chain(arguments).copied().collect();
    let ended = on_host(&what, &command, b"", within).await?;
    done(&what, &ended)
}

async fn on_host(what: &str, command: &[&str], input: &[u8], deadline: Duration) -> Result<process::Ended, HostError> {
    let arguments: Vec<&str> = ENTER.iter().chain(command).copied().collect();
    process::run(what, "nsenter", &arguments, input, deadline).await
}

fn done(what: &str, ended: &process::Ended) -> Result<(), HostError> {
    if ended.exit_status == Some(0) {
        return Ok(());
    }
    let status = ended.exit_status.map_or("a signal".to_owned(), |status| status.to_string());
    let stderr = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(HostError::Refused { what: what.to_owned(), status, stderr })
}

impl Host for Linux {
    fn boot_id(&self) -> Result<String, HostError> {
        std::fs::read_to_string(&self.boot_id)
            .map(|text| text.trim().to_owned())
            .map_err(|source| HostError::BootID { path: self.boot_id.display().to_string(), source })
    }

    async fn reboot(&self, order: &str, within: Duration) -> Result<(), HostError> {
        self.bound_the_reboot(within).await?;
        let message = format!("--message=OSSCI Ops repair order {order}");
        match systemctl(&["reboot", &message], FOR_REBOOT).await {
            Ok(()) => Ok(()),
            Err(HostError::Refused { .. }) if goes_down().await => Ok(()),
            // The request may still take effect, and needs its time limit then.
            Err(error @ HostError::TooLong { .. }) => Err(error),
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
            let said = on_host(command[0], command, b"", within).await;
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
        let asked = on_host("modinfo", &["modinfo", "--field", "srcversion", MODULE], b"", SYSTEMCTL).await.ok()?;
        let installed = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        Some(Driver { installed: Some(installed).filter(|version| !version.is_empty()), loaded })
    }

    async fn load_test(&self, key: &str, command: &[String], within: Duration) -> Result<ScriptOutcome, HostError> {
        // An earlier agent may have left it running; two at a time would disturb each other.
        self.end_load_test(key).await?;
        let unit = load_test_unit(key);
        let named = format!("--unit={unit}");
        let longest = format!("--property=RuntimeMaxSec={}", within.as_secs().max(1));
        let ends = format!("--property=TimeoutStopSec={LOAD_TEST_ENDS}");
        let begun = ["systemd-run", "--quiet", "--wait", "--pipe", &named, &longest, &ends, "--"];
        let command = load_test::for_systemd(command);
        let command: Vec<&str> = begun.into_iter().chain(command.iter().map(String::as_str)).collect();
        let ended = match on_host("systemd-run", &command, b"", within + SYSTEMCTL).await {
            Ok(ended) => ended,
            // Its time limit expired, and it hangs in the kernel.
            Err(HostError::TooLong { .. }) => {
                let tail = "it cannot be stopped, not even by force".to_owned();
                return Ok(ScriptOutcome { exit_status: None, too_long: true, tail });
            }
            Err(error) => return Err(error),
        };
        let said = [ended.stdout, ended.stderr].concat();
        let tail = tail(&redact(String::from_utf8_lossy(&said).trim()), SAID).to_owned();
        if ended.exit_status == Some(0) {
            return Ok(ScriptOutcome { exit_status: Some(0), too_long: false, tail });
        }
        // systemd-run uses exit statuses of its own, so the outcome of the unit is read from
        // systemd.
        let show = ["systemctl", "show", "--property=Result,ExecMainCode,ExecMainStatus", &unit];
        let shown = on_host("systemctl show", &show, b"", SYSTEMCTL).await?;
        let _ = systemctl(&["reset-failed", &unit], SYSTEMCTL).await;
        Ok(load_test::of_unit(&String::from_utf8_lossy(&shown.stdout), tail))
    }

    async fn end_load_test(&self, key: &str) -> Result<(), HostError> {
        let unit = load_test_unit(key);
        // Without such a unit both fail, which is no error.
        let _ = systemctl(&["stop", &unit], SYSTEMCTL).await;
        let _ = systemctl(&["reset-failed", &unit], SYSTEMCTL).await;
        let show = ["systemctl", "show", "--property=ActiveState", "--value", &unit];
        let shown = on_host("systemctl show", &show, b"", SYSTEMCTL).await?;
        match String::from_utf8_lossy(&shown.stdout).trim() {
            "inactive" => Ok(()),
            state => Err(HostError::Refused {
                what: "systemctl stop".to_owned(),
                status: state.to_owned(),
                stderr: format!("an earlier {unit} cannot be stopped"),
            }),
        }
    }

    async fn start_script(&self, key: &str, script: &str, seconds: u64) -> Result<(), HostError> {
        let files = ScriptFiles::of(&orders(HOST_ROOT), key);
        let path = files.run().display().to_string();
        files.write(script).map_err(|source| HostError::Write { path, source })?;
        // The path as the host sees it.
        let run = ScriptFiles::of(&orders(""), key).run().display().to_string();
        let unit = format!("--unit={}", unit(key));
        let longest = format!("--property=RuntimeMaxSec={}", seconds.saturating_add(UNIT_LATER));
        let seconds = seconds.to_string();
        let begun = ["systemd-run", "--quiet", &unit, "--description=OSSCI Ops reimage", &longest];
        let command = [&begun[..], &SCRIPT_PROPERTIES, &["/bin/bash", &run, &seconds, "unit"]].concat();
        done("systemd-run", &on_host("systemd-run", &command, b"", SYSTEMCTL).await?)
    }

    async fn script_ended(&self, key: &str) -> Result<Option<ScriptOutcome>, HostError> {
        let files = ScriptFiles::of(&orders(HOST_ROOT), key);
        let look = || {
            let path = files.run().display().to_string();
            files.outcome().map_err(|source| HostError::Read { path, source })
        };
        loop {
            let runs = runs(key).await?;
            // Read after the unit: a script that exited in between has left its result.
            match look()? {
                Some(outcome) => {
                    if let Err(error) = systemctl(&["stop", &unit(key)], SYSTEMCTL).await {
                        tracing::warn!(order = key, error = error.whole(), "cannot stop the unit of a finished script");
                    }
                    return Ok(Some(outcome));
                }
                None if !runs => return Ok(None),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}
