//! Stories: text scripts of what happens to a lab, and of the expected facts. Pure; `play` plays
//! them.
//!
//! One command per line, `#` begins a comment:
//! ```text
//! say TEXT
//! node NAME...
//! break NODE FAULT until EVENT       FAULT: gpu-missing, gpu-not-responding, hung, slow-tools,
//!                                    slow-network, path-dead, ecc-errors, lent, stays-dark,
//!                                    reimage-hangs, reimage-fails, reimage-postponed,
//!                                    no-exporter, inhibited, crash-kernel
//!                                    EVENT: reboot, reimage, forever, two-runs
//! mend NODE
//! install NODE TOOL                  (amd-smi; the exporter finds it within a minute)
//! await NODE phase PHASE within 60s  (of the ladder, or of the network repair)
//! await NODE taint KEY|none within 60s
//! await NODE why REASON within 60s   (now, or since the last awaited fact became true)
//! await NODE order KIND within 60s   (the kind of the newest order in its record)
//! await NODE agent STATE within 60s  (the state that the agent reports for its order)
//! await NODE mail within 60s
//! await NODE reply within 60s        (a mail in the thread of that one)
//! letter NODE                        (the first mail about the node is that in STORY.NODE.mail,
//!                                    but for times, ids and addresses)
//! await NODE says WORDS within 60s   (the message in its record contains these words)
//! await refusal within 60s           (one more attempt to send a mail is refused: what is decided
//!                                    before it binds the next)
//! await NODE pod NAME gone within 60s
//! pod NAME on NODE
//! kill controller | kill agent NODE | kill exporter NODE
//! power NODE...                      (a power failure: the boot ends without an order)
//! mail refuses 451 | mail accepts    (what the mail server answers to every sender)
//! api down | api up                  (for the remediator only)
//! freeze leader | thaw leader        (stops the leading remediator, which still believes it leads)
//! freeze agent NODE | thaw agent NODE
//! clock +3600s | clock -60s          (sets the remediator's clock ahead or back; the first time
//!                                    restarts the remediator)
//! register NODE...                   (the kubelet creates the deleted Node again)
//! kubectl ARGUMENTS
//! refused kubectl ARGUMENTS          (the API server refuses it)
//! ossci ARGUMENTS                    (a command of ossci-remediator, as an administrator)
//! refused ossci ARGUMENTS            (it ends with another exit code than 0)
//! policy YAML                        (is merged into the policy; `pool` is the story's own pool,
//!                                    PROVISIONING the section of the lab's provisioning service)
//! quiet 5s                           (the chronicle of the story's nodes must not change)
//! ```
//!
//! Commands for the path of an alert. The golden file of a story that awaits a webhook delivery
//! also has the deliveries and the number of complaints.
//! ```text
//! routes 2s 4s 600s                  (group wait, group interval, repeat interval)
//! kill prometheus-1 | start prometheus-1    (or -2, alertmanager-1, alertmanager-2; a killed one
//!                                    stays down until it is started, at most until the story ends)
//! silence NODE | unsilence NODE
//! alert NODE LABEL=VALUE...          (posts a foreign alert about the node)
//! await NODE strikes 2 within 60s    (exactly 2, by the check with the most strikes)
//! await NODE seen 2 within 60s       (every running Prometheus has scraped 2 strikes; 0: it
//!                                    scrapes the node)
//! await NODE alert firing|suppressed|none within 60s    (at every running Alertmanager)
//! await NODE webhook firing|resolved|refused [by both] within 60s
//! await NODE ignored another cluster within 60s    (the remediator counted an alert as ignored)
//! unheard NODE                       (the webhook has received no alert of the node)
//! order NODE strike alert webhook taint    (these happened in this order)
//! ```

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::fault::Broken;
use crate::heard::Word;
use crate::node_dir::INSTALLABLE;
use crate::parts::alertmanager::Routes;
use crate::pods::App;

