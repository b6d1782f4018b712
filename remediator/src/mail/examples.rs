//! Examples of every mail, for a reader who wants to see one before it comes: `mail preview`. Their
//! nodes and times are invented; the sentences are those of real records.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::compose::{Case, Letter, Line, Machine, Many};
use super::{Mailer, Thread};
use crate::api::evidence_maps::{Found, Stored};
use crate::core::notices::Notice;
use crate::core::observation::PodView;
use crate::core::record::{
    Ask, Attempt, Card, Complaint, Episode, Mail, MailKind, PastEpisode, Phase, Record, Repair, Rung, Software, Step,
    Verdict,
};
use crate::core::taint::{Taint, TaintKey};
use crate::core::why::{Reason, Why};

/// The names of the examples.
pub const NAMES: [&str; 9] =
    ["gpu-missing", "reimage-failed", "no-boot", "hardware-fault", "waiting", "released", "many", "reminder", "notice"];

const NODE: &str = "gpu-0417";
const BOOTS: [&str; 3] = [
    "6d2f4b0e-2c4a-4c39-9a0b-5a1c0f3d7e11",
    "0b8c1f9a-7e55-4a7e-b1d2-93f0a6c4d822",
    "f3a97c55-10de-4f8b-8f6e-2b7d1e90aa33",
];

