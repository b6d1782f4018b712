//! The node condition `OssciHealthy`: what we think of a node, where every tool of Kubernetes looks for it.

use super::why::{Reason, Why};

/// A condition as it stands on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True` or `False`.
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// Whether nothing is wrong: an alert that is older than the last proof says less about the node than the proof.
pub fn is_well(why: &Reason) -> bool {
    matches!(why.why, Why::Healthy | Why::OlderThanProof)
}

/// What the condition has to say when `why` was decided.
pub fn condition(why: &Reason) -> Condition {
    let status = if is_well(why) { "True" } else { "False" };
    Condition { status: status.to_owned(), reason: why.why.to_string(), message: why.message.clone() }
}

/// Whether what stands there says something else. A message alone is no news: it would be written again whenever a place in
/// a queue changes.
pub fn is_news(stands: Option<&Condition>, wanted: &Condition) -> bool {
    stands.is_none_or(|stands| (&stands.status, &stands.reason) != (&wanted.status, &wanted.reason))
}
