//! The files of a script that outlives the agent: one folder per order on the host's own disk. The
//! outcome is synced to that disk before it is reported, so that it survives a power failure.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::evidence::tail;
use super::host::ScriptOutcome;
use super::newest::keep_newest;
use super::redact::redact;

/// Limit of orders whose files stay on the node.
const KEPT: usize = 5;
/// Limit of a script's output in the record, in characters: its end.
pub const TAIL: usize = 2_000;
/// Limit of its output in the evidence, in characters: its end.
const OUTPUT: usize = 256 * 1024;

/// Runs `script` from the same folder for at most the seconds in its first argument, and tells the
/// script, too. If memory runs out, the kernel kills the script before this wrapper, which reports
/// the outcome. `timeout` exits with 124, or with 137 for a script that did not stop.
///
/// The settings of the order are variables of the script's environment.
///
/// In a systemd unit (second argument `unit`) the script gets a control group beside the wrapper's.
/// What it leaves behind is killed with it. However many processes it starts and whatever memory
/// they take, a sixteenth of the unit's and a share of the CPU stay free for the wrapper.
///
/// A lock holds off every reboot until the script has ended: that of another program of the host,
/// and that of a later order, whose agent may not know the script. The lock has the wrapper's
/// control group, so it ends with the unit. A host without logind has none.
///
/// All output goes to the journal; the last one or two million bytes are also stored in files. The
/// wrapper waits only briefly for their writer: a background process of the script may hold the
/// pipe open for ever.
const RUN: &str = r#"#!/bin/bash
here=$(dirname "$0") seconds=$1
export here seconds
set -a
. "$here/settings"
set +a
keep() { split --bytes=1M --filter='mv -f "$here/output" "$here/output.before" 2>/dev/null; tee "$here/output"' -; }
begin='echo 1000 >/proc/self/oom_score_adj; exec /bin/bash "$here/script" "$seconds"'
if [[ ${2-} == unit ]]; then
  unit=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
  group=$unit/script
  export group
  if mkdir "$group" "$unit/run"; then
    begin='echo $$ >"$group/cgroup.procs"; '$begin
    echo $$ >"$unit/run/cgroup.procs"
    systemd-inhibit --what=shutdown --mode=block --who='OSSCI Ops' --why="reimages this node, order ${here##*/}" \
      sleep infinity 2>/dev/null &
    lock=$!
    echo +cpu +memory +pids >"$unit/cgroup.subtree_control"
    for most in memory.max pids.max; do
      all=$(<"$unit/$most")
      [[ $all == max ]] || echo $((all - all / 16)) >"$group/$most"
    done
  fi
fi
timeout --kill-after=10 "$1" /bin/bash -c "$begin" > >(keep) 2>&1 </dev/null
status=$?
kept=$!
if ((SECONDS >= $1)) && [[ $status == 124 || $status == 137 ]]; then status=late; fi
if [[ -e ${group-}/cgroup.kill ]]; then
  echo 1 >"$group/cgroup.kill"
  until=$((SECONDS + 30))
  while read -r _ populated <"$group/cgroup.events" && ((populated && SECONDS < until)); do :; done
fi
[[ ! ${lock-} ]] || kill "$lock" 2>/dev/null
for _ in {1..20}; do kill -0 "$kept" 2>/dev/null || break; sleep 0.1; done
printf '%s\n' "$status" >"$here/result.new"
sync "$here/result.new"
mv "$here/result.new" "$here/result"
sync "$here"
[[ $status == late ]] && exit 124
exit "$status"
"#;
/// The result instead of an exit status when the time limit expired.
const LATE: &str = "late";

/// One order's folder.
#[derive(Debug, Clone)]
pub struct ScriptFiles(PathBuf);

impl ScriptFiles {
    /// `orders`: the folder of all orders; `key`: the key of this one.
    pub fn of(orders: &Path, key: &str) -> Self {
        Self(orders.join(key))
    }

