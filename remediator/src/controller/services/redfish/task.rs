//! A request that a BMC took and goes on with: its task is followed to its end, or for so long. What is proof is a new boot id,
//! so nothing here is awaited that does not help a person to understand.

use std::time::Duration;

use crate::controller::services::redfish::talk::{Answer, Limits, Talk};
use crate::controller::services::redfish::trouble::Trouble;
use ossci_base::clock;

/// How a task ended, as far as was seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was none to follow, or it ended well.
    Done,
    /// It completes the sentence "the BMC took the reset, ..".
    Open(String),
    /// Likewise; the BMC itself says that it went wrong.
    Wrong(String),
}

/// Follows the task that `answer` speaks of; asks no more often than `every`.
pub async fn follow(talk: &Talk, answer: &Answer, limits: &Limits<'_>, every: Duration) -> Ending {
    if answer.status != reqwest::StatusCode::ACCEPTED {
        return Ending::Done;
    }
    let Some(monitor) = talk.address(answer) else {
        return Ending::Open("and named no task of its own to follow".to_owned());
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
            // Some forget a task as soon as it is over.
            Err(Trouble::Refused { status, .. }) if matches!(status.as_u16(), 404 | 410) => return Ending::Done,
            // A BMC that is busy with a reset is silent for a while.
            Err(Trouble::Silent(_) | Trouble::HungUp(_) | Trouble::Unreachable(_)) => {}
            // The pause took longer than it was asked to.
            Err(Trouble::TooLate) => return not_ended(),
            Err(trouble @ Trouble::Refused { .. }) => {
                return Ending::Wrong(format!("and asked for its task then it {trouble}"));
            }
            Err(trouble) => return Ending::Open(format!("and its task is not known: the BMC {trouble}")),
        }
    }
}

fn not_ended() -> Ending {
    Ending::Open("and its task had not ended when it was last looked at".to_owned())
}

/// How it ended; `None`: it goes on. Source of the states: schema Task, `TaskState`.
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
