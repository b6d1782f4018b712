//! The fact in one line: what is wrong, and what did not help. It stands in the subject and in the
//! first sentence.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::core::record::{Complaint, Episode, Phase, Record, Rung, Step, Verdict};
use crate::core::why::Why;
use crate::core::words::first_line;

/// Characters of a fact that is not our own words.
const LONGEST: usize = 80;

/// What is wrong with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// `GPU 0000:65:00.0 missing after reboot and reimage`.
    pub words: String,
    /// The addresses of the GPUs that it is about, lower case.
    pub gpus: Vec<String>,
}

/// The outcome that handed the node to a person: the last step. The reason of the episode itself
/// is only that of the mail.
pub fn cause(episode: &Episode) -> Why {
    let last = episode.steps.last().map(|step| step.outcome.why);
    last.filter(|_| episode.phase != Phase::Waiting).unwrap_or(episode.why.why)
}

/// Returns the fact of an open or ended episode.
pub fn of(record: &Record, episode: &Episode) -> Fact {
    let seen = seen(record, episode);
    let tried = tried(episode);
    let words = match cause(episode) {
        Why::ReimageFailed => format!("{}; reimage failed", seen.words),
        Why::DidNotComeBack => {
            let rung = episode.steps.last().map_or(Rung::Reboot, |step| step.rung);
            format!("did not come back after the {rung}")
        }
        Why::AgentSilent => format!("{}; its agent takes no order", seen.words),
        Why::CannotProve => format!("health unknown{tried}"),
        Why::OrderRefused => format!("{}; its agent refused the order", seen.words),
        Why::RebootInhibited => format!("{}; another program holds the reboot off", seen.words),
        Why::ModeStopsHere => format!("{}{tried}; a reimage is not allowed", seen.words),
        Why::NotManaged => "no pool selects it any more".to_owned(),
        Why::Relapse => format!("fails again: {}", seen.words),
        Why::ChecksDisagree => {
            let alert = worst(record).map(|alert| first_line(&alert.summary, LONGEST)).filter(|text| !text.is_empty());
            format!("{}, and every check passed", alert.as_deref().unwrap_or("its alert fires again and again"))
        }
        Why::TaintedByPerson => "a person asks for one".to_owned(),
        _ => format!("{}{tried}", seen.words),
    };
    Fact { words, gpus: seen.gpus }
}

/// What the last checks of the episode found; else what the alerts say.
fn seen(record: &Record, episode: &Episode) -> Fact {
    let failed = |step: &Step| step.verdicts.iter().filter(|verdict| verdict.verdict == "failed").cloned().collect();
    let last: Vec<Verdict> =
        episode.steps.iter().rev().map(failed).find(|all: &Vec<_>| !all.is_empty()).unwrap_or_default();
    if let Some(fact) = of_verdicts(&last) {
        return fact;
    }
    let worst = worst(record);
    let first = match episode.steps.first() {
        Some(step) if step.outcome.why == Why::TaintedByPerson => &format!("a person asked for a {}", step.rung),
        step => step.map(|step| step.outcome.message.as_str()).unwrap_or_default(),
    };
    let text = worst.map(|complaint| complaint.summary.as_str()).filter(|text| !text.is_empty()).unwrap_or(first);
    Fact { words: first_line(text, LONGEST), gpus: addresses(text) }
}

/// The alert that asks for most; one that fires comes before those that are resolved.
fn worst(record: &Record) -> Option<&Complaint> {
    let asks = |complaint: &&Complaint| complaint.ask.rung().is_some();
    record.complaints.iter().filter(asks).max_by_key(|complaint| (complaint.firing, complaint.ask.rung()))
}

/// A verdict that names its GPUs says more than one that only counts them.
fn of_verdicts(failed: &[Verdict]) -> Option<Fact> {
    let named = |verdict: &&Verdict| !gone(verdict).is_empty();
    let verdict = failed.iter().find(named).or(failed.first())?;
    let reason = verdict.reason.as_deref().unwrap_or("failed");
    let same = failed.iter().filter(|other| other.reason == verdict.reason);
    let gpus: Vec<String> = same.flat_map(gone).collect::<BTreeSet<_>>().into_iter().collect();
    let state = reason.strip_prefix("gpu-").unwrap_or(reason).replace('-', " ");
    let words = match gpus.as_slice() {
        [] => format!("{}: {}", verdict.check, first_line(&verdict.detail, LONGEST - verdict.check.len() - 2)),
        [gpu] => format!("GPU {gpu} {state}"),
        [one, two] => format!("GPUs {one} and {two} {state}"),
        many => format!("{} GPUs {state}", many.len()),
    };
    Some(Fact { words, gpus })
}