    /// Writes the script and its wrapper, for root only, and deletes the oldest orders and the
    /// outcome of an earlier run.
    ///
    /// `settings`: names and values of one word each, which bash reads.
    pub fn write(&self, script: &str, settings: &[(&str, &str)]) -> io::Result<()> {
        if let Some(orders) = self.0.parent() {
            keep_newest(orders, KEPT - 1)?;
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        match std::fs::remove_file(self.0.join("result")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let settings: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        for (name, text) in [("settings", settings.as_str()), ("script", script), ("run", RUN)] {
            let path = self.0.join(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    /// Returns the program to start; its argument is the time limit in seconds.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Returns the outcome; `None`: the script has not exited, or its outcome is unknown.
    pub fn outcome(&self) -> io::Result<Option<ScriptOutcome>> {
        let result = match std::fs::read_to_string(self.0.join("result")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let part = |name| std::fs::read(self.0.join(name)).unwrap_or_default();
        let output = [part("output.before"), part("output")].concat();
        let output = redact(tail(String::from_utf8_lossy(&output).trim(), OUTPUT));
        let (exit_status, too_long) = (result.trim().parse().ok(), result.trim() == LATE);
        Ok(Some(ScriptOutcome { exit_status, too_long, tail: tail(&output, TAIL).to_owned(), output }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn orders() -> PathBuf {
        std::env::temp_dir().join(format!("ossci-orders-{}", uuid::Uuid::new_v4()))
    }

    async fn ran(script: &str, seconds: &str) -> ScriptOutcome {
        let orders = orders();
        let files = ScriptFiles::of(&orders, "1-reimage-1");
        files.write(script, &[("ROCM", "7.2.4")]).unwrap();
        assert_eq!(files.outcome().unwrap(), None);
        let run = files.run().display().to_string();
        crate::agent::process::run("it", "/bin/bash", &[&run, seconds], b"", Duration::from_secs(60)).await.unwrap();
        let outcome = files.outcome().unwrap().unwrap();
        std::fs::remove_dir_all(&orders).unwrap();
        outcome
    }

    #[tokio::test]
    async fn the_outcome_of_a_script_is_found_later() {
        let outcome = ran("echo one; echo two >&2; exit 3", "30").await;
        assert_eq!((outcome.exit_status, outcome.too_long), (Some(3), false));
        assert!(outcome.tail.contains("one") && outcome.tail.contains("two"), "{}", outcome.tail);
        assert_eq!(ran("true", "30").await.exit_status, Some(0));
        assert_eq!(ran("echo it has $1 s for ROCm $ROCM", "30").await.tail, "it has 30 s for ROCm 7.2.4");
    }

    #[tokio::test]
    async fn a_script_that_does_not_exit_is_killed() {
        assert!(ran("echo begun; sleep 3600", "1").await.too_long);
        let killed = ran("kill -KILL $$", "30").await;
        assert_eq!((killed.exit_status, killed.too_long), (Some(137), false), "by something else, and in time");
    }

    #[tokio::test]
    async fn a_background_process_does_not_block_the_outcome() {
        let outcome = ran("sleep 4 & echo left; disown", "30").await;
        assert_eq!((outcome.exit_status, outcome.tail.as_str()), (Some(0), "left"));
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_stored() {
        let orders = orders();
        let files = ScriptFiles::of(&orders, "1-reimage-1");
        files.write("yes noise | head -n 5000000; echo the end", &[]).unwrap();
        let run = files.run().display().to_string();
        crate::agent::process::run("it", "/bin/bash", &[&run, "60"], b"", Duration::from_secs(60)).await.unwrap();
        assert!(files.outcome().unwrap().unwrap().tail.ends_with("noise\nthe end"));
        let sizes = std::fs::read_dir(&files.0).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert!(sizes.sum::<u64>() < 3_000_000);
        std::fs::remove_dir_all(&orders).unwrap();
    }

    #[test]
    fn the_files_of_old_orders_are_deleted() {
        let orders = orders();
        for number in 0..KEPT + 3 {
            ScriptFiles::of(&orders, &number.to_string()).write("true", &[]).unwrap();
        }
        assert_eq!(std::fs::read_dir(&orders).unwrap().count(), KEPT);
        assert!(ScriptFiles::of(&orders, &(KEPT + 2).to_string()).run().is_file());
        std::fs::remove_dir_all(&orders).unwrap();
    }
}
