//! Tests of the strike rule with a grid of simulated nodes under promtool, and of plausible but
//! wrong expressions, which the grid has to reject.
//!
//! Every node of a grid has one timeline: a pattern of runs, a phase, and a fault of the scrapes.
//! One promtool test holds all nodes with the same scrape and evaluation intervals. It asserts the
//! full set of alerts at every evaluation.

mod timeline;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ossci_lab::environment;
use ossci_lab::process::Program;

use crate::support::{part, tool};
use timeline::Event::{self, Failed, Passed, Reboot, Restart, Unknown};
use timeline::{INTERVAL, Sample, TAIL, Timeline, due};

const SCRAPES: [i64; 4] = [15, 25, 40, 90];
const EVALUATIONS: [i64; 2] = [15, 60];
/// Times of the first run, in seconds, spread over one check interval.
const PHASES: [i64; 6] = [0, 5, 11, 16, 22, 29];

/// The file with the rule under test, the rule's alert and its check.
const RULES: &str = "alerts/strikes.yml";
const ALERT: &str = "GPUCheckFailing";
const CHECK: &str = "rocm-smi";

const PATTERNS: [&[Event]; 8] = [
    &[Failed, Failed],
    &[Failed, Failed, Failed],
    &[Failed, Failed, Passed, Failed, Failed],
    &[Failed, Failed, Failed, Passed],
    &[Failed, Unknown, Failed, Failed],
    &[Failed, Failed, Restart, Failed],
    &[Failed, Failed, Reboot, Failed, Failed],
    &[Failed, Failed, Failed, Reboot, Passed],
];

struct Node {
    name: String,
    samples: Vec<Sample>,
}

/// All nodes of one scrape interval. `unseen` counts those with three strikes in a row that no
/// scrape saw.
struct Grid {
    scrape: i64,
    until: i64,
    nodes: Vec<Node>,
    unseen: usize,
}

/// Returns the pattern itself, and copies with a restart of the exporter after each of its runs.
fn variants(pattern: &[Event]) -> Vec<Vec<Event>> {
    let with_restart = |at| {
        let mut events = pattern.to_vec();
        events.insert(at, Restart);
        events
    };
    std::iter::once(pattern.to_vec()).chain((1..=pattern.len()).map(with_restart)).collect()
}

fn grid(scrape: i64) -> Grid {
    let mut grid = Grid { scrape, until: 0, nodes: Vec::new(), unseen: 0 };
    let stories: Vec<(String, bool, Timeline)> = PATTERNS
        .iter()
        .enumerate()
        .flat_map(|(p, pattern)| variants(pattern).into_iter().enumerate().map(move |(v, events)| (p, v, events)))
        .flat_map(|(p, v, events)| {
            // Every timeline begins with a pass, so that the third strike is never the first
            // sample.
            let events: Vec<Event> = std::iter::once(Passed).chain(events).collect();
            PHASES.map(|phase| (format!("p{p}v{v}s{phase}"), v > 0, Timeline::play(&events, phase)))
        })
        .collect();
    grid.until = stories.iter().map(|(_, _, story)| story.end).max().unwrap() + TAIL;
    for (name, restarted, story) in stories {
        let whole = story.scraped(scrape, grid.until);
        let active = usize::try_from(story.end / scrape).unwrap() + 2;
        let mut add = |suffix: String, damage: &[(usize, Sample)]| {
            let mut samples = whole.clone();
            for (at, sample) in damage {
                samples[*at] = *sample;
            }
            let node = Node { name: format!("{name}{suffix}"), samples };
            grid.unseen += usize::from(story.strikes() && !node.seen());
            grid.nodes.push(node);
        };
        add(String::new(), &[]);
        // Only a soak combines restarts with lost scrapes: that is five times as many timelines.
        if restarted && environment::variable("OSSCI_SOAK").is_none() {
            continue;
        }
        for at in 0..active.min(whole.len() - 2) {
            add(format!("m{at}"), &[(at, Sample::Missing)]);
            add(format!("mm{at}"), &[(at, Sample::Missing), (at + 1, Sample::Missing)]);
            add(format!("d{at}"), &[(at, Sample::Stale)]);
            add(format!("dd{at}"), &[(at, Sample::Stale), (at + 1, Sample::Stale)]);
        }
    }
    grid
}