/// When the examples begin.
fn begin() -> Timestamp {
    // 2026-11-28 22:04:57 UTC
    Timestamp::from_second(1_795_903_497).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn after(seconds: i64) -> Timestamp {
    begin().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Returns the mail of this name with its place in its thread, and when it was written; `None`
/// without an example of this name.
pub fn letter(mailer: &Mailer, name: &str) -> Option<(Thread, Letter, Timestamp)> {
    let thread =
        |id: &str, calm| Thread { message_id: format!("<example.{id}@example.com>"), references: vec![], calm };
    let machine = machine();
    let about = |record: &Record, pods: &[PodView], evidence: &[Found]| {
        mailer.about_node(&Case { node: NODE, machine: Some(&machine), record, pods, evidence })
    };
    let plain = |record: &Record| about(record, &[], &[]);
    Some(match name {
        "gpu-missing" => (thread(name, false), about(&missing(), &pods(), &evidence())?, after(2_905)),
        "reimage-failed" => (thread(name, false), plain(&reimage_failed())?, after(4_300)),
        "no-boot" => (thread(name, false), about(&no_boot(), &pods(), &[])?, after(2_400)),
        "hardware-fault" => (thread(name, false), plain(&hardware())?, after(31)),
        "waiting" => (thread(name, false), plain(&waiting())?, after(86_500)),
        "released" => {
            let root = thread("gpu-missing", false).message_id;
            let (subject, record) = (plain(&missing())?.subject, released());
            let case = Case { node: NODE, machine: Some(&machine), record: &record, pods: &[], evidence: &[] };
            let letter = mailer.ended(&case, Some(&subject))?;
            (Thread { references: vec![root], ..thread(name, true) }, letter, after(90_000))
        }
        "many" => {
            (thread(name, false), mailer.many(Many::NeedPerson, Some("mi300x"), &lines(), after(900)), after(900))
        }
        "reminder" => {
            (thread(name, true), mailer.many(Many::Still, None, &lines()[..2], after(180_000)), after(180_000))
        }
        "notice" => (thread(name, false), mailer.notice(&notice()), after(60)),
        _ => return None,
    })
}

fn machine() -> Machine {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let features = (1..=40).map(|n| (format!("feature.node.kubernetes.io/cpu-cpuid.FEATURE{n:02}"), "true".to_owned()));
    let mut labels: BTreeMap<String, String> = BTreeMap::from_iter(pairs(&[
        ("kubernetes.io/hostname", NODE),
        ("topology.kubernetes.io/zone", "atl-2"),
        ("topology.kubernetes.io/rack", "r17"),
        ("node.kubernetes.io/instance-type", "mi300x-8"),
        ("ossci.amd.com/pool", "mi300x"),
        ("ossci.amd.com/gpus", "8"),
        ("feature.node.kubernetes.io/amd-gpu", "true"),
    ]));
    labels.extend(features);
    Machine {
        addresses: pairs(&[("InternalIP", "10.24.17.41"), ("Hostname", NODE)]),
        labels,
        boot_id: BOOTS[2].to_owned(),
        system: pairs(&[
            ("kernel", "6.8.0-79-generic"),
            ("system", "Ubuntu 24.04.3 LTS"),
            ("kubelet", "v1.34.2"),
            ("runtime", "containerd://2.1.4"),
        ]),
    }
}

fn step(seconds: i64, boot: usize, rung: Rung, why: Why, message: &str, verdicts: Vec<Verdict>) -> Step {
    let boot_id = Some(BOOTS[boot].to_owned());
    Step { boot_id, verdicts, ..Step::plain(after(seconds), rung, Reason::new(why, message)) }
}

fn gone(seconds: i64) -> Vec<Verdict> {
    let of = |check: &str, detail: &str, at: i64| {
        Verdict::of(check, ("failed", Some("gpu-missing")), detail.into(), after(at))
    };
    vec![
        of("rocm-smi", "7 of 8 GPUs (learned), missing 0000:65:00.0 (not on the PCI bus)", seconds),
        of("rocminfo", "7 of 8 GPUs (learned)", seconds + 2),
    ]
}

/// Three runs of every check.
fn three(seconds: i64) -> Vec<Verdict> {
    (0..3).flat_map(|run| gone(seconds + 11 * run)).collect()
}

fn complaint(ask: Ask, alert: &str, check: &str, summary: &str) -> Complaint {
    let labels = [("alertname", alert), ("node", NODE), ("cluster", "prod-atl"), ("severity", "critical")];
    Complaint {
        fingerprint: "5f3c0a1b2c3d4e5f".into(),
        ask,
        check: check.into(),
        since: after(-5),
        seen: after(0),
        firing: true,
        summary: summary.into(),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        labels_cut: false,
        generator_url: Some(
            "https://prometheus.example.com/graph?g0.expr=ossci_check_consecutive_failures+%3E%3D+3&g0.tab=1".into(),
        ),
        external_url: Some("https://alertmanager.example.com".into()),
        runbook_url: Some(format!("https://runbooks.example.com/{}", alert.to_ascii_lowercase())),
    }
}

fn three_strikes() -> Complaint {
    complaint(Ask::Reboot, "GPUCheckFailing", "rocm-smi", "rocm-smi failed 3 times in a row on gpu-0417")
}

fn record(
    complaint: Complaint,
    phase: Phase,
    since: i64,
    taint: Option<TaintKey>,
    rung: Rung,
    steps: Vec<Step>,
) -> Record {
    let card = |number: u32, serial: &str| Card {
        pci: format!("0000:{:02x}:00.0", 0x05 + 0x20 * number),
        model: Some("AMD Instinct MI300X".into()),
        serial: Some(serial.into()),
        unique_id: Some(format!("0x8d1457e2c20f59d{number}")),
        slot: Some(format!("{}", 21 + number)),
    };
    let mut missing = card(3, "692251001124");
    missing.pci = "0000:65:00.0".into();
    let episode = Episode {
        phase,
        since: after(since),
        pool: Some("mi300x".into()),
        taint: taint.map(|key| Taint { state: crate::core::taint::TaintState::Confirmed, ..Taint::placing(key) }),
        node_uid: "2c1f7f6e-93a4-4d3f-8d5e-0a1b2c3d4e5f".into(),
        boot_id: BOOTS[2].into(),
        steps,
        mails: vec![Mail::due(MailKind::Escalation, "<example.gpu-missing@example.com>".into(), after(since))],
        cards: vec![card(0, "692251001117"), missing],
        software: Some(Software {
            kernel: Some("6.8.0-79-generic".into()),
            driver: Some("6.16.6".into()),
            rocm: Some("7.1.0".into()),
        }),
        ..Episode::begin(7, rung, begin(), Reason::new(Why::MailPending, "a person is needed"))
    };
    let past = PastEpisode {
        number: 6,
        started_at: after(-1_640_000),
        ended_at: after(-1_638_800),
        rung: Rung::Reboot,
        outcome: Phase::Healed,
        why: Reason::new(Why::ProofPassed, "3 of 3 runs of each check passed"),
        pool: Some("mi300x".into()),
        attempts: vec![Attempt { rung: Rung::Reboot, at: after(-1_638_900), passed: true }],
        slowest_boot_seconds: Some(412),
        by_person: false,
        mailed: false,
    };
    Record {
        complaints: vec![complaint],
        repair: Repair { episode: Some(episode), history: vec![past], ..Repair::default() },
        ..Record::default()
    }
}

fn rebooted() -> Vec<Step> {
    vec![
        step(0, 0, Rung::Reboot, Why::Complaint, "rocm-smi: rocm-smi failed 3 times in a row on gpu-0417", vec![]),
        step(10, 0, Rung::Reboot, Why::StillFailing, "rocm-smi failed (gpu-missing): 7 of 8 GPUs", gone(6)),
        Step {
            kernel_log: Some("[Sat Nov 28 22:04:31 2026] amdgpu 0000:65:00.0: amdgpu: device lost from bus!".into()),
            evidence: Some("ossci-evidence-7-reboot-1-capture-1764367519.gpu-0417".into()),
            ..step(
                22,
                0,
                Rung::Reboot,
                Why::Captured,
                "the verdicts of the checks and the end of the kernel log were recorded",
                gone(18),
            )
        },
        step(445, 1, Rung::Reboot, Why::NewBoot, &format!("the node is on a new boot, {}", BOOTS[1]), vec![]),
        step(
            790,
            1,
            Rung::Reboot,
            Why::ProofFailed,
            "rocminfo failed (gpu-missing): 7 of 8 GPUs (learned)",
            three(760),
        ),
    ]
}

/// A GPU that neither a reboot nor a reimage brought back.
pub fn missing() -> Record {
    let mut steps = rebooted();
    steps.extend([
        step(
            812,
            1,
            Rung::Reimage,
            Why::Captured,
            "the verdicts of the checks and the end of the kernel log were recorded",
            gone(806),
        ),
        step(2_020, 1, Rung::Reimage, Why::Reimaged, "the reimage finished: driver 6.16.6, ROCm 7.1.0", vec![]),
        step(2_520, 2, Rung::Reimage, Why::NewBoot, &format!("the node is on a new boot, {}", BOOTS[2]), vec![]),
        step(
            2_900,
            2,
            Rung::Reimage,
            Why::ProofFailed,
            "rocminfo failed (gpu-missing): 7 of 8 GPUs (learned)",
            three(2_860),
        ),
    ]);
    record(three_strikes(), Phase::Escalating, 2_901, Some(TaintKey::RepairManual), Rung::Manual, steps)
}

fn reimage_failed() -> Record {
    let mut steps = rebooted();
    let output = "the script exited with status 1: checking what is installed\ninstalling the driver and ROCm\n\
                  E: Failed to fetch https://repo.radeon.com/amdgpu/30.10/ubuntu/pool/main/a/amdgpu-dkms_6.14.14.deb  \
                  File has unexpected size (1311 != 18402334). Mirror sync in progress?\n\
                  the packages from before are back; nothing was changed";
    steps.push(step(4_290, 1, Rung::Reimage, Why::ReimageFailed, output, vec![]));
    record(three_strikes(), Phase::Escalating, 4_291, Some(TaintKey::RepairManual), Rung::Manual, steps)
}

fn no_boot() -> Record {
    let mut steps = rebooted();
    steps.truncate(3);
    let text = "no new boot ID within 30 min of the reboot; the BMC says: power On, last boot event \"CPU0 MCE 0x5\"";
    steps.push(step(2_390, 0, Rung::Reboot, Why::DidNotComeBack, text, vec![]));
    record(three_strikes(), Phase::Escalating, 2_391, Some(TaintKey::RepairManual), Rung::Manual, steps)
}

fn hardware() -> Record {
    let summary = "GPU 0000:65:00.0 of gpu-0417 counts 41 uncorrectable ECC errors since boot";
    let alert = complaint(Ask::Manual, "GPUHardwareFault", "hardware", summary);
    let steps = vec![step(0, 2, Rung::Manual, Why::Complaint, &format!("hardware: {summary}"), vec![])];
    record(alert, Phase::Escalating, 30, Some(TaintKey::RepairManual), Rung::Manual, steps)
}

fn waiting() -> Record {
    let mut steps = rebooted();
    steps.truncate(1);
    let mut record = record(three_strikes(), Phase::Waiting, 40, Some(TaintKey::RepairReboot), Rung::Reboot, steps);
    if let Some(episode) = &mut record.repair.episode {
        episode.why = Reason::new(Why::OnHold, "a person put the node on hold: riser on order, ticket 4711");
    }
    record
}

fn released() -> Record {
    let mut record = missing();
    if let Some(episode) = &mut record.repair.episode {
        (episode.phase, episode.since, episode.taint) = (Phase::Released, after(89_990), None);
        episode.why = Reason::new(Why::ReleasedByHand, "a person removed the taint repair-manual");
    }
    record
}

fn pods() -> Vec<PodView> {
    let pod = |name: &str| PodView {
        namespace: "training".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        grace: std::time::Duration::from_secs(30),
        ends: true,
        bare: false,
        local_data: false,
    };
    vec![pod("llm-405b-worker-17"), pod("llm-405b-worker-18")]
}

fn evidence() -> Vec<Found> {
    let text = "==== kernel ====\nLinux gpu-0417 6.8.0-79-generic\n\n==== driver that is loaded ====\n6.16.6\n";
    let stored = Stored { packed: Vec::new(), text: Some(text.into()) };
    vec![
        ("ossci-evidence-7-reboot-1-capture-1764367519.gpu-0417".to_owned(), Ok(stored)),
        ("ossci-evidence-7-reimage-1-capture-1764368309.gpu-0417".to_owned(), Err("its ConfigMap is gone".to_owned())),
    ]
}

fn lines() -> Vec<Line> {
    let line = |n: u32| Line {
        node: format!("gpu-{n:04}"),
        since: after(i64::from(n) - 400),
        words: format!("GPU 0000:{:02x}:00.0 not responding after reboot", 5 + n % 8 * 16),
    };
    (401..=412).map(line).collect()
}

fn notice() -> Notice {
    Notice {
        key: "rung-stopped-reimage.mi300x".into(),
        why: Why::RungNotWorking,
        subject: "pool mi300x: reimage heals no node".into(),
        text: "The last attempts to reimage a node of this pool all failed, so this rung is stopped for the pool. The nodes \
               probably share a cause that this rung cannot fix. When you have fixed it:\n  kubectl -n ossci annotate \
               --overwrite configmap ossci-budget ossci.amd.com/resumed-at=$(date -u +%FT%TZ)"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::policy_file::PolicyFile;

    const POLICY: &str = "
cluster: prod-atl
pools: [{name: mi300x, nodeSelector: {gpu: 'true'}, mode: reimage}]
bmc: {url: 'https://{node}.bmc.example.com/redfish/v1/Systems/1', username: ossci, passwordFile: /none}
mail:
  from: OSSCI Ops <ossci@example.com>
  to: [infra@example.com]
  server: smtp.example.com
  links: {Dashboard: 'https://grafana.example.com/d/ossci-node?var-node={node}'}
";

    fn mailer() -> Mailer {
        Mailer::of(&PolicyFile::parse(POLICY).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn every_example_is_the_mail_that_it_was() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mail/examples");
        let mailer = mailer();
        for name in NAMES {
            let (thread, letter, now) = letter(&mailer, name).unwrap();
            let eml = String::from_utf8(mailer.eml(&thread, &letter, now).unwrap()).unwrap().replace("\r\n", "\n");
            ossci_base::golden::check(&folder.join(format!("{name}.eml")), &eml)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(letter(&mailer, "other").is_none());
    }

    #[test]
    fn the_first_screen_holds_the_fact_and_the_request() {
        let mailer = mailer();
        let (_, letter, _) = letter(&mailer, "gpu-missing").unwrap();
        assert_eq!(
            letter.subject,
            "[ossci] prod-atl gpu-0417 needs a person: GPU 0000:65:00.0 missing after reboot and reimage"
        );
        let screen: String = letter.text.lines().take(25).collect::<Vec<_>>().join("\n");
        for part in
            ["692251001124", "slot", "MI300X", "kubectl taint node gpu-0417 repair-manual-", "prod-atl", "exchange"]
        {
            assert!(screen.contains(part), "{part:?} is not on the first screen:\n{screen}");
        }
        let said = &letter.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!said.contains("FEATURE01") && letter.attached[0].name == "node.txt", "{said}");
        assert!(String::from_utf8_lossy(&letter.attached[0].content).contains("FEATURE01: true"));
        assert!(said.contains("9 times") && said.contains("took") && said.contains("ConfigMap is gone"), "{said}");
    }

    #[test]
    fn what_tools_labels_and_people_write_becomes_no_header_and_no_markup() {
        let evil = "x\r\nBcc: evil@example.org\r\n\r\n<script>alert(1)</script>\u{1b}[31m\u{0}";
        let mut machine = machine();
        machine.labels = (0..2_000).map(|n| (format!("label-{n}"), evil.to_owned())).collect();
        let (mut failed, mut waits) = (missing(), waiting());
        for record in [&mut failed, &mut waits] {
            let episode = record.repair.episode.as_mut().unwrap();
            episode.why.message = evil.into();
            episode.cards[1].serial = Some(evil.into());
            let last = episode.steps.last_mut().unwrap();
            (last.outcome.message, last.kernel_log) = (evil.into(), Some(evil.into()));
            last.verdicts.iter_mut().for_each(|verdict| verdict.detail = format!("{evil} missing 0000:65:00.0"));
            record.complaints[0].summary = evil.into();
        }
        let mailer = mailer();
        for record in [&failed, &waits] {
            let case = Case { node: NODE, machine: Some(&machine), record, pods: &[], evidence: &[] };
            let letter = mailer.about_node(&case).unwrap();
            let thread = Thread { message_id: "<1@example.com>".into(), ..Thread::default() };
            let eml = String::from_utf8(mailer.eml(&thread, &letter, begin()).unwrap()).unwrap();
            let head = eml.split("\r\n\r\n").next().unwrap();
            let names: Vec<_> = head
                .lines()
                .filter(|line| !line.starts_with(' '))
                .map(|line| line.split(':').next().unwrap())
                .collect();
            assert!(
                !names.contains(&"Bcc") && names.iter().filter(|name| **name == "Subject").count() == 1,
                "{names:?}"
            );
            assert!(!letter.html.contains("<script") && letter.html.contains("&lt;script&gt;"), "{}", letter.html);
            assert!(letter.text.lines().count() < 120, "2,000 labels are not in the text: {}", letter.text);
            let labels = letter.attached.iter().find(|file| file.name == "node.txt").unwrap();
            assert!(String::from_utf8_lossy(&labels.content).contains("label-1999: "));
        }
    }
}
