//! The texts of the mails. Pure: the same case gives the same mail.

pub mod asks;
mod fact;
mod files;
mod page;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::fact::Fact;
pub use self::files::{Attachment, FEW, Files, MOST};
use self::page::{Block, Page, Section};
use crate::api::evidence_maps::Found;
use crate::core::notices::Notice;
use crate::core::observation::PodView;
use crate::core::policy::Mode;
use crate::core::record::{Card, Complaint, Episode, PastEpisode, Phase, Record, Step, Verdict};
use crate::core::taint::TaintKey;
use crate::core::why::{Reason, Why};
use crate::core::words::{clock, first_line, span, when};

/// Earlier repairs that the text names.
const EARLIER: usize = 5;
/// Pods that the text names.
const PODS: usize = 20;
/// Characters of a step's outcome in the table; longer ones are shown as output.
const OUTCOME: usize = 160;
/// Characters of a subject.
const SUBJECT: usize = 180;

/// A mail without its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub subject: String,
    pub text: String,
    pub html: String,
    pub attached: Vec<Attachment>,
}

/// What a mail says about the site.
pub struct Site<'a> {
    pub cluster: Option<&'a str>,
    /// Spells our taints as the site does.
    pub spell: asks::Spell<'a>,
    pub modes: BTreeMap<&'a str, Mode>,
    /// The address of a node's BMC; `{node}` stands for the node.
    pub bmc: Option<&'a str>,
    pub links: &'a BTreeMap<String, String>,
    /// The labels that the text shows.
    pub labels: &'a [String],
}

/// What the Node object says of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Types with addresses.
    pub addresses: Vec<(String, String)>,
    pub labels: BTreeMap<String, String>,
    pub boot_id: String,
    /// Kernel, distribution, kubelet: names with versions.
    pub system: Vec<(String, String)>,
}

/// Everything that a mail about one node is made of.
pub struct Case<'a> {
    pub node: &'a str,
    /// `None`: there is no Node object.
    pub machine: Option<&'a Machine>,
    pub record: &'a Record,
    /// The pods that are still on the node.
    pub pods: &'a [PodView],
    pub evidence: &'a [Found],
}

impl Letter {
    fn new(subject: String, page: &Page, files: Files) -> Self {
        let (text, html) = (page.text(), page.html(&subject));
        Self { subject, text, html, attached: files.attached }
    }
}

/// Returns the beginning of every subject.
fn begun(site: &Site<'_>) -> String {
    site.cluster.map_or_else(|| "[ossci]".to_owned(), |cluster| format!("[ossci] {cluster}"))
}

/// Returns the cluster, as it follows a name in a sentence.
fn place(site: &Site<'_>) -> String {
    site.cluster.map(|cluster| format!(" (cluster {cluster})")).unwrap_or_default()
}

/// Returns a subject of one line.
fn subject(site: &Site<'_>, rest: &str) -> String {
    first_line(&format!("{} {rest}", begun(site)).split_whitespace().collect::<Vec<_>>().join(" "), SUBJECT)
}

/// Returns the fact of the last episode; `None` without one.
pub fn fact(record: &Record) -> Option<Fact> {
    record.repair.episode.as_ref().map(|episode| fact::of(record, episode))
}

/// Returns the mail that asks a person to take over, or that tells of a node that waits; `None`
/// when the record has no episode. `most`: bytes of all attachments.
pub fn about_node(case: &Case<'_>, site: &Site<'_>, most: usize) -> Option<Letter> {
    let Case { node, record, .. } = *case;
    let episode = record.repair.episode.as_ref()?;
    let waits = episode.phase == Phase::Waiting;
    let fact = fact::of(record, episode);
    let place = place(site);
    let (subject, lead) = if waits {
        let waits_for = first_line(&episode.why.message, OUTCOME);
        let lead = format!(
            "Node {node}{place} carries the taint {} and its repair has waited since {}: {waits_for}.",
            taint(site, episode),
            when(episode.since)
        );
        (subject(site, &format!("{node} waits: {waits_for}")), lead)
    } else {
        let lead = format!("Node {node}{place} needs a person: {}.", fact.words);
        (subject(site, &format!("{node} needs a person: {}", fact.words)), lead)
    };
    let files = files(case, most);
    let sections = vec![
        Section { heading: "The GPU", blocks: gpus(episode, &fact) },
        Section {
            heading: "What you have to do",
            blocks: if waits { waiting(node, site, episode) } else { asked(node, site, episode) },
        },
        Section { heading: "What was tried (times are UTC)", blocks: tried(episode) },
        Section { heading: "What the checks said", blocks: checks(episode) },
        Section { heading: "The alerts", blocks: alerts(record) },
        Section { heading: "Pods that are still on the node", blocks: pods(case) },
        Section { heading: "Earlier repairs of this node", blocks: earlier(&record.repair.history) },
        Section { heading: "The node", blocks: machine(case, site, episode) },
        Section { heading: "Links", blocks: links(node, site, record) },
        Section { heading: "Attached", blocks: attached(&files) },
    ];
    Some(Letter::new(subject, &Page::new(lead, sections), files))
}