/// The most lines of a story that a reader can follow.
const LONGEST: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Say(String),
    Letter {
        node: String,
    },
    Nodes(Vec<String>),
    Break {
        node: String,
        broken: Broken,
    },
    Mend {
        node: String,
    },
    Install {
        node: String,
        tool: String,
    },
    Await {
        node: String,
        fact: Fact,
        within: Duration,
    },
    Pod {
        name: String,
        node: String,
    },
    Kill {
        app: App,
        node: Option<String>,
    },
    Power {
        nodes: Vec<String>,
    },
    Api {
        down: bool,
    },
    /// The status with which the mail server refuses each sender; `None`: it accepts.
    MailServer {
        refuses: Option<u16>,
    },
    /// Stops the leading remediator, or lets it continue.
    Freeze {
        stop: bool,
    },
    FreezeAgent {
        node: String,
        stop: bool,
    },
    /// Seconds that the remediator's clock is ahead.
    Clock(i64),
    Register {
        nodes: Vec<String>,
    },
    /// The end of one more attempt to send a mail, which the server refuses.
    AwaitRefusal(Duration),
    Kubectl(Vec<String>),
    /// A command of ours, and whether it must not succeed.
    Ossci {
        args: Vec<String>,
        refused: bool,
    },
    /// What kubectl must not be able to do.
    Refused(Vec<String>),
    Policy(String),
    Quiet(Duration),
    Routes(Routes),
    KillReplica(String),
    StartReplica(String),
    Silence {
        node: String,
    },
    Unsilence {
        node: String,
    },
    Alert {
        node: String,
        labels: Vec<(String, String)>,
    },
    Unheard {
        node: String,
    },
    Order {
        node: String,
        moments: Vec<Moment>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Phase(String),
    Taint(String),
    NoTaint,
    /// The current reason in the record.
    Why(String),
    /// The kind of the newest order.
    Order(String),
    /// The state that the agent reports for its order.
    Agent(String),
    Mail,
    Reply,
    /// Words of the current message in the record.
    Says(String),
    PodGone(String),
    /// The highest number of strikes of any check.
    Strikes(u32),
    Seen(u32),
    Alert(Standing),
    Webhook {
        word: Word,
        by_both: bool,
    },
    /// The remediator counted an alert as ignored, for this reason.
    Ignored(String),
}

/// The state of a node's remediation alerts in Alertmanager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Standing {
    Firing,
    Suppressed,
    None,
}

/// The moments between a failed run and a taint, in the order in which they have to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Moment {
    /// The third failed run ended.
    Strike,
    /// The alert began to fire in Prometheus.
    Alert,
    /// The webhook received the alert.
    Webhook,
    Taint,
}

/// The parts that a story may kill and start.
const REPLICAS: [&str; 4] = ["prometheus-1", "prometheus-2", "alertmanager-1", "alertmanager-2"];

/// The default budget of the remediator, in percent of a pool.
const BUDGET_PERCENT: u64 = 10;

/// A script, with the source line of each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub name: String,
    pub steps: Vec<(String, Step)>,
}

impl Story {
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let lines = text.lines().count();
        if lines > LONGEST {
            bail!("story {name} has {lines} lines; at most {LONGEST} are allowed");
        }
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let step = step(line).with_context(|| format!("story {name}, line {}: {line}", index + 1))?;
                steps.push((line.to_owned(), step));
            }
        }
        Ok(Self { name: name.to_owned(), steps })
    }

    /// Returns the same story with other nodes: each name gets the mark as suffix.
    pub fn marked(&self, mark: &str) -> Result<Self> {
        let nodes = self.nodes();
        let word = |word: &str| {
            let named = nodes.iter().find(|node| word.ends_with(**node));
            named.map_or(word.to_owned(), |_| format!("{word}{mark}"))
        };
        let steps = self.steps.iter().map(|(line, _)| {
            let line = line.split(' ').map(word).collect::<Vec<_>>().join(" ");
            let step = step(&line).with_context(|| format!("story {}, marked {mark}: {line}", self.name))?;
            Ok((line, step))
        });
        Ok(Self { name: self.name.clone(), steps: steps.collect::<Result<_>>()? })
    }

    /// The nodes of the story, in the order of their appearance.
    pub fn nodes(&self) -> Vec<&str> {
        let named = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Nodes(names) => Some(names),
            _ => None,
        });
        named.flatten().map(String::as_str).collect()
    }

    /// The budget of the story's pool in percent, if the story changes it.
    pub fn budget_percent(&self) -> usize {
        let policies = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Policy(yaml) => serde_saphyr::from_str::<serde_json::Value>(yaml).ok(),
            _ => None,
        });
        let said = policies.filter_map(|policy| policy.pointer("/budget/atMostPercent")?.as_u64()).max();
        usize::try_from(said.unwrap_or(BUDGET_PERCENT)).unwrap_or(usize::MAX)
    }

    /// Whether the golden file also contains the webhook's deliveries.
    pub fn tells_the_way(&self) -> bool {
        self.steps.iter().any(|(_, step)| match step {
            Step::Order { .. } => true,
            Step::Await { fact, .. } => matches!(fact, Fact::Webhook { .. } | Fact::Ignored(_)),
            _ => false,
        })
    }
}

