//! A recorded fleet: the series of many nodes over hours or days, with every kind of trouble, as a
//! Prometheus that a test or a benchmark asks. Nothing is scraped: promtool makes the blocks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::parts::{self, flag};
use crate::ports;
use crate::process::{Process, Program};
use crate::setup::Tools;

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Recording {
    pub nodes: usize,
    /// Seconds.
    pub length: i64,
    /// Seconds between two samples.
    pub step: i64,
    /// Value of the label `cluster` of the second half of the nodes; the first half's is `east`.
    /// `None`: no series has the label.
    pub second_cluster: Option<&'static str>,
}

/// The end of every recording: 2026-11-28 00:00:00 UTC, the end of a block.
pub const END: i64 = 1_795_824_000;
/// The length of a block.
const BLOCK: i64 = 7_200;
const GPUS: usize = 8;
/// Every eighth node is in trouble: one of these, in turn.
const RUNGS: [(&str, &str, &str); 5] = [
    ("reboot", "Waiting", "WaitingForBudget"),
    ("manual", "Escalated", "ReimageFailed"),
    ("reimage", "Reimaging", "ProofFailed"),
    ("slow-network", "Slow", "Complaint"),
    ("", "", "NotManaged"),
];
const IMPORT: Duration = Duration::from_secs(300);

/// A Prometheus with a recording.
#[derive(Debug)]
pub struct Recorded {
    pub url: String,
    process: Process,
}

impl Recorded {
    /// Makes the blocks below `dir` and starts Prometheus on them.
    pub async fn start(dir: &Path, recording: Recording) -> Result<Self> {
        let (data, tools) = (dir.join("data"), Tools::find()?);
        let series = fleet(recording);
        let file = dir.join("block.om");
        let begin = END - recording.length;
        let mut from = begin - begin.rem_euclid(BLOCK);
        while from < END {
            fs::write(&file, block(&series, recording, from.max(begin), (from + BLOCK).min(END)))
                .with_context(|| format!("writing {}", file.display()))?;
            let import = Program::new("promtool", tools.get("promtool")?);
            import.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&file).arg(&data).output(IMPORT).await?;
            from += BLOCK;
        }
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        let config = dir.join("prometheus.yml");
        fs::write(&config, "{}").with_context(|| format!("writing {}", config.display()))?;
        let address = format!("127.0.0.1:{}", ports::free()?);
        let mut process = Program::new("prometheus", tools.get("prometheus")?)
            .args([flag("config.file", &config), flag("storage.tsdb.path", &data)])
            .args([format!("--web.listen-address={address}"), "--storage.tsdb.retention.time=10y".into()])
            .arg(format!("--query.lookback-delta={}s", 300.max(recording.step * 2)))
            .start(&dir.join("prometheus.log"))?;
        let (url, client) = (format!("http://{address}"), parts::http()?);
        let ready = format!("{url}/-/ready");
        process.ready(IMPORT, || async { parts::page(&client, &ready).await.map(drop) }).await?;
        Ok(Self { url, process })
    }

    /// Asks a query as of the end.
    pub async fn instant(&self, query: &str) -> Result<Vec<Value>> {
        self.ask("query", &[("query", query), ("time", &(END - 1).to_string())]).await
    }

    /// Asks a query over the last `range` seconds.
    pub async fn range(&self, query: &str, range: i64, step: i64) -> Result<Vec<Value>> {
        let (from, to, step) = ((END - 1 - range).to_string(), (END - 1).to_string(), step.to_string());
        self.ask("query_range", &[("query", query), ("start", &from), ("end", &to), ("step", &step)]).await
    }

    async fn ask(&self, path: &str, of: &[(&str, &str)]) -> Result<Vec<Value>> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), of)?;
        let answer: Value = client.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer.pointer("/data/result").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    pub async fn stop(mut self) {
        self.process.stop(Duration::from_secs(20)).await;
    }
}

/// How a series goes on over time.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Stays(f64),
    /// A counter that grows by this a second.
    Grows(f64),
    /// It goes up and down between the two within hours.
    Waves(f64, f64),
    /// The time of the sample, less this number of seconds.
    Time(f64),
}

