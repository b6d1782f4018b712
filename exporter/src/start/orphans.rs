//! Reaps orphans: what a tool leaves behind becomes a child of the exporter, in a container because
//! the exporter is the first process. It stays a zombie unless somebody asks for its status.

use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::sleep;

/// A run asks for the status of its own child at once. A zombie that lasts longer than this belongs
/// to no run.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Reaps each orphan some seconds after its end. Returns only when its task is aborted.
pub async fn reap_for_ever() -> Infallible {
    // Elsewhere than in a container, too. The kernel does not refuse it.
    let _ = set_child_subreaper(Some(getpid()));
    let mut seen = BTreeSet::new();
    loop {
        sleep(LOOK_INTERVAL).await;
        let now: BTreeSet<i32> = children().into_iter().filter(|child| is(child, WaitIdOptions::NOWAIT)).collect();
        for orphan in now.intersection(&seen) {
            is(orphan, WaitIdOptions::empty());
        }
        seen = now;
    }
}

/// Returns the children of the first thread: orphans become its children, and no run starts there.
fn children() -> Vec<i32> {
    let own = getpid().as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Returns whether this child is a zombie. Unless `how` says that it stays one, it is reaped.
fn is(child: &i32, how: WaitIdOptions) -> bool {
    let Some(child) = Pid::from_raw(*child) else { return false };
    matches!(waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | how), Ok(Some(_)))
}
