//! The text of the escalation mail, plain and HTML. Pure: the same record gives the same text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::core::notices::Notice;
use crate::core::observation::NodeView;
use crate::core::record::{Episode, Phase, Record, Verdict};

/// A mail without its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Attachments by file name: the verdicts, one line per run; the kernel log before each reboot
    /// (`.log`); and the other evidence captured then (`.gz`).
    pub attached: Vec<(String, Vec<u8>)>,
}

/// One heading of the mail with its lines.
struct Section {
    heading: &'static str,
    lines: Vec<String>,
}

/// Returns the mail that asks a person to take over, or tells of a node that waits; `None` when the
/// record has no episode.
/// `taint`: the taint that keeps the node out of service, as the site spells it. `evidence`: the
/// files of its captures.
pub fn escalation(
    name: &str,
    node: Option<&NodeView>,
    taint: &str,
    record: &Record,
    links: &BTreeMap<String, String>,
    evidence: Vec<(String, Vec<u8>)>,
) -> Option<Letter> {
    let episode = record.repair.episode.as_ref()?;
    // The step before the mail shows what could not be repaired; the episode's own reason is only
    // the mail.
    let waits = episode.phase == Phase::Waiting;
    let cause = episode.steps.last().filter(|_| !waits).map_or(&episode.why, |step| &step.outcome);
    let subject = format!("[OSSCI] {name} {}: {}", if waits { "waits" } else { "needs a person" }, cause.why);
    let mut sections = vec![
        Section { heading: "What is wrong", lines: wrong(record, &cause.message) },
        Section { heading: "What was tried", lines: tried(episode) },
        Section {
            heading: "What you have to do",
            lines: if waits { waiting(name, taint, episode) } else { asked(name, taint, episode) },
        },
        Section { heading: "The node", lines: described(name, node) },
        Section { heading: "Check results", lines: said(episode) },
    ];
    let kept: Vec<_> = episode.steps.iter().filter_map(|step| step.evidence.as_deref()).map(kept).collect();
    if !kept.is_empty() {
        sections.push(Section { heading: "Evidence", lines: kept });
    }
    if !links.is_empty() {
        let lines = links.iter().map(|(title, url)| format!("{title}: {}", url.replace("{node}", name))).collect();
        sections.push(Section { heading: "Links", lines });
    }
    let mut attached = vec![("checks.log".to_owned(), (said(episode).join("\n") + "\n").into_bytes())];
    for step in &episode.steps {
        let text = step.kernel_log.iter().map(|log| format!("{log}\n").into_bytes());
        attached.extend(text.map(|text| (format!("kernel-before-{}.log", step.rung), text)));
    }
    attached.extend(evidence);
    Some(Letter { text: text(&subject, &sections), html: html(&subject, &sections), subject, attached })
}

/// Returns the mail of a notice about a pool.
pub fn notice(notice: &Notice) -> Letter {
    let lines = notice.text.lines().map(|line| line.trim().to_owned()).collect();
    let sections = [Section { heading: "What happened, and what you have to do", lines }];
    let subject = notice.subject.clone();
    Letter { text: text(&subject, &sections), html: html(&subject, &sections), subject, attached: Vec::new() }
}

fn wrong(record: &Record, cause: &str) -> Vec<String> {
    let complaints = record.complaints.iter().map(|complaint| {
        format!("{} since {}: {} asks for {}", complaint.check, complaint.since, complaint.summary, complaint.ask)
    });
    std::iter::once(cause.to_owned()).chain(complaints).collect()
}

fn tried(episode: &Episode) -> Vec<String> {
    let begun = format!("{} episode {} began", episode.started_at, episode.number);
    let steps = episode
        .steps
        .iter()
        .map(|step| format!("{} {}: {} ({})", step.at, step.rung, step.outcome.message, step.outcome.why));
    std::iter::once(begun).chain(steps).collect()
}

