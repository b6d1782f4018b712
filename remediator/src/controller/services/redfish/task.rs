//! The task of a reset that a BMC accepted, followed to its end or up to a limit. The proof is a
//! new boot ID, so this only collects what helps a person to understand.

use std::time::Duration;

use crate::controller::services::redfish::talk::{Answer, Limits, Talk};
use crate::controller::services::redfish::trouble::Trouble;
use ossci_base::clock;

/// The end of a task, as far as it was seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was no task, or it succeeded.
    Done,
    /// It has not finished, or is unknown. Completes the sentence "the BMC accepted the reset, ..".
    Open(String),
    /// Likewise; the BMC reports that it failed.
    Wrong(String),
}

/// Follows the task that `answer` names; reads it no more often than `every`.
pub async fn follow(talk: &Talk, answer: &Answer, limits: &Limits<'_>, every: Duration) -> Ending {
    if answer.status != reqwest::StatusCode::ACCEPTED {
        return Ending::Done;
    }
    let Some(monitor) = talk.address(answer) else {
        return Ending::Open("and named no task to follow".to_owned());
    };
    let mut wait = answer.wait();
    loop {
        let pause = wait.take().unwrap_or(every).max(every);
        if clock::monotonic() + pause >= limits.begin_by {
            return not_ended();
        }
        tokio::time::sleep(pause).await;
        match talk.get(&monitor, limits).await {
            Ok(answer) => match state(&answer) {
                Some(ending) => return ending,
                None => wait = answer.wait(),
            },
            // Some BMCs delete a task as soon as it has finished.
            Err(Trouble::Refused { status, .. }) if matches!(status.as_u16(), 404 | 410) => return Ending::Done,
            // A BMC that is busy with a reset is silent for a while.
            Err(Trouble::Silent(_) | Trouble::HungUp(_) | Trouble::Unreachable(_)) => {}
            // The pause took longer than planned.
            Err(Trouble::TooLate) => return not_ended(),
            Err(trouble @ Trouble::Refused { .. }) => {
                return Ending::Wrong(format!("and when asked for its task it {trouble}"));
            }
            Err(trouble) => return Ending::Open(format!("and its task is not known: the BMC {trouble}")),
        }
    }
}

fn not_ended() -> Ending {
    Ending::Open("and its task had not finished when it was last read".to_owned())
}

/// Returns the end of a task; `None`: it is still running. Source of the states: schema Task,
/// `TaskState`.
fn state(answer: &Answer) -> Option<Ending> {
    match answer.body["TaskState"].as_str() {
        Some("Completed") => Some(Ending::Done),
        Some(state @ ("Exception" | "Killed" | "Cancelled" | "Interrupted")) => {
            Some(Ending::Wrong(format!("and its task ended as {state}")))
        }
        Some(_) => None,
        None if answer.status == reqwest::StatusCode::ACCEPTED => None,
        None => Some(Ending::Done),
    }
}
