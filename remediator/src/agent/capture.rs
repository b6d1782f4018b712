//! What a reboot would destroy, written down before it: one more run of the checks, and the end of the kernel's log.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tokio::time::error::Elapsed;

use super::host::Host;
use super::probe;
use crate::clock;
use crate::core::record::Verdict;

/// So many characters of the kernel's log go into the record: about 80 lines.
const LOG: usize = 8_000;
/// How soon the exporter is asked again when it was busy.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What could be written down, and in one sentence what could not.
pub struct Captured {
    pub verdicts: Vec<Verdict>,
    pub kernel_log: Option<String>,
    pub message: String,
}

/// Asks both at once and takes what there is by the deadline.
pub async fn capture<H: Host>(socket: &Path, host: &H, deadline: jiff::Timestamp) -> Captured {
    let left = Duration::try_from(deadline.duration_since(clock::now())).unwrap_or_default();
    let (checks, log) = tokio::join!(
        tokio::time::timeout(left, run_checks(socket, left)),
        tokio::time::timeout(left, host.kernel_log())
    );
    let mut missing = Vec::new();
    let verdicts = had("the checks", checks, &mut missing).unwrap_or_default();
    let kernel_log = had("the kernel's log", log, &mut missing).map(|text| tail(text.trim_end(), LOG).to_owned());
    let message = if missing.is_empty() {
        "the checks' verdicts and the end of the kernel's log are on record".to_owned()
    } else {
        format!("missing from the evidence: {}", missing.join("; "))
    };
    Captured { verdicts, kernel_log, message }
}

/// What there is; why there is not goes to `missing`.
fn had<T, E: Display>(what: &str, answer: Result<Result<T, E>, Elapsed>, missing: &mut Vec<String>) -> Option<T> {
    let why = match answer {
        Ok(Ok(answer)) => return Some(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    missing.push(format!("{what}: {why}"));
    None
}

async fn run_checks(socket: &Path, patience: Duration) -> Result<Vec<Verdict>, probe::ProbeError> {
    loop {
        match probe::ask(socket, "check=gpu", patience).await {
            Err(error) if error.ask_again() => tokio::time::sleep(ASK_AGAIN).await,
            other => return other.map(|answer| answer.results.into_iter().map(Into::into).collect()),
        }
    }
}

/// The last so many characters.
pub fn tail(text: &str, most: usize) -> &str {
    let begin = text.char_indices().rev().take(most).last().map_or(text.len(), |(at, _)| at);
    &text[begin..]
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn the_last_characters_are_kept_whole() {
        assert_eq!(tail("abc", 5), "abc");
        assert_eq!(tail("aäöü", 2), "öü");
        assert_eq!(tail("abc", 0), "");
    }
}