/// Returns the answer in the thread of a mail: the node needs no person any more. `None` while the
/// episode is open. `about`: the subject of that mail, if it is known.
pub fn ended(case: &Case<'_>, site: &Site<'_>, about: Option<&str>) -> Option<Letter> {
    let Case { node, record, .. } = *case;
    let episode = record.repair.episode.as_ref().filter(|episode| episode.phase.is_over())?;
    let how = match episode.phase {
        Phase::Released => "a person released it",
        Phase::NodeGone => "its Node object was deleted",
        Phase::Recovered => "its alerts are resolved",
        _ => "it is healthy again",
    };
    let place = place(site);
    let lead = format!("Node {node}{place} needs no person any more: {how}.");
    let facts = vec![
        ("ended".to_owned(), when(episode.since)),
        ("after".to_owned(), span(episode.started_at, episode.since)),
        (
            "outcome".to_owned(),
            format!("{}: {} ({})", episode.phase, first_line(&episode.why.message, OUTCOME), episode.why.why),
        ),
    ];
    let sections = vec![
        Section { heading: "How it ended", blocks: vec![Block::Facts(facts)] },
        Section { heading: "What was tried (times are UTC)", blocks: tried(episode) },
    ];
    let subject = match about {
        Some(about) => format!("Re: {about}"),
        None => subject(site, &format!("{node} needs no person any more: {how}")),
    };
    Some(Letter::new(subject, &Page::new(lead, sections), Files::default()))
}

/// What a mail about many nodes tells of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    NeedPerson,
    Wait,
    Ended,
    /// They still need one.
    Still,
}

/// One line about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub node: String,
    pub since: Timestamp,
    pub words: String,
}

impl Line {
    /// Returns the line about a node with a record; `None` without an episode.
    pub fn of(node: &str, record: &Record) -> Option<Self> {
        let episode = record.repair.episode.as_ref()?;
        let words = match episode.phase {
            Phase::Waiting => first_line(&episode.why.message, OUTCOME),
            phase if phase.is_over() => format!("{phase}: {}", first_line(&episode.why.message, OUTCOME)),
            _ => fact::of(record, episode).words,
        };
        Some(Self { node: node.to_owned(), since: episode.since, words })
    }
}

/// Returns the mail about many nodes. `pool`: of which all are; `None`: of any.
pub fn many(what: Many, pool: Option<&str>, lines: &[Line], site: &Site<'_>, now: Timestamp) -> Letter {
    let number = lines.len();
    let of = pool.map(|pool| format!(" of pool {pool}")).unwrap_or_default();
    let said = match what {
        Many::NeedPerson => format!("{number} nodes{of} need a person"),
        Many::Wait => format!("{number} nodes{of} wait with our taint"),
        Many::Ended => format!("{number} nodes{of} need no person any more"),
        Many::Still => {
            format!("{number} {} a person", if number == 1 { "node still needs" } else { "nodes still need" })
        }
    };
    let advice = match what {
        Many::NeedPerson => {
            "Many nodes within minutes may have one cause: a new driver, a broken check, power, a switch. Look for what they \
             have in common first."
        }
        Many::Wait => "Remove what they wait for, and their repairs go on by themselves.",
        Many::Ended => "Nothing is asked of you.",
        Many::Still => {
            "Each has had a mail of its own. This reminder comes once a day, until they are released or healed."
        }
    };
    let place = site.cluster.map(|cluster| format!(" in cluster {cluster}")).unwrap_or_default();
    let rows = lines.iter().map(|line| vec![line.node.clone(), span(line.since, now), line.words.clone()]).collect();
    let command = |what: &str, command: &str| Block::Command { what: what.to_owned(), command: command.to_owned() };
    let look = match what {
        Many::Ended => vec![],
        _ => vec![
            command("All of them, with their reasons:", "kubectl get noderepairs"),
            command(
                "The whole mail about one of them:",
                "kubectl -n ossci exec deploy/ossci-remediator -- ossci-remediator mail preview NODE",
            ),
        ],
    };
    let sections = vec![
        Section { heading: "What you have to do", blocks: [vec![Block::Text(advice.to_owned())], look].concat() },
        Section { heading: "The nodes", blocks: vec![Block::Table { head: vec!["node", "for", "what"], rows }] },
    ];
    let page = Page::new(format!("{said}{place}."), sections);
    Letter::new(subject(site, &said), &page, Files::default())
}

