//! Process group of a child: every process that it started and that did not leave the group.
//! Signals the group and reports whether a process of it lives.

use ossci_base::clock;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::time::Duration;

/// Its number is the leader's pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(pub Pid);

/// Poll interval for a killed group. Only its end shows that it can be killed at all.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Group {
    /// Signals the group. An error means that no process is left.
    pub fn signal(self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// Returns whether a process of the group still runs. Zombies accept signals too: if only
    /// zombies are left, their parent has yet to reap them.
    pub fn lives(self) -> bool {
        if test_kill_process_group(self.0) == Err(rustix::io::Errno::SRCH) {
            return false;
        }
        let Ok(processes) = std::fs::read_dir("/proc") else { return true };
        processes.flatten().any(|process| {
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            is_living_member(&stat, self.0)
        })
    }

    /// Waits at most this long for its end; returns whether it ended.
    pub fn ends_within(self, time: Duration) -> bool {
        let begun = clock::monotonic();
        while self.lives() {
            if begun.elapsed() >= time {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }
}

/// Parses a line of proc_pid_stat(5): `pid (name) state ppid pgrp ...`, where the name may contain
/// anything.
fn is_living_member(stat: &str, group: Pid) -> bool {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split(' ');
    let (state, member) = (fields.next(), fields.nth(1).and_then(|pgrp| pgrp.parse::<i32>().ok()));
    !matches!(state, Some("Z" | "X")) && member == Some(group.as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_no_living_member() {
        let group = Pid::from_raw(77).unwrap();
        assert!(is_living_member("80 (a) b) S 1 77 77 0", group));
        assert!(!is_living_member("80 (a) Z 1 77 77 0", group));
        assert!(!is_living_member("80 (a) S 1 78 77 0", group));
        assert!(!is_living_member("", group));
    }
}
