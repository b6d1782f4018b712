//! Node for the tests: a directory with shell scripts in place of the tools, and the program
//! started on it.
#![allow(clippy::disallowed_methods, reason = "these tests start the program and watch its deadlines")]

use crate::wait::PATIENCE;
pub use crate::wait::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A directory that stands for a node: its tools, its boot ID, its run and state directories.
pub struct Node {
    pub path: PathBuf,
}

impl Node {
    pub fn new(name: &str) -> Node {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        for directory in ["proc/sys/kernel/random", "run", "state"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        let node = Node { path };
        node.boots("boot-1");
        node.prints("rocm-smi", "rocm-smi/healthy.json");
        node.prints("rocminfo", "rocminfo/healthy.txt");
        node.prints("iperf3", "iperf3/fast.json");
        node
    }

    pub fn boots(&self, id: &str) {
        std::fs::write(self.path.join("proc/sys/kernel/random/boot_id"), format!("{id}\n")).unwrap();
    }

    pub fn prints(&self, tool: &str, sample: &str) {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(sample);
        self.does(tool, &format!("exec cat '{}'", sample.display()));
    }

    pub fn does(&self, tool: &str, script: &str) {
        let (new, path) = (self.path.join(format!("{tool}.new")), self.path.join(tool));
        std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    pub fn start(&self, flags: &[&str]) -> Exporter {
        self.start_with(flags, &[])
    }

    pub fn start_with(&self, flags: &[&str], variables: &[(&str, &str)]) -> Exporter {
        let of = |flag: &str, name: &str| format!("--{flag}={}", self.path.join(name).display());
        // A shell that runs the tests in its background ignores SIGINT and SIGQUIT, and so would
        // the tools.
        let mut child = Command::new("/usr/bin/env")
            .args(["--default-signal", env!("CARGO_BIN_EXE_ossci-exporter")])
            .args(["--web.listen-address=127.0.0.1:0", "--node-name=gpu-017", "--network.target=192.0.2.1"])
            .args([of("web.probe-socket", "run/exporter.sock"), of("path.procfs", "proc"), of("path.run-dir", "run")])
            .args([of("path.state-dir", "state"), of("tool.rocm-smi", "rocm-smi"), of("tool.rocminfo", "rocminfo")])
            .arg(of("tool.iperf3", "iperf3"))
            .args(flags)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, address) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening address=") {
                    let _ = found.send(address.trim().to_string());
                }
            }
        });
        let address = address.recv_timeout(PATIENCE).unwrap();
        let socket = self.path.join("run/exporter.sock");
        wait_for("probe socket", || socket.exists().then_some(()));
        Exporter { child, address, socket }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

pub struct Exporter {
    pub child: Child,
    pub address: String,
    pub socket: PathBuf,
}

pub fn exchange(mut stream: impl Read + Write, path: &str, accept: &str) -> (u16, String, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_string())
}

impl Exporter {
    pub fn get(&self, path: &str, accept: &str) -> (u16, String, String) {
        exchange(TcpStream::connect(&self.address).unwrap(), path, accept)
    }

    pub fn metrics(&self) -> String {
        let (status, _, body) = self.get("/metrics", "*/*");
        assert_eq!(status, 200);
        body
    }

    /// Returns the value of a series; `None` if it is not on the page.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.metrics().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    pub fn wait_for(&self, series: &str, is: impl Fn(f64) -> bool) -> f64 {
        wait_for(series, || self.value(series).filter(|value| is(*value)))
    }

    pub fn probe(&self, question: &str) -> (u16, serde_json::Value) {
        let (status, _, body) =
            exchange(UnixStream::connect(&self.socket).unwrap(), &format!("/probe?{question}"), "*/*");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Returns the state of each child of the first thread, as the kernel shows it.
    pub fn orphans(&self) -> Vec<String> {
        let own = self.child.id();
        let list = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        let stat = |child: &str| std::fs::read_to_string(format!("/proc/{child}/stat")).ok();
        let state = |stat: String| Some(stat.rsplit_once(") ")?.1.split(' ').next()?.to_string());
        list.split_whitespace().filter_map(|child| state(stat(child)?)).collect()
    }

    /// Sends SIGTERM, and returns how long the exit takes.
    pub fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        begun.elapsed()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const FAST: [&str; 1] = ["--check.interval=500ms"];
pub const STRIKES: &str = "ossci_check_consecutive_failures{check=\"rocm-smi\"}";
