//! Node for the measurements: scripts in place of the tools, the exporter, its peers, and their
//! values in procfs.

use crate::measure::Spread;
use crate::wait::wait_for;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Returns the CPU time of a process without its children: the scheduler's sum over its threads.
/// Threads that have ended are not included; the exporter keeps its threads between two runs.
pub fn cpu_seconds(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Scrapes `count` times over one connection, and returns the times.
pub fn scrape(address: &str, count: usize) -> Spread {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let begun = Instant::now();
        get(&mut stream);
        times.push(begun.elapsed());
    }
    Spread::of(times)
}

/// Gets the metrics page over a connection that stays open.
fn get(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nAccept: text/plain\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 64 << 10];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the peer closed the connection");
        answer.extend_from_slice(&chunk[..read]);
        let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let whole = match length {
            Some(length) => answer.len() >= head + 4 + length,
            None => answer.ends_with(b"0\r\n\r\n"),
        };
        if whole {
            return String::from_utf8_lossy(&answer[head..]).into_owned();
        }
    }
}

/// The tools of one cycle.
pub const TOOLS: [&str; 3] = ["rocm-smi", "rocminfo", "iperf3"];

/// A directory that stands for a node.
pub struct BenchNode {
    path: PathBuf,
}

impl BenchNode {
    pub fn new() -> BenchNode {
        let path = std::env::temp_dir().join(format!("ossci-bench-{}", std::process::id()));
        for directory in ["proc/sys/kernel/random", "run", "state"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        std::fs::write(path.join("proc/sys/kernel/random/boot_id"), "boot-1\n").unwrap();
        let node = BenchNode { path };
        for (tool, sample) in [
            ("rocm-smi", "rocm-smi/healthy.json"),
            ("rocminfo", "rocminfo/healthy.txt"),
            ("iperf3", "iperf3/fast.json"),
        ] {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(sample);
            node.does(tool, &format!("exec cat '{}'", sample.display()));
        }
        // Each call prints its own document, of ten lines.
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/amd-smi/health.json");
        let script = format!(
            "case $1 in static) n=1;; metric) n=11;; xgmi) n=21;; firmware) n=31;; *) n=41;; esac\n\
             exec sed -n \"$n,$((n + 9))p\" '{}'",
            sample.display()
        );
        node.does("amd-smi", &script);
        node
    }

    fn does(&self, tool: &str, script: &str) {
        let path = self.tool(tool);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    pub fn tool(&self, tool: &str) -> PathBuf {
        self.path.join(tool)
    }

    /// Replaces rocm-smi by this script.
    pub fn hangs(&self, script: &str) {
        self.does("rocm-smi", script);
    }

    /// Makes rocm-smi write to a frozen file system: it enters an uninterruptible wait that no
    /// signal ends.
    pub fn freezes(&self) -> Result<Frozen, String> {
        let (image, mount) = (self.path.join("image"), self.path.join("frozen"));
        std::fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
        let (image, mount) = (image.display().to_string(), mount.display().to_string());
        for (program, arguments) in [
            ("truncate", vec!["-s", "16M", &image]),
            ("mkfs.ext4", vec!["-q", "-F", &image]),
            ("mount", vec!["-o", "loop", &image, &mount]),
        ] {
            let done = Command::new(program).args(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if !done.is_ok_and(|status| status.success()) {
                return Err(format!("{program} fails"));
            }
        }
        let frozen = Frozen { mount: mount.clone() };
        let done = Command::new("fsfreeze").args(["--freeze", &mount]).status();
        if !done.is_ok_and(|status| status.success()) {
            return Err("fsfreeze fails".to_string());
        }
        self.hangs(&format!("trap '' TERM; exec dd if=/dev/zero of='{mount}/x' bs=1k count=1"));
        Ok(frozen)
    }

    pub fn exporter(&self, interval: &str, flags: &[&str]) -> Peer {
        let of = |flag: &str, name: &str| format!("--{flag}={}", self.path.join(name).display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_ossci-exporter"));
        command
            .args(["--web.listen-address=127.0.0.1:0", "--node-name=gpu-017", "--network.target=192.0.2.1"])
            .args([of("web.probe-socket", "run/exporter.sock"), of("path.procfs", "proc"), of("path.run-dir", "run")])
            .args([of("path.state-dir", "state"), of("tool.rocm-smi", "rocm-smi"), of("tool.rocminfo", "rocminfo")])
            .args([of("tool.iperf3", "iperf3"), of("tool.amd-smi", "amd-smi"), format!("--check.interval={interval}")])
            .args(flags);
        Peer::start(command, |line| line.split_once("listening address=").map(|(_, rest)| rest.trim().to_string()))
            .unwrap()
    }
}

impl Drop for BenchNode {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A frozen file system; thawed and unmounted on drop.
pub struct Frozen {
    mount: String,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").args(["--unfreeze", &self.mount]).status();
        let unmounted = || Command::new("umount").arg(&self.mount).stderr(Stdio::null()).status();
        wait_for("unmount", || unmounted().is_ok_and(|status| status.success()).then_some(()));
    }
}

/// A running program with a metrics page.
pub struct Peer {
    child: Child,
    pub address: String,
}

impl Peer {
    fn start(mut command: Command, address: fn(&str) -> Option<String>) -> Result<Peer, String> {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let mut log = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| address(&line)).ok_or("it does not start")?;
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Ok(Peer { child, address })
    }

    /// Starts node_exporter from `NODE_EXPORTER`, which `make bench-exporter` sets, or built by go
    /// from its pinned version.
    pub fn node_exporter() -> Result<Peer, String> {
        let given = std::env::var_os("NODE_EXPORTER").map(PathBuf::from);
        let path = match given {
            Some(path) => path,
            None => {
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node_exporter");
                let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/lab/tools/node_exporter");
                let mut go = Command::new("go");
                go.current_dir(module).env("CGO_ENABLED", "0").args([
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-ldflags=-s -w",
                    "-o",
                ]);
                let built = go.arg(&path).arg("github.com/prometheus/node_exporter").stderr(Stdio::null()).status();
                if !built.is_ok_and(|status| status.success()) {
                    return Err("go cannot build it".to_string());
                }
                path
            }
        };
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let mut command = Command::new(path);
        command.args([&format!("--web.listen-address={address}"), "--log.level=info"]);
        let listening = |line: &str| line.contains("Listening on").then(String::new);
        let mut peer = Peer::start(command, listening)?;
        peer.address = address.to_string();
        wait_for("node_exporter", || TcpStream::connect(&peer.address).ok());
        Ok(peer)
    }

    /// Returns the CPU seconds of a cycle that only starts these calls, reads their output and
    /// reaps them: the lower bound with processes.
    pub fn bare_cycle(node: &BenchNode, calls: &[&str], cycles: u32) -> f64 {
        let before = cpu_seconds(std::process::id());
        for _ in 0..cycles {
            for call in calls {
                let (tool, argument) = call.split_once(' ').unwrap_or((call, "-"));
                let output = Command::new(node.tool(tool)).arg(argument).stdin(Stdio::null()).output().unwrap();
                assert!(!output.stdout.is_empty());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        (cpu_seconds(std::process::id()) - before) / f64::from(cycles)
    }

    /// Returns the CPU seconds of one cycle of the Python loop, and of a Python process that does
    /// one cycle.
    pub fn python_cycle(node: &BenchNode, cycles: u32) -> Result<(f64, f64), String> {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/exporter/cycle.py");
        let tools = TOOLS.map(|tool| node.tool(tool));
        let run = |cycles: u32| {
            Command::new(&python).arg(&script).args([cycles.to_string(), "0.1".to_string()]).args(&tools).output()
        };
        let output = run(cycles).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        let of_loop = text.parse().map_err(|_| "no Python with prometheus-client (PYTHON=PATH)".to_string())?;
        // All children of this process that have ended: Python, and what it started and waited for.
        let (before, _) = (children_seconds(), run(0));
        let tools_seconds = {
            let before = children_seconds();
            for tool in &tools {
                let _ = Command::new(tool).stdout(Stdio::null()).status();
            }
            children_seconds() - before
        };
        Ok((of_loop, children_seconds() - before - 2.0 * tools_seconds))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn page(&self) -> String {
        get(&mut TcpStream::connect(&self.address).unwrap())
    }

    fn value(&self, series: &str) -> Option<f64> {
        self.page().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Returns the number of cycles of the three checks so far.
    pub fn runs(&self) -> f64 {
        self.value("ossci_check_runs_total{check=\"rocminfo\"}").unwrap_or(0.0)
    }

    pub fn wait_for_runs(&self, runs: f64) {
        wait_for("runs", || (self.runs() >= runs).then_some(()));
    }

    /// Waits until rocm-smi has started: the other checks have run twice meanwhile.
    pub fn wait_for_start(&self) {
        self.wait_for_runs(2.0);
    }

    pub fn wait_for_hung(&self) {
        wait_for("hung rocm-smi", || {
            self.page().contains("check=\"rocm-smi\",verdict=\"failed\",reason=\"hung\"").then_some(())
        });
    }
}

/// Returns the CPU seconds of all children of this process that were waited for.
fn children_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
