//! The node condition `OssciHealthy`, which shows a node's health where Kubernetes tools look for
//! it.

use super::why::{Reason, Why};
use ossci_base::words::ClosedWord;

/// A condition of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True` or `False`.
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// Whether nothing is wrong. An alert older than the last proof does not count: the proof is newer.
pub fn is_well(why: &Reason) -> bool {
    matches!(why.why, Why::Healthy | Why::OlderThanProof)
}

/// Returns the condition for the reason `why`.
pub fn condition(why: &Reason) -> Condition {
    let status = if is_well(why) { "True" } else { "False" };
    Condition { status: status.to_owned(), reason: why.why.to_string(), message: why.message.clone() }
}

/// Returns why the node is not well; `None`: the condition says that it is, or says nothing that
/// this version knows.
pub fn unwell(condition: &Condition) -> Option<Why> {
    let unwell = condition.status == "False";
    unwell.then(|| Why::parse(&condition.reason)).flatten()
}

/// Whether the condition has to be written because its status or reason differs. A new message
/// alone is not written: it changes with every move in the budget queue.
pub fn is_news(stands: Option<&Condition>, wanted: &Condition) -> bool {
    stands.is_none_or(|stands| (&stands.status, &stands.reason) != (&wanted.status, &wanted.reason))
}