fn asked(name: &str, taint: &str, episode: &Episode) -> Vec<String> {
    let release = if episode.taint.is_some() {
        format!("When the node is healthy, release it: kubectl taint node {name} {taint}-")
    } else {
        format!(
            "The node is in service without the taint {taint}, because its pool has too many tainted nodes or no \
             Alertmanager answers. The case ends when its alerts are resolved."
        )
    };
    vec!["Find and fix the cause; nothing more will be done to this machine automatically.".to_owned(), release]
}

fn waiting(name: &str, taint: &str, episode: &Episode) -> Vec<String> {
    vec![
        format!("The node carries the taint {taint}, and its repair has waited since {:.0}.", episode.since),
        "Remove what it waits for, and the repair goes on by itself. No further mail about this wait is sent."
            .to_owned(),
        format!("Or release the node: kubectl taint node {name} {taint}-"),
    ]
}

fn described(name: &str, node: Option<&NodeView>) -> Vec<String> {
    let Some(node) = node else { return vec![format!("{name}: the Node object does not exist")] };
    let mut lines = vec![format!("name: {name}")];
    lines.extend(node.addresses.iter().map(|(kind, address)| format!("{kind}: {address}")));
    lines.push(format!("boot ID: {}", node.boot_id));
    lines.extend(node.labels.iter().map(|(key, value)| format!("label {key}: {value}")));
    lines
}

fn said(episode: &Episode) -> Vec<String> {
    let line = |verdict: &Verdict| {
        let reason = verdict.reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{} {} {}{reason}: {}", verdict.started_at, verdict.check, verdict.verdict, verdict.detail)
    };
    let lines: Vec<_> = episode.steps.iter().flat_map(|step| &step.verdicts).map(line).collect();
    if lines.is_empty() { vec!["no check results were recorded".to_owned()] } else { lines }
}

fn kept(name: &str) -> String {
    format!(
        "{name}.txt.gz: attached, and in ConfigMap {name}; the complete file is on the node, in /var/lib/ossci/evidence"
    )
}