fn step(line: &str) -> Result<Step> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let owned = |word: &str| word.to_owned();
    let all = |words: &[&str]| words.iter().map(|word| owned(word)).collect::<Vec<_>>();
    Ok(match words.as_slice() {
        ["say", ..] => Step::Say(line["say".len()..].trim().to_owned()),
        ["node", names @ ..] if !names.is_empty() => Step::Nodes(all(names)),
        ["break", node, fault, "until", until] => {
            let broken = Broken { fault: word(fault)?, until: word(until)? };
            Step::Break { node: owned(node), broken }
        }
        ["install", node, tool] if *tool == INSTALLABLE => Step::Install { node: owned(node), tool: owned(tool) },
        ["mend", node] => Step::Mend { node: owned(node) },
        ["await", "refusal", "within", time] => Step::AwaitRefusal(seconds(time)?),
        ["await", node, fact @ .., "within", time] => {
            let fact = awaited(fact)?;
            Step::Await { node: owned(node), fact, within: seconds(time)? }
        }
        ["pod", name, "on", node] => Step::Pod { name: owned(name), node: owned(node) },
        ["kill", "controller"] => Step::Kill { app: App::Controller, node: None },
        ["kill", "agent", node] => Step::Kill { app: App::Agent, node: Some(owned(node)) },
        ["kill", "exporter", node] => Step::Kill { app: App::Exporter, node: Some(owned(node)) },
        ["kill", name] if REPLICAS.contains(name) => Step::KillReplica(owned(name)),
        ["start", name] if REPLICAS.contains(name) => Step::StartReplica(owned(name)),
        ["routes", wait, interval, repeat] => Step::Routes(Routes {
            group_wait: seconds(wait)?.as_secs(),
            group_interval: seconds(interval)?.as_secs(),
            repeat_interval: seconds(repeat)?.as_secs(),
        }),
        ["mail", "accepts"] => Step::MailServer { refuses: None },
        ["mail", "refuses", status] => {
            Step::MailServer { refuses: Some(status.parse().context("a status is a number like 451")?) }
        }
        ["letter", node] => Step::Letter { node: owned(node) },
        ["silence", node] => Step::Silence { node: owned(node) },
        ["unsilence", node] => Step::Unsilence { node: owned(node) },
        ["alert", node, labels @ ..] if !labels.is_empty() => {
            let pair = |label: &&str| label.split_once('=').map(|(name, value)| (owned(name), owned(value)));
            let labels = labels.iter().map(pair).collect::<Option<_>>().context("a label has the form cluster=x")?;
            Step::Alert { node: owned(node), labels }
        }
        ["unheard", node] => Step::Unheard { node: owned(node) },
        ["order", node, moments @ ..] if moments.len() > 1 => {
            let moments = moments.iter().map(|moment| word(moment)).collect::<Result<_>>()?;
            Step::Order { node: owned(node), moments }
        }
        ["freeze", "leader"] => Step::Freeze { stop: true },
        ["thaw", "leader"] => Step::Freeze { stop: false },
        ["freeze", "agent", node] => Step::FreezeAgent { node: owned(node), stop: true },
        ["thaw", "agent", node] => Step::FreezeAgent { node: owned(node), stop: false },
        ["clock", offset] => {
            let seconds = offset.strip_suffix('s').filter(|number| number.starts_with(['+', '-']));
            Step::Clock(seconds.and_then(|number| number.parse().ok()).context("a clock offset has the form +3600s")?)
        }
        ["register", nodes @ ..] if !nodes.is_empty() => Step::Register { nodes: all(nodes) },
        ["api", "down"] => Step::Api { down: true },
        ["api", "up"] => Step::Api { down: false },
        ["power", nodes @ ..] if !nodes.is_empty() => Step::Power { nodes: all(nodes) },
        ["kubectl", args @ ..] => Step::Kubectl(all(args)),
        ["refused", "kubectl", args @ ..] => Step::Refused(all(args)),
        ["ossci", args @ ..] => Step::Ossci { args: all(args), refused: false },
        ["refused", "ossci", args @ ..] => Step::Ossci { args: all(args), refused: true },
        ["policy", ..] => Step::Policy(line["policy".len()..].trim().to_owned()),
        ["quiet", time] => Step::Quiet(seconds(time)?),
        _ => bail!("no such command"),
    })
}