/// Returns the mail of a notice about a pool.
pub fn notice(notice: &Notice, site: &Site<'_>) -> Letter {
    let mut blocks = Vec::new();
    for line in notice.text.lines() {
        match line.strip_prefix("  ") {
            Some(command) => blocks.push(Block::Output(command.trim().to_owned())),
            None => blocks.push(Block::Text(line.to_owned())),
        }
    }
    let place = place(site);
    let sections = vec![Section { heading: "What happened, and what you have to do", blocks }];
    let page = Page::new(format!("{}{place}.", capitalised(&notice.subject)), sections);
    Letter::new(subject(site, &notice.subject), &page, Files::default())
}

/// Returns the HTML form of a text that is not ours.
pub fn plain_html(subject: &str, text: &str) -> String {
    let sections = vec![Section { heading: "", blocks: vec![Block::Output(text.to_owned())] }];
    Page::new(subject.to_owned(), sections).html(subject)
}

/// Returns a mail that only shows that mails arrive.
pub fn test(site: &Site<'_>) -> Letter {
    let said = "a test: mails from OSSCI Ops arrive here";
    let text = "Somebody ran `ossci-remediator mail test`. Nothing is asked of you. When a node needs a person, the mail about \
                it comes from the same sender to the same recipients.";
    let sections = vec![Section { heading: "What you have to do", blocks: vec![Block::Text(text.to_owned())] }];
    let page = Page::new(format!("{}.", capitalised(said)), sections);
    Letter::new(subject(site, said), &page, Files::default())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn taint(site: &Site<'_>, episode: &Episode) -> String {
    (site.spell)(episode.taint.map_or(episode.rung.taint(), |taint| taint.key))
}

fn facts(all: Vec<(&str, Option<String>)>) -> Vec<(String, String)> {
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The GPUs that the fact is about, with what a technician looks for.
fn gpus(episode: &Episode, fact: &Fact) -> Vec<Block> {
    let card = |address: &String| episode.cards.iter().find(|card| card.pci == *address).cloned();
    let block = |address: &String| {
        let card = card(address).unwrap_or_else(|| Card { pci: address.clone(), ..Card::default() });
        Block::Facts(facts(vec![
            ("address", Some(card.pci)),
            ("slot", card.slot),
            ("model", card.model),
            ("serial", card.serial),
            ("unique id", card.unique_id),
        ]))
    };
    fact.gpus.iter().take(8).map(block).collect()
}

fn asked(node: &str, site: &Site<'_>, episode: &Episode) -> Vec<Block> {
    let mode = episode.pool.as_deref().and_then(|pool| site.modes.get(pool)).copied();
    let tainted = episode.taint.map(|taint| taint.key);
    let mut blocks = vec![Block::Text(asks::asked(fact::cause(episode)).to_owned())];
    blocks.push(Block::Text(match tainted {
        Some(key) => format!("Nothing more is done to it automatically. It carries the taint {}, so no new pod comes to it.", (site.spell)(key)),
        None => format!(
            "Nothing is done to it automatically. It is in service, without the taint {}, because its pool has too many \
             tainted nodes or no Alertmanager answers. The case ends when its alerts are resolved.",
            (site.spell)(TaintKey::RepairManual)
        ),
    }));
    blocks.extend(asks::commands(node, tainted, mode, site.spell));
    blocks
}

fn waiting(node: &str, site: &Site<'_>, episode: &Episode) -> Vec<Block> {
    let text = "Remove what it waits for, and the repair goes on by itself. No further mail about this wait is sent.";
    let release = format!("kubectl taint node {node} {}-", taint(site, episode));
    vec![
        Block::Text(text.to_owned()),
        Block::Command { what: "Or release it, if it is healthy:".to_owned(), command: release },
    ]
}

/// The steps of the episode with their durations; long outcomes follow as output.
fn tried(episode: &Episode) -> Vec<Block> {
    let begun = episode.started_at;
    let mut before = begun;
    let (mut rows, mut outputs) = (Vec::new(), Vec::new());
    for Step { at, rung, outcome: Reason { why, message }, .. } in &episode.steps {
        let short = first_line(message, OUTCOME);
        if message.trim() != short {
            outputs.push(Block::Text(format!("{} {rung}, {why}, as it was reported:", clock(*at, begun))));
            outputs.push(Block::Output(message.clone()));
        }
        rows.push(vec![clock(*at, begun), span(before, *at), rung.to_string(), format!("{short} ({why})")]);
        before = *at;
    }
    if rows.is_empty() {
        return vec![];
    }
    let mut blocks = vec![
        Block::Facts(facts(vec![
            ("began", Some(when(begun))),
            ("episode", Some(episode.number.to_string())),
            ("boots", Some(boots(episode)).filter(|boots| !boots.is_empty())),
        ])),
        Block::Table { head: vec!["at", "took", "rung", "what happened"], rows },
    ];
    blocks.extend(outputs);
    blocks
}

/// The boot IDs in their order.
fn boots(episode: &Episode) -> String {
    let mut boots: Vec<&str> = Vec::new();
    for boot in episode.steps.iter().filter_map(|step| step.boot_id.as_deref()) {
        if boots.last() != Some(&boot) {
            boots.push(boot);
        }
    }
    boots.join(" -> ")
}

/// The verdicts, with equal ones in one line.
fn checks(episode: &Episode) -> Vec<Block> {
    let begun = episode.started_at;
    let mut folded: Vec<(&Verdict, usize, Timestamp)> = Vec::new();
    let same = |one: &Verdict, two: &Verdict| {
        (&one.check, &one.verdict, &one.reason, &one.detail) == (&two.check, &two.verdict, &two.reason, &two.detail)
    };
    for verdict in episode.steps.iter().flat_map(|step| &step.verdicts) {
        match folded.iter_mut().find(|(known, ..)| same(known, verdict)) {
            Some((_, times, last)) => (*times, *last) = (*times + 1, verdict.started_at),
            None => folded.push((verdict, 1, verdict.started_at)),
        }
    }
    let row = |(verdict, times, last): &(&Verdict, usize, Timestamp)| {
        let first = clock(verdict.started_at, begun);
        let at = if *times > 1 { format!("{first} to {}, {times} times", clock(*last, begun)) } else { first };
        let reason = verdict.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let detail = first_line(&verdict.detail, 400);
        vec![verdict.check.clone(), format!("{}{reason}: {detail}; {at}", verdict.verdict)]
    };
    let rows: Vec<_> = folded.iter().map(row).collect();
    if rows.is_empty() {
        return vec![Block::Text("No check results were recorded.".to_owned())];
    }
    vec![Block::Table { head: vec!["check", "verdict"], rows }]
}

fn alerts(record: &Record) -> Vec<Block> {
    let row = |complaint: &Complaint| {
        let state = if complaint.firing { "fires" } else { "is resolved" };
        let name = complaint.labels.get("alertname").map_or(complaint.check.as_str(), String::as_str);
        let summary = first_line(&complaint.summary, OUTCOME);
        vec![
            name.to_owned(),
            format!("{summary} (asks for {}, {state}, since {})", complaint.ask, when(complaint.since)),
        ]
    };
    let rows: Vec<_> = record.complaints.iter().map(row).collect();
    if rows.is_empty() { vec![] } else { vec![Block::Table { head: vec!["alert", "what it says"], rows }] }
}

fn pods(case: &Case<'_>) -> Vec<Block> {
    if case.pods.is_empty() {
        return vec![];
    }
    let mut names: Vec<String> = case.pods.iter().take(PODS).map(ToString::to_string).collect();
    if case.pods.len() > PODS {
        names.push(format!("and {} more", case.pods.len() - PODS));
    }
    vec![
        Block::Text(format!("{}.", names.join(", "))),
        Block::Command {
            what: "If the machine is off or gone for sure, this lets them start elsewhere, with their volumes:"
                .to_owned(),
            command: format!(
                "kubectl taint node {} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
                case.node
            ),
        },
    ]
}

fn earlier(history: &[PastEpisode]) -> Vec<Block> {
    let row = |past: &PastEpisode| {
        let took = span(past.started_at, past.ended_at);
        let text =
            format!("{} after {took}: {} ({})", past.outcome, first_line(&past.why.message, OUTCOME), past.why.why);
        vec![when(past.started_at), past.rung.to_string(), text]
    };
    let rows: Vec<_> = history.iter().rev().take(EARLIER).map(row).collect();
    if rows.is_empty() { vec![] } else { vec![Block::Table { head: vec!["began", "rung", "how it ended"], rows }] }
}

fn machine(case: &Case<'_>, site: &Site<'_>, episode: &Episode) -> Vec<Block> {
    let pool = episode.pool.as_deref();
    let mode = pool.and_then(|pool| site.modes.get(pool)).map(|mode| format!(" (mode {mode})")).unwrap_or_default();
    let software = episode.software.clone().unwrap_or_default();
    let mut all = facts(vec![
        ("name", Some(case.node.to_owned())),
        ("cluster", site.cluster.map(str::to_owned)),
        ("pool", pool.map(|pool| format!("{pool}{mode}"))),
        ("BMC", site.bmc.map(|bmc| bmc.replace("{node}", case.node))),
    ]);
    let Some(machine) = case.machine else {
        all.push(("Node object".to_owned(), "does not exist".to_owned()));
        return vec![Block::Facts(all)];
    };
    all.extend(machine.addresses.iter().cloned());
    all.extend(facts(vec![("boot ID", Some(machine.boot_id.clone()))]));
    let before = |what: &str| format!("{what} before the repair");
    for (name, version) in [("kernel", software.kernel), ("driver", software.driver), ("ROCm", software.rocm)] {
        all.extend(version.map(|version| (before(name), version)));
    }
    all.extend(machine.system.iter().cloned());
    let shown = site.labels.iter().filter_map(|key| Some((key.clone(), machine.labels.get(key)?.clone())));
    all.extend(shown.collect::<std::collections::BTreeMap<_, _>>());
    vec![Block::Facts(all)]
}

fn links(node: &str, site: &Site<'_>, record: &Record) -> Vec<Block> {
    let mut all: Vec<(String, String)> =
        site.links.iter().map(|(title, address)| (title.clone(), address.replace("{node}", node))).collect();
    for complaint in record.complaints.iter().filter(|complaint| complaint.firing) {
        let name = complaint.labels.get("alertname").map_or(complaint.check.as_str(), String::as_str);
        all.extend(complaint.runbook_url.as_ref().map(|address| (format!("Runbook of {name}"), address.clone())));
        all.extend(complaint.generator_url.as_ref().map(|address| (format!("Graph of {name}"), address.clone())));
        if let Some(address) = &complaint.external_url {
            let address = address.trim_end_matches('/');
            let filter = encoded(&format!("{{node=\"{node}\"}}"));
            all.push(("Alerts of this node".to_owned(), format!("{address}/#/alerts?filter={filter}")));
            all.push(("Silence this node".to_owned(), format!("{address}/#/silences/new?filter={filter}")));
        }
    }
    let mut known = std::collections::BTreeSet::new();
    all.retain(|link| known.insert(link.clone()));
    if all.is_empty() { vec![] } else { vec![Block::Links(all)] }
}

/// Returns a text as a part of an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

fn files(case: &Case<'_>, most: usize) -> Files {
    let mut files = Files::default();
    if let Some(machine) = case.machine {
        let lines = |title: &str, all: &mut dyn Iterator<Item = (&String, &String)>| {
            let lines: String = all.map(|(name, value)| format!("{name}: {value}\n")).collect();
            format!("{title}\n{lines}\n")
        };
        let addresses = lines("Addresses", &mut machine.addresses.iter().map(|(name, value)| (name, value)));
        let system = lines("System", &mut machine.system.iter().map(|(name, value)| (name, value)));
        let labels = lines("Labels", &mut machine.labels.iter());
        files.add_text("node.txt", format!("{}\n\n{addresses}{system}{labels}", case.node));
    }
    let Some(episode) = &case.record.repair.episode else { return files };
    let line = |verdict: &Verdict| {
        let reason = verdict.reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{} {} {}{reason}: {}\n", verdict.started_at, verdict.check, verdict.verdict, verdict.detail)
    };
    files.add_text("checks.log", episode.steps.iter().flat_map(|step| &step.verdicts).map(line).collect());
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    for step in &episode.steps {
        let Some(log) = &step.kernel_log else { continue };
        let number = numbers.entry(step.rung.to_string()).and_modify(|number| *number += 1).or_insert(1);
        let again = if *number > 1 { format!("-{number}") } else { String::new() };
        files.add_text(&format!("kernel-before-{}{again}.log", step.rung), format!("{log}\n"));
    }
    for file in case.evidence {
        files.add_evidence(file.clone());
    }
    files.within(most)
}

fn attached(files: &Files) -> Vec<Block> {
    let mut blocks = vec![];
    if !files.attached.is_empty() {
        blocks.push(Block::Facts(files.lines()));
    }
    blocks.extend(files.notes.iter().map(|note| Block::Text(format!("{note}."))));
    if files.attached.iter().any(|file| file.packed) || !files.notes.is_empty() {
        blocks.push(Block::Text("The complete files are on the node, in /var/lib/ossci/evidence.".to_owned()));
    }
    blocks
}

/// Returns the reason with which a node came to a person, or waits.
pub fn cause(episode: &Episode) -> Why {
    fact::cause(episode)
}
