//! Stories: text scripts of what happens to a lab and what must come of it. Pure; `play` plays them.
//!
//! One command a line, `#` begins a comment:
//! ```text
//! say TEXT
//! node NAME...
//! break NODE gpu-missing|gpu-not-responding|hung|slow-network until reboot|reimage|forever
//! mend NODE
//! await NODE phase PHASE within 60s            (of the ladder, or of the network track)
//! await NODE taint KEY|none within 60s
//! await NODE mail within 60s
//! await NODE pod NAME gone within 60s
//! pod NAME on NODE
//! kill controller | kill agent NODE | kill exporter NODE
//! power NODE                                   (a power failure: the boot ends without an order)
//! kubectl ARGUMENTS
//! quiet 5s                                     (nothing may change in the chronicle of any node)
//! ```

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::fault::Broken;
use crate::pods::App;

/// A story that a reader can hold in the head.
const LONGEST: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Say(String),
    Nodes(Vec<String>),
    Break { node: String, broken: Broken },
    Mend { node: String },
    Await { node: String, fact: Fact, within: Duration },
    Pod { name: String, node: String },
    Kill { app: App, node: Option<String> },
    Power { node: String },
    Kubectl(Vec<String>),
    Quiet(Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Phase(String),
    Taint(String),
    NoTaint,
    Mail,
    PodGone(String),
}

/// A script, with the line that each step was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub name: String,
    pub steps: Vec<(String, Step)>,
}

impl Story {
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let lines = text.lines().count();
        if lines > LONGEST {
            bail!("story {name} has {lines} lines; {LONGEST} are the most that a reader will follow");
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

    /// The nodes of the story, in the order of their appearance.
    pub fn nodes(&self) -> Vec<&str> {
        let named = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Nodes(names) => Some(names),
            _ => None,
        });
        named.flatten().map(String::as_str).collect()
    }
}

fn step(line: &str) -> Result<Step> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let owned = |word: &str| word.to_owned();
    Ok(match words.as_slice() {
        ["say", ..] => Step::Say(line["say".len()..].trim().to_owned()),
        ["node", names @ ..] if !names.is_empty() => Step::Nodes(names.iter().map(|name| owned(name)).collect()),
        ["break", node, fault, "until", until] => {
            let broken = Broken { fault: word(fault)?, until: word(until)? };
            Step::Break { node: owned(node), broken }
        }
        ["mend", node] => Step::Mend { node: owned(node) },
        ["await", node, fact @ .., "within", time] => {
            let fact = match fact {
                ["phase", phase] => Fact::Phase(owned(phase)),
                ["taint", "none"] => Fact::NoTaint,
                ["taint", key] => Fact::Taint(owned(key)),
                ["mail"] => Fact::Mail,
                ["pod", pod, "gone"] => Fact::PodGone(owned(pod)),
                _ => bail!("what is awaited is not known"),
            };
            Step::Await { node: owned(node), fact, within: seconds(time)? }
        }
        ["pod", name, "on", node] => Step::Pod { name: owned(name), node: owned(node) },
        ["kill", "controller"] => Step::Kill { app: App::Controller, node: None },
        ["kill", "agent", node] => Step::Kill { app: App::Agent, node: Some(owned(node)) },
        ["kill", "exporter", node] => Step::Kill { app: App::Exporter, node: Some(owned(node)) },
        ["power", node] => Step::Power { node: owned(node) },
        ["kubectl", args @ ..] => Step::Kubectl(args.iter().map(|arg| owned(arg)).collect()),
        ["quiet", time] => Step::Quiet(seconds(time)?),
        _ => bail!("no such command"),
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
    let digits = text.strip_suffix('s').context("times are written like 60s")?;
    Ok(Duration::from_secs(digits.parse().context("times are written like 60s")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_reads_as_it_is_written() {
        let text = "# told\nnode a b\nbreak a gpu-missing until reboot\nawait a taint none within 9s # soon\nkill controller\n";
        let story = Story::parse("x", text).unwrap();
        assert_eq!(story.nodes(), ["a", "b"]);
        assert_eq!(story.steps.len(), 4);
        let within = Duration::from_secs(9);
        assert_eq!(story.steps[2].1, Step::Await { node: "a".into(), fact: Fact::NoTaint, within });
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, told) in [
            ("\nbreak a gpu-lost until reboot", "gpu-missing, gpu-not-responding"),
            ("await a phase Healed within 9", "60s"),
            ("dance", "no such command"),
        ] {
            let error = format!("{:#}", Story::parse("x", text).unwrap_err());
            assert!(error.contains(told) && error.contains("line"), "{error}");
        }
        assert!(Story::parse("x", &"say a\n".repeat(41)).is_err());
    }
}
