//! The demo's output: a live table in a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use jiff::Timestamp;

use crate::audit::{Chronicle, NodeStory};
use crate::clock::{self, Stopwatch};
use crate::play::Audience;
use crate::story::Step;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    node: String,
    taint: String,
    rung: String,
    phase: String,
    why: String,
    since: Option<Timestamp>,
}

impl Row {
    fn of(name: &str, story: Option<&NodeStory>) -> Self {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let Some(story) = story else {
            let dash = || "-".to_owned();
            return Self {
                node: name.into(),
                taint: dash(),
                rung: dash(),
                phase: "Healthy".into(),
                why: dash(),
                since: None,
            };
        };
        let taint = story.taints_now().into_iter().collect::<Vec<_>>().join(",");
        let last = story.phases.last().or(story.network.last());
        Self {
            node: name.into(),
            taint: or_dash(taint),
            rung: or_dash(last.map(|change| change.rung.clone()).unwrap_or_default()),
            phase: last.map_or("Healthy".into(), |change| change.phase.clone()),
            why: or_dash(story.why_now().to_owned()),
            since: last.map(|change| change.at),
        }
    }

    fn line(&self, now: Timestamp) -> String {
        let since =
            self.since.map_or("-".to_owned(), |since| format!("{} s", now.duration_since(since).as_secs().max(0)));
        let Self { node, taint, rung, phase, why, .. } = self;
        format!("{node:<8} {taint:<15} {rung:<8} {phase:<12} {why:<22} {since:>6}")
    }
}

pub struct Table {
    watch: Stopwatch,
    live: bool,
    nodes: Vec<String>,
    shown: BTreeMap<String, Row>,
    /// Lines of the live table on the screen, which the next draw overwrites.
    drawn: usize,
}

impl Table {
    pub fn new() -> Self {
        let live = std::io::stdout().is_terminal();
        Self { watch: Stopwatch::start(), live, nodes: Vec::new(), shown: BTreeMap::new(), drawn: 0 }
    }

    /// Prints a line above the table.
    pub fn say(&mut self, text: &str) {
        self.erase();
        println!("{:>6.1} s  {text}", self.watch.elapsed().as_secs_f64());
        self.draw();
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            print!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn draw(&mut self) {
        if !self.live || self.shown.is_empty() {
            return;
        }
        let now = clock::now();
        println!("\n{:<8} {:<15} {:<8} {:<12} {:<22} {:>6}", "NODE", "TAINT", "RUNG", "PHASE", "WHY", "SINCE");
        for row in self.shown.values() {
            println!("{}", row.line(now));
        }
        self.drawn = self.shown.len() + 2;
        let _ = std::io::stdout().flush();
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Audience for Table {
    fn step(&mut self, line: &str, step: &Step) {
        match step {
            Step::Say(text) => self.say(text),
            Step::Nodes(names) => self.nodes.extend(names.iter().cloned()),
            Step::Await { .. } | Step::Pod { .. } | Step::Quiet(_) | Step::Unheard { .. } | Step::Order { .. } => {}
            // All other commands are printed as they are.
            _ => self.say(line),
        }
    }

    fn look(&mut self, chronicle: &Chronicle) {
        let rows: Vec<Row> = self.nodes.iter().map(|name| Row::of(name, chronicle.node(name))).collect();
        let now = clock::now();
        for row in rows {
            let changed = self.shown.get(&row.node) != Some(&row);
            if changed && !self.live {
                println!("{:>6.1} s  {}", self.watch.elapsed().as_secs_f64(), row.line(now));
            }
            self.shown.insert(row.node.clone(), row);
        }
        self.erase();
        self.draw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_a_complaint_is_healthy() {
        let line = Row::of("node1", None).line(Timestamp::UNIX_EPOCH);
        assert!(line.contains("node1") && line.contains("Healthy"), "{line}");
    }
}