impl Shape {
    fn at(self, time: i64, begin: i64) -> f64 {
        let seconds = (time - begin) as f64;
        match self {
            Self::Stays(value) => value,
            Self::Grows(each) => (each * seconds).floor(),
            Self::Waves(low, high) => low + (high - low) * (0.5 + 0.5 * (seconds / 1_800.0).sin()),
            Self::Time(less) => time as f64 - less,
        }
    }
}

/// Series, and how each goes on.
type Series = Vec<(String, Shape)>;

/// Returns the samples of one block as OpenMetrics.
fn block(series: &Series, recording: Recording, from: i64, to: i64) -> String {
    let mut text = String::new();
    for (name, shape) in series {
        let mut time = from;
        while time < to {
            let _ = writeln!(text, "{name} {} {time}", shape.at(time, END - recording.length));
            time += recording.step;
        }
    }
    text + "# EOF\n"
}

fn fleet(recording: Recording) -> Series {
    let mut all = Series::new();
    for number in 0..recording.nodes {
        let cluster = recording.second_cluster.map(|second| if number * 2 < recording.nodes { "east" } else { second });
        node(&mut all, &cluster.map(|name| format!(",cluster=\"{name}\"")).unwrap_or_default(), number);
    }
    for name in recording.second_cluster.map_or(vec![None], |second| vec![Some("east"), Some(second)]) {
        remediator(&mut all, &name.map(|name| format!(",cluster=\"{name}\"")).unwrap_or_default(), recording.nodes);
    }
    all
}

