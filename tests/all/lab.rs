//! Tests of the lab's isolation: it listens on loopback only, and leaves no process or mount
//! behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ossci_lab::wait;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{TestLab, lab, part};

/// Processes with the directory in their command line or environment, including the lab itself.
fn processes_of(dir: &Path) -> Vec<u32> {
    let dir = dir.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let names =
            |file: &str| String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default()).contains(&dir);
        if id != std::process::id() && (names("cmdline") || names("environ")) {
            found.push(id);
        }
    }
    found
}

/// Addresses other than loopback on which a process listens, in the kernel's notation.
fn open_to_others(process: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let sockets: BTreeSet<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut open = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, state, inode) = (fields[1], fields[3], fields[9]);
            let listens = state == "0A" || (table.starts_with("udp") && state == "07");
            let loopback = ["0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:"];
            if listens && sockets.contains(inode) && !loopback.iter().any(|prefix| address.starts_with(prefix)) {
                open.push(format!("{table} {address}"));
            }
        }
    }
    open
}

#[tokio::test]
async fn no_process_of_the_lab_listens_on_anything_but_loopback() {
    let lab = lab();
    lab.result("demo").await;
    let processes = processes_of(&lab.dir);
    assert!(processes.len() > 10, "only {} processes of the lab were found", processes.len());
    for process in processes {
        let open = open_to_others(process);
        let command = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default().replace('\0', " ");
        assert!(open.is_empty(), "{command} listens on {}", open.join(", "));
    }
}

#[tokio::test]
async fn a_stopped_lab_leaves_no_process_and_no_mount() {
    let _part = part("a lab is stopped in three ways");
    for (name, signal) in [("int", Some(Signal::INT)), ("kill", Some(Signal::KILL)), ("rope", None)] {
        let mut lab = TestLab::start(name, &["/dev/null".into()], &[]);
        lab.facts().await;
        match signal {
            Some(signal) => kill_process(Pid::from_child(&lab.child), signal).unwrap(),
            None => drop(lab.child.stdin.take()),
        }
        lab.child.wait().unwrap();
        let dir = &lab.dir;
        let gone = wait::until("the lab has left nothing behind", Duration::from_secs(20), || async move {
            let left = processes_of(dir);
            anyhow::ensure!(left.is_empty(), "processes {left:?}");
            let mounts = fs::read_to_string("/proc/self/mountinfo")?;
            anyhow::ensure!(!mounts.contains(&dir.display().to_string()), "a mount");
            Ok(())
        });
        gone.await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        // After SIGKILL the outer process cannot remove its files; it does in the other two cases.
        assert_eq!(lab.dir.exists(), signal == Some(Signal::KILL), "{name}: {}", lab.dir.display());
        let _ = fs::remove_dir_all(&lab.dir);
    }
}