impl Node {
    /// Whether a scrape saw the third strike.
    fn seen(&self) -> bool {
        self.samples.iter().any(|sample| matches!(sample, Sample::Shown { count: 3.., .. }))
    }

    /// Appends the three series that the rule reads, and the counter that it does not read, in
    /// promtool's notation.
    fn series(&self, scrape: i64, into: &mut String) {
        let value = |pick: fn(&Sample) -> String| self.samples.iter().map(pick).collect::<Vec<_>>().join(" ");
        let counts = value(|sample| match sample {
            Sample::Shown { count, .. } => count.to_string(),
            Sample::Stale => "stale".to_owned(),
            Sample::Missing => "_".to_owned(),
        });
        let age = |(at, sample): (i64, &Sample)| match sample {
            Sample::Shown { last_run: Some(time), .. } => (at * scrape - time).to_string(),
            Sample::Shown { last_run: None, .. } | Sample::Stale => "stale".to_owned(),
            Sample::Missing => "_".to_owned(),
        };
        let ages = (0..).zip(&self.samples).map(age).collect::<Vec<_>>().join(" ");
        let intervals = value(|sample| match sample {
            Sample::Shown { .. } => INTERVAL.to_string(),
            Sample::Stale => "stale".to_owned(),
            Sample::Missing => "_".to_owned(),
        });
        let failures = value(|sample| match sample {
            Sample::Shown { failures, .. } => failures.to_string(),
            Sample::Stale => "stale".to_owned(),
            Sample::Missing => "_".to_owned(),
        });
        for (metric, values) in [
            ("ossci_check_failures_total", failures),
            ("ossci_check_consecutive_failures", counts),
            ("ossci_check_last_run_age_seconds", ages),
            ("ossci_check_interval_seconds", intervals),
        ] {
            let _ = writeln!(
                into,
                "  - {{series: '{metric}{{job=\"ossci-exporter\",node=\"{}\",check=\"{CHECK}\",pod=\"exporter\"}}', values: '{values}'}}",
                self.name
            );
        }
    }
}

/// Nodes per test: promtool's engine refuses to load more than 10,000 samples at a time.
const NODES: usize = 800;

/// Builds one promtool test file: all nodes, and the full set of alerts at each evaluation.
fn test_file(rules: &Path, grid: &Grid, evaluation: i64) -> (String, usize) {
    let mut text = format!("rule_files: ['{}']\nevaluation_interval: {evaluation}s\ntests:\n", rules.display());
    let times = (0..=grid.until).step_by(usize::try_from(evaluation).unwrap());
    for nodes in grid.nodes.chunks(NODES) {
        let _ = writeln!(text, "- interval: {}s\n  input_series:", grid.scrape);
        for node in nodes {
            node.series(grid.scrape, &mut text);
        }
        text.push_str("  alert_rule_test:\n");
        for time in times.clone() {
            expect(&mut text, nodes, grid.scrape, time);
        }
    }
    (text, times.count() * grid.nodes.len())
}

fn expect(text: &mut String, nodes: &[Node], scrape: i64, time: i64) {
    let due: Vec<_> =
        nodes.iter().filter_map(|node| due(&node.samples, scrape, time).map(|count| (&node.name, count))).collect();
    let list = if due.is_empty() { " []" } else { "" };
    let _ = writeln!(text, "  - alertname: {ALERT}\n    eval_time: {time}s\n    exp_alerts:{list}");
    for (node, count) in due {
        let _ = writeln!(
            text,
            "    - exp_labels: {{node: {node}, check: {CHECK}, remediation: reboot, severity: critical}}\n      \
             exp_annotations:\n        summary: '{CHECK} failed {count} times in a row on {node}'\n        description: \
             '{CHECK} has failed {count} times in a row on {node}; 3 ask for a reboot. The exporter''s page and log on the \
             node say why.'"
        );
    }
}