fn node(all: &mut Series, cluster: &str, number: usize) {
    let trouble = number.is_multiple_of(8).then_some(RUNGS[number / 8 % RUNGS.len()]);
    let name = format!("gpu-{number:05}");
    let of = format!("job=\"ossci-exporter\",instance=\"{name}:19400\",node=\"{name}\"{cluster}");
    let mut put = |metric: &str, labels: &str, shape| {
        let comma = if labels.is_empty() { "" } else { "," };
        all.push((format!("{metric}{{{of}{comma}{labels}}}"), shape));
    };
    let sick = trouble.is_some();
    for check in ["rocm-smi", "rocminfo", "network"] {
        let labels = &format!("check=\"{check}\"");
        let (failed, unknown) = (sick && check == "rocm-smi", sick && check == "network");
        let verdict = match (failed, unknown) {
            (true, _) => "verdict=\"failed\",reason=\"gpu-missing\"",
            (_, true) => "verdict=\"unknown\",reason=\"missing-tool\"",
            _ => "verdict=\"passed\",reason=\"\"",
        };
        put("ossci_check_consecutive_failures", labels, Shape::Stays(if failed { 4.0 } else { 0.0 }));
        put("ossci_check_last_run_timestamp_seconds", labels, Shape::Time(9.0));
        put("ossci_check_last_run_age_seconds", labels, Shape::Stays(9.0));
        put("ossci_check_last_success_timestamp_seconds", labels, Shape::Time(if sick { 4_000.0 } else { 9.0 }));
        put("ossci_check_interval_seconds", labels, Shape::Stays(30.0));
        put("ossci_check_runs_total", labels, Shape::Grows(1.0 / 30.0));
        put("ossci_check_failures_total", labels, Shape::Grows(if failed { 1.0 / 30.0 } else { 0.0 }));
        if !unknown {
            put("ossci_check_success", labels, Shape::Stays(if failed { 0.0 } else { 1.0 }));
        }
        put("ossci_check_result_info", &format!("{labels},{verdict}"), Shape::Stays(1.0));
        put("ossci_check_duration_seconds", labels, Shape::Waves(0.5, 8.0));
        put("ossci_check_not_understood", labels, Shape::Stays(if failed { 2.0 } else { 0.0 }));
        if check != "network" {
            put("ossci_gpus_found", labels, Shape::Stays(if failed { 7.0 } else { 8.0 }));
        }
    }
    put("ossci_checks_paused", "", Shape::Stays(if sick { 1.0 } else { 0.0 }));
    put("ossci_gpus_expected", "", Shape::Stays(8.0));
    put("ossci_pci_gpus", "driver=\"amdgpu\"", Shape::Stays(8.0));
    put("ossci_pci_gpus", "driver=\"\"", Shape::Stays(if sick { 1.0 } else { 0.0 }));
    for component in ["driver", "vbios", "smc"] {
        let version = if sick { "6.10.5" } else { "6.12.12" };
        put("ossci_gpus_with_version", &format!("component=\"{component}\",version=\"{version}\""), Shape::Stays(8.0));
    }
    for way in ["download", "upload"] {
        put(&format!("ossci_network_{way}_bytes_per_second"), "", Shape::Waves(1e9, 3e9));
    }
    put("ossci_network_retransmits", "", Shape::Waves(0.0, 12.0));
    put("ossci_exporter_config_last_reload_successful", "", Shape::Stays(if sick { 0.0 } else { 1.0 }));
    put("ossci_exporter_build_info", "version=\"0.1.0\"", Shape::Stays(1.0));
    put("ossci_exporter_time_seconds", "", Shape::Time(0.4));
    put("ossci_exporter_start_time_seconds", "", Shape::Stays((END - 86_400) as f64));
    for gpu in 0..GPUS {
        let of_gpu = &format!("gpu=\"{gpu}\",pci_bus=\"0000:{gpu:02x}:00.0\"");
        let errors = Shape::Grows(if sick { 0.1 } else { 0.0 });
        let mut put = |metric: &str, more: &str, shape| put(metric, &format!("{of_gpu}{more}"), shape);
        for sensor in ["junction", "memory"] {
            let more = format!(",sensor=\"{sensor}\"");
            put("ossci_gpu_temperature_celsius", &more, Shape::Waves(40.0, if sick { 104.0 } else { 85.0 }));
        }
        put("ossci_gpu_power_watts", "", Shape::Waves(140.0, 740.0));
        put("ossci_gpu_use_ratio", "", Shape::Waves(0.0, 1.0));
        put("ossci_gpu_memory_use_ratio", "", Shape::Waves(0.0, 0.9));
        for kind in ["uncorrectable", "correctable", "deferred"] {
            put(&format!("ossci_gpu_{kind}_errors"), "", errors);
        }
        put("ossci_gpu_bad_pages", ",state=\"retired\"", errors);
        put("ossci_gpu_throttled", ",cause=\"socket-thermal\"", Shape::Stays(if sick { 1.0 } else { 0.0 }));
        put("ossci_gpu_pcie_lanes", "", Shape::Stays(if sick { 8.0 } else { 16.0 }));
        put("ossci_gpu_pcie_max_lanes", "", Shape::Stays(16.0));
        put("ossci_gpu_pcie_replays", "", errors);
        put("ossci_gpu_clock_hertz", ",clock=\"graphics\"", Shape::Waves(1.32e8, 2.1e9));
        put(
            "ossci_gpu_info",
            &format!(",unique_id=\"0x{number:x}{gpu}\",serial=\"S{number}-{gpu}\",name=\"MI300X\""),
            Shape::Stays(1.0),
        );
    }
    for port in 0..2 {
        let labels = format!("device=\"mlx5_{port}\",port=\"1\"");
        put("ossci_fabric_port_bytes_per_second", &labels, Shape::Stays(if sick { 1.25e9 } else { 5e10 }));
    }
    for check in ["rocm-smi", "rocminfo", "network"] {
        let failures = if sick && check == "rocm-smi" { 4.0 } else { 0.0 };
        let of = format!("node=\"{name}\",check=\"{check}\"{cluster}");
        all.push((format!("node_check:ossci_check_consecutive_failures:max{{{of}}}"), Shape::Stays(failures)));
    }
    if let Some((rung, phase, why)) = trouble {
        let of = format!("job=\"ossci-remediator\",instance=\"a\",node=\"{name}\"{cluster},rung=\"{rung}\"");
        let labels = format!("pool=\"gpu\",phase=\"{phase}\",why=\"{why}\"");
        all.push((format!("ossci_remediator_node_info{{{of},{labels}}}"), Shape::Stays(1.0)));
        if !rung.is_empty() {
            all.push((format!("ossci_remediator_node_since_timestamp_seconds{{{of}}}"), Shape::Time(600.0)));
            all.push((format!("ossci_remediator_node_until_timestamp_seconds{{{of}}}"), Shape::Time(-600.0)));
        }
        let of = format!("job=\"ossci-remediator\",instance=\"a\",node=\"{name}\"{cluster}");
        all.push((format!("ossci_remediator_node_repairs{{{of}}}"), Shape::Stays(2.0)));
    }
}