fn text(subject: &str, sections: &[Section]) -> String {
    let mut text = format!("{subject}\n");
    for section in sections {
        let _ = write!(text, "\n{}\n", section.heading);
        for line in &section.lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// Only headings and lists, which mail clients (Outlook too) render alike.
fn html(subject: &str, sections: &[Section]) -> String {
    let mut html = format!("<html><body><h2>{}</h2>", escaped(subject));
    for section in sections {
        let _ = write!(html, "<h3>{}</h3><ul>", section.heading);
        for line in &section.lines {
            let _ = write!(html, "<li>{}</li>", escaped(line));
        }
        html.push_str("</ul>");
    }
    html.push_str("</body></html>\n");
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::{Ask, Complaint, Repair, Rung, Step};
    use crate::core::taint::{Taint, TaintKey};
    use crate::core::why::{Reason, Why};
    use jiff::Timestamp;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record() -> Record {
        let verdict = Verdict {
            check: "rocm-smi".into(),
            verdict: "failed".into(),
            reason: Some("gpu-missing".into()),
            detail: "7 of 8 GPUs, <none> at 0000:65:00.0".into(),
            started_at: at(90),
        };
        let step = |second, rung, why, message: &str, verdicts: &[Verdict]| Step {
            at: at(second),
            rung,
            outcome: Reason::new(why, message),
            verdicts: verdicts.to_vec(),
            kernel_log: None,
            evidence: None,
        };
        let episode = Episode {
            phase: Phase::Escalating,
            since: at(100),
            taint: Some(Taint::placing(TaintKey::RepairManual)),
            node_uid: "uid".into(),
            boot_id: "boot".into(),
            steps: vec![
                step(0, Rung::Reboot, Why::Complaint, "rocm-smi: three strikes", &[]),
                Step {
                    kernel_log: Some("amdgpu: device lost from bus".into()),
                    evidence: Some("ossci-evidence-gpu-017-3-reboot-1-capture-50".into()),
                    ..step(50, Rung::Reboot, Why::Captured, "on record", &[])
                },
                step(95, Rung::Reimage, Why::ProofFailed, "rocm-smi failed (gpu-missing)", &[verdict]),
            ],
            ..Episode::begin(3, Rung::Manual, at(0), Reason::new(Why::MailPending, "a person is needed"))
        };
        let complaint = Complaint {
            fingerprint: "f".into(),
            ask: Ask::Reboot,
            check: "rocm-smi".into(),
            since: at(0),
            seen: at(1),
            firing: true,
            summary: "three strikes".into(),
            labels: BTreeMap::new(),
            labels_cut: false,
        };
        let repair = Repair { episode: Some(episode), ..Repair::default() };
        Record { complaints: vec![complaint], repair, ..Record::default() }
    }

    #[test]
    fn the_mail_names_the_fault_the_attempts_the_task_and_the_node() {
        let node = NodeView {
            system_uuid: None,
            adopted: None,
            name: "gpu-017".into(),
            addresses: vec![("InternalIP".into(), "10.0.0.17".into())],
            labels: BTreeMap::from([("rack".into(), "b4".into())]),
            ..NodeView::default()
        };
        let links = BTreeMap::from([("Dashboard".into(), "https://grafana.example/d/fleet?var-node={node}".into())]);
        let evidence = vec![("e.txt.gz".into(), vec![0x1f])];
        let letter =
            escalation("gpu-017", Some(&node), "gpu.example/repair-manual", &record(), &links, evidence).unwrap();
        assert_eq!(letter.subject, "[OSSCI] gpu-017 needs a person: ProofFailed");
        for part in [
            "rocm-smi: three strikes (Complaint)",
            "reimage: rocm-smi failed (gpu-missing) (ProofFailed)",
            "kubectl taint node gpu-017 gpu.example/repair-manual-",
            "InternalIP: 10.0.0.17",
            "label rack: b4",
            "7 of 8 GPUs, <none> at 0000:65:00.0",
            "https://grafana.example/d/fleet?var-node=gpu-017",
            "ConfigMap ossci-evidence-gpu-017-3-reboot-1-capture-50",
        ] {
            assert!(letter.text.contains(part), "{part:?} is missing in\n{}", letter.text);
        }
        let files = letter.attached.iter().map(|(name, content)| (name.as_str(), String::from_utf8_lossy(content)));
        let files: Vec<_> = files.collect();
        let [("checks.log", checks), ("kernel-before-reboot.log", log), ("e.txt.gz", _)] = &files[..] else {
            panic!("{files:?}")
        };
        assert!(checks.contains("rocm-smi failed gpu-missing: 7 of 8"));
        assert_eq!(log, "amdgpu: device lost from bus\n");
    }

    #[test]
    fn the_mail_about_a_wait_says_what_the_node_waits_for() {
        let mut record = record();
        let episode = record.repair.episode.as_mut().unwrap();
        episode.phase = Phase::Waiting;
        episode.why = Reason::new(Why::OnHold, "a person put the node on hold: new riser");
        let letter = escalation("gpu-017", None, "repair-reboot", &record, &BTreeMap::new(), vec![]).unwrap();
        assert_eq!(letter.subject, "[OSSCI] gpu-017 waits: OnHold");
        for part in ["on hold: new riser", "has waited since 1970", "kubectl taint node gpu-017 repair-reboot-"] {
            assert!(letter.text.contains(part), "{part:?} is missing in\n{}", letter.text);
        }
    }

    #[test]
    fn tool_output_is_escaped_in_html() {
        let letter = escalation("gpu-017", None, "repair-manual", &record(), &BTreeMap::new(), vec![]).unwrap();
        assert!(letter.html.contains("&lt;none&gt;") && !letter.html.contains("<none>"));
    }
}