/// The GPUs that a verdict accuses. Where it names missing ones, the others are there.
fn gone(verdict: &Verdict) -> Vec<String> {
    let accused = verdict.detail.rsplit_once("missing").map_or(verdict.detail.as_str(), |(_, after)| after);
    addresses(accused)
}

/// The bus addresses in a text, lower case, each once.
fn addresses(text: &str) -> Vec<String> {
    static ADDRESS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)\b(?:[0-9a-f]{4,8}:)[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b").ok());
    let found = ADDRESS.iter().flat_map(|address| address.find_iter(text));
    found.map(|found| found.as_str().to_ascii_lowercase()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The rungs whose boot was ended, in words.
fn tried(episode: &Episode) -> String {
    let ended = |rung: Rung| episode.steps.iter().any(|step| step.rung == rung && step.outcome.why == Why::NewBoot);
    match (ended(Rung::Reboot), ended(Rung::Reimage)) {
        (true, true) => " after reboot and reimage".to_owned(),
        (true, false) => " after reboot".to_owned(),
        (false, true) => " after reimage".to_owned(),
        (false, false) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::why::Reason;
    use jiff::Timestamp;

    fn verdict(check: &str, reason: &str, detail: &str) -> Verdict {
        Verdict::of(check, ("failed", Some(reason)), detail.into(), Timestamp::UNIX_EPOCH)
    }

    fn of_failed(verdicts: &[Verdict], rungs: &[(Rung, Why)]) -> Fact {
        let mut episode = Episode::begin(1, Rung::Manual, Timestamp::UNIX_EPOCH, Reason::new(Why::MailPending, ""));
        episode.phase = Phase::Escalating;
        let plain = |why, rung| Step::plain(Timestamp::UNIX_EPOCH, rung, Reason::new(why, "said"));
        episode.steps = rungs.iter().map(|(rung, why)| plain(*why, *rung)).collect();
        episode.steps.last_mut().unwrap().verdicts = verdicts.to_vec();
        of(&Record::default(), &episode)
    }

    const BOTH: [(Rung, Why); 3] =
        [(Rung::Reboot, Why::NewBoot), (Rung::Reimage, Why::NewBoot), (Rung::Reimage, Why::ProofFailed)];

    #[test]
    fn a_gpu_is_named_whichever_check_names_it() {
        let rocm =
            verdict("rocm-smi", "gpu-missing", "7 of 8 GPUs (learned), missing 0000:65:00.0 (not on the PCI bus)");
        let info = verdict("rocminfo", "gpu-missing", "7 of 8 GPUs (by the inventory file)");
        for verdicts in [[rocm.clone(), info.clone()], [info, rocm]] {
            let fact = of_failed(&verdicts, &BOTH);
            assert_eq!(fact.words, "GPU 0000:65:00.0 missing after reboot and reimage");
            assert_eq!(fact.gpus, ["0000:65:00.0"]);
        }
        let two = verdict("rocm-smi", "gpu-missing", "missing 0000:c5:00.0, 0000:65:00.0");
        assert_eq!(of_failed(&[two], &BOTH[..1]).words, "GPUs 0000:65:00.0 and 0000:c5:00.0 missing after reboot");
        let hot = verdict("rocm-smi", "over-temperature", "0000:65:00.0: junction at 118 of 110 degrees");
        assert_eq!(of_failed(&[hot], &[(Rung::Reboot, Why::ProofFailed)]).words, "GPU 0000:65:00.0 over temperature");
    }

    #[test]
    fn what_no_check_names_is_told_in_its_own_words() {
        let hung = verdict("rocminfo", "hung", &format!("no answer {}", "x".repeat(200)));
        let fact = of_failed(&[hung], &[(Rung::Reboot, Why::NewBoot), (Rung::Reboot, Why::ProofFailed)]);
        assert!(
            fact.words.starts_with("rocminfo: no answer") && fact.words.ends_with("... after reboot"),
            "{}",
            fact.words
        );
        assert!(fact.words.len() < 110 && fact.gpus.is_empty());
        assert_eq!(
            of_failed(&[], &[(Rung::Reimage, Why::DidNotComeBack)]).words,
            "did not come back after the reimage"
        );
    }
}