/// The series of a controller that leads a cluster of one node more than report, and of an agent.
fn remediator(all: &mut Series, cluster: &str, nodes: usize) {
    let of = format!("job=\"ossci-remediator\",instance=\"a\"{cluster}");
    let mut put = |metric: &str, labels: &str, shape| {
        let comma = if labels.is_empty() { "" } else { "," };
        let name = format!("ossci_remediator_{metric}{{{of}{comma}{labels}}}");
        all.push((name, shape));
    };
    let counted = [
        ("attempts_total", "pool=\"gpu\",rung=\"reboot\",outcome=\"ProofPassed\""),
        ("attempts_total", "pool=\"gpu\",rung=\"reimage\",outcome=\"ProofFailed\""),
        ("escalations_total", "pool=\"gpu\",why=\"ReimageFailed\""),
        ("api_requests_total", "verb=\"patch\",code=\"200\""),
        ("api_requests_total", "verb=\"patch\",code=\"409\""),
        ("turn_errors_total", ""),
        ("decisions_total", "why=\"Complaint\""),
        ("webhook_requests_total", "code=\"200\""),
        ("webhook_alerts_total", "outcome=\"complaint\""),
        ("alertmanager_polls_total", "outcome=\"answered\""),
        ("mails_total", "kind=\"escalation\",outcome=\"accepted\""),
    ];
    for (metric, labels) in counted {
        put(metric, labels, Shape::Grows(0.01));
    }
    for stage in ["taint", "reboot", "heal", "repair"] {
        for (le, each) in [("60.0", 0.001), ("600.0", 0.01), ("+Inf", 0.011)] {
            put("stage_seconds_bucket", &format!("stage=\"{stage}\",le=\"{le}\""), Shape::Grows(each));
        }
    }
    for why in ["WaitingForBudget", "WindowClosed", "Silenced"] {
        put("waiting", &format!("pool=\"gpu\",why=\"{why}\""), Shape::Stays(3.0));
    }
    let ones = ["leader", "paused", "policy_last_reload_successful", "webhook_files_last_reload_successful"];
    ones.iter().for_each(|metric| put(metric, "", Shape::Stays(1.0)));
    for metric in ["clock_skewed", "records_not_understood"] {
        put(metric, "", Shape::Stays(0.0));
    }
    put("mails_unaccepted", "", Shape::Stays(2.0));
    put("mail_oldest_unaccepted_timestamp_seconds", "", Shape::Time(700.0));
    put("heartbeat_timestamp_seconds", "", Shape::Time(90.0));
    put("build_info", "version=\"0.1.0\"", Shape::Stays(1.0));
    put("site_warning", "warning=\"no-mail\"", Shape::Stays(1.0));
    for (metric, value) in [
        ("pool_nodes", (nodes + 1) as f64),
        ("budget_places", 50.0),
        ("budget_places_taken", 12.0),
        ("storm_brake", 1.0),
        ("pool_taint_limit_reached", 1.0),
        ("slow_networks", 12.0),
    ] {
        put(metric, "pool=\"gpu\"", Shape::Stays(value));
    }
    put("rung_stopped", "pool=\"gpu\",rung=\"reimage\"", Shape::Stays(1.0));
    let of = format!("job=\"ossci-agent\",instance=\"b\"{cluster}");
    all.push((format!("ossci_agent_build_info{{{of},version=\"0.1.0\"}}"), Shape::Stays(1.0)));
    all.push((format!("ossci_agent_orders_total{{{of},kind=\"reboot\",state=\"Done\"}}"), Shape::Grows(0.01)));
    let level = cluster.trim_start_matches(',');
    for record in ["gpus_healthy:ratio", "gpus_healthy:ratio_avg1d", "gpu_use_ratio:avg", "gpu_memory_use_ratio:avg"] {
        all.push((format!("fleet:ossci_{record}{{{level}}}"), Shape::Waves(0.85, 0.99)));
    }
    for record in ["max", "q99", "q50"] {
        all.push((format!("fleet:ossci_gpu_temperature_celsius:{record}{{{level}}}"), Shape::Waves(60.0, 90.0)));
    }
}