async fn promtool_agrees(promtool: &Path, file: &Path) -> anyhow::Result<String> {
    let file = file.display().to_string();
    Program::new("promtool", promtool).args(["test", "rules", &file]).output(Duration::from_secs(600)).await
}

fn folder(name: &str) -> PathBuf {
    let folder = environment::temp_dir().join(format!("ossci-grid-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn an_alert_fires_at_the_first_fresh_sample_of_three() {
    let _part = part("the grid of three strikes");
    let folder = folder("exact");
    let rules = environment::repository().join(RULES);
    let (mut nodes, mut asserted, mut unseen) = (0, 0, 0);
    for scrape in SCRAPES {
        let grid = grid(scrape);
        nodes += grid.nodes.len() * EVALUATIONS.len();
        unseen += grid.unseen;
        for evaluation in EVALUATIONS {
            let (text, checks) = test_file(&rules, &grid, evaluation);
            asserted += checks;
            let file = folder.join(format!("scrape-{scrape}-evaluation-{evaluation}.yml"));
            std::fs::write(&file, text).unwrap();
            for promtool in ["promtool", "promtool-2"] {
                if let Err(error) = promtool_agrees(&tool(promtool), &file).await {
                    let text: String = format!("{error:#}").chars().take(3_000).collect();
                    panic!("{promtool} on {}: {text}", file.display());
                }
            }
        }
    }
    println!("{nodes} nodes, {asserted} assertions; for {unseen} no scrape saw the third strike, so no alert is right");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Plausible expressions. Each of them is wrong for some node of the grid.
const TEMPTING: [(&str, &str, &str); 6] = [
    ("increase of the failures counted", "increase(ossci_check_failures_total{check=\"rocm-smi\"}[2m]) >= 3", "0s"),
    ("a 0/1 gauge for a while", "ossci_check_consecutive_failures{check=\"rocm-smi\"} >= 1", "90s"),
    (
        "samples that were bad",
        "count_over_time((ossci_check_consecutive_failures{check=\"rocm-smi\"} >= 1)[2m:30s]) >= 3",
        "0s",
    ),
    ("the count without its age", "ossci_check_consecutive_failures{check=\"rocm-smi\"} >= 3", "0s"),
    (
        "the worst of the last minutes",
        "max_over_time(ossci_check_consecutive_failures{check=\"rocm-smi\"}[5m]) >= 3",
        "0s",
    ),
    (
        "more than two, a while",
        "ossci_check_consecutive_failures{check=\"rocm-smi\"} > 2 and \
         ossci_check_last_run_age_seconds < 300",
        "30s",
    ),
];

#[tokio::test]
async fn the_grid_rejects_each_plausible_wrong_expression() {
    let folder = folder("tempting");
    let grid = grid(15);
    for (n, (name, expression, lasting)) in TEMPTING.iter().enumerate() {
        let rules = folder.join(format!("tempting-{n}.yml"));
        let rule = format!(
            "groups:\n- name: tempting\n  rules:\n  - alert: {ALERT}\n    expr: max by (node, check) ({expression})\n    \
             for: {lasting}\n    labels: {{remediation: reboot, severity: critical}}\n    annotations: {{summary: \
             '{{{{ $labels.check }}}} failed {{{{ $value }}}} times in a row on {{{{ $labels.node }}}}'}}\n"
        );
        std::fs::write(&rules, rule).unwrap();
        let file = folder.join(format!("tempting-{n}.test.yml"));
        std::fs::write(&file, test_file(&rules, &grid, 15).0).unwrap();
        let said = promtool_agrees(&tool("promtool"), &file).await;
        let error = said.err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("alertname"), "the grid accepts a wrong expression: {name}: {error:.500}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