fn awaited(fact: &[&str]) -> Result<Fact> {
    let webhook = |said: &str, by_both| -> Result<Fact> {
        let word = match said {
            "firing" => Word::Firing,
            "resolved" => Word::Resolved,
            "refused" => Word::Refused,
            _ => bail!("{said} is none of firing, resolved, refused"),
        };
        Ok(Fact::Webhook { word, by_both })
    };
    Ok(match fact {
        ["phase", phase] => Fact::Phase((*phase).to_owned()),
        ["taint", "none"] => Fact::NoTaint,
        ["taint", key] => Fact::Taint((*key).to_owned()),
        ["why", why] => Fact::Why((*why).to_owned()),
        ["order", kind] => Fact::Order((*kind).to_owned()),
        ["agent", state] => Fact::Agent((*state).to_owned()),
        ["mail"] => Fact::Mail,
        ["reply"] => Fact::Reply,
        ["says", words @ ..] if !words.is_empty() => Fact::Says(words.join(" ")),
        ["pod", pod, "gone"] => Fact::PodGone((*pod).to_owned()),
        ["strikes", count] => Fact::Strikes(count.parse().context("strikes are a number")?),
        ["seen", count] => Fact::Seen(count.parse().context("strikes are a number")?),
        ["alert", standing] => Fact::Alert(word(standing)?),
        ["webhook", said] => webhook(said, false)?,
        ["webhook", said, "by", "both"] => webhook(said, true)?,
        ["ignored", reason @ ..] => Fact::Ignored(reason.join(" ")),
        _ => bail!("the awaited fact is unknown"),
    })
}

fn word<T: ValueEnum>(text: &str) -> Result<T> {
    T::from_str(text, false).map_err(|_| {
        let known: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()))
            .collect();
        anyhow::anyhow!("{text} is none of {}", known.join(", "))
    })
}

fn seconds(text: &str) -> Result<Duration> {
    let digits = text.strip_suffix('s').context("a time has the form 60s")?;
    Ok(Duration::from_secs(digits.parse().context("a time has the form 60s")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_parsed_line_by_line() {
        let text = "# told\nnode a b\nbreak a gpu-missing until reboot\nawait a taint none within 9s # soon\nkill controller\n";
        let story = Story::parse("x", text).unwrap();
        assert_eq!(story.nodes(), ["a", "b"]);
        assert_eq!(story.steps.len(), 4);
        let within = Duration::from_secs(9);
        assert_eq!(story.steps[2].1, Step::Await { node: "a".into(), fact: Fact::NoTaint, within });
    }

    #[test]
    fn a_marked_story_is_the_same_with_other_nodes() {
        let story = Story::parse("x", "node a1 b1\nkill agent a1\npod job-b1 on b1\nsay a1 is not well\n").unwrap();
        let other = story.marked("-7").unwrap();
        assert_eq!(other.nodes(), ["a1-7", "b1-7"]);
        assert_eq!(other.steps[2].1, Step::Pod { name: "job-b1-7".into(), node: "b1-7".into() });
        assert_eq!((other.name.as_str(), other.steps.len()), ("x", story.steps.len()));
        // A node name that is also a word of the command breaks it: this is an error, and no line
        // is dropped.
        let error =
            Story::parse("x", "node boot\nbreak boot gpu-missing until reboot\n").unwrap().marked("-7").unwrap_err();
        assert!(format!("{error:#}").contains("until reboot-7"), "{error:#}");
    }

    /// What the world of the controller's tests finds is printed as a story.
    #[test]
    fn a_trace_of_the_world_is_a_story() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../remediator/src/core/world/every-event.story");
        Story::parse("every-event", &std::fs::read_to_string(path).unwrap()).unwrap();
    }

    #[test]
    fn an_error_names_its_line() {
        for (text, told) in [
            ("\nbreak a gpu-lost until reboot", "gpu-missing, gpu-not-responding"),
            ("await a phase Healed within 9", "60s"),
            ("dance", "no such command"),
            ("kill alertmanager-3", "no such command"),
            ("await a webhook heard within 9s", "none of firing, resolved, refused"),
            ("order a strike alarm", "strike, alert, webhook, taint"),
            ("alert a cluster", "cluster=x"),
            ("clock 3600s", "+3600s"),
            ("power", "no such command"),
        ] {
            let error = format!("{:#}", Story::parse("x", text).unwrap_err());
            assert!(error.contains(told) && error.contains("line"), "{error}");
        }
        assert!(Story::parse("x", &"say a\n".repeat(41)).is_err());
    }
}
