//! Tests of the pages of healthy and broken nodes.

use jiff::Timestamp;
use std::time::Duration;

use super::landing::landing;
use ossci_base::contract::inventory::Inventory;
use ossci_base::contract::probe::Inventories;

use super::probe_answer::{Depth, probe_answer};
use crate::ending::Ending;
use crate::inventory::{Expected, PciGpu, Source};
use crate::judge::{Bounds, Known, find};
use crate::parse::ToolName;
use crate::run::Run;
use crate::show::metrics::page::{Form, metrics};
use crate::show::metrics::{Kind, TABLE};
use crate::state::fabric::FabricPort;
use crate::state::ledger::{Ledger, Snapshot};
use crate::state::run_dir::Pause;
use crate::strikes::{Standing, Trigger};
use crate::verdict::Check;

fn run(check: Check, stdout: &str) -> Run {
    let tool = match check {
        Check::RocmSmi => ToolName::RocmSmi,
        Check::AmdSmi => ToolName::AmdSmi,
        Check::Rocminfo => ToolName::Rocminfo,
        Check::Network => ToolName::Iperf3,
    };
    run_of(tool, stdout)
}

fn run_of(tool: ToolName, stdout: &str) -> Run {
    let check = tool.check();
    let finding = find(tool, &Ending::exited(0, stdout, ""), Known::default(), Bounds::default());
    Run {
        check,
        started_at: Timestamp::from_second(1_795_348_980).unwrap(),
        seconds: 0.25,
        tool_ran: true,
        judgement: finding.judgement,
        facts: finding.facts,
        not_understood: finding.not_understood,
        printed: None,
    }
}

fn snapshot(runs: &[Run]) -> Snapshot {
    let ended_at = Timestamp::from_second(1_795_348_981).unwrap();
    let standing = |run: &Run| Standing::default().after(run, Trigger::Interval, ended_at);
    let checks = runs.iter().map(|run| (run.check, Duration::from_secs(30), standing(run)));
    let ledger = Ledger::new(Timestamp::from_second(1_795_340_000).unwrap(), checks);
    ledger.set_run_dir(Pause::No, false, Some(Expected { gpus: 8, source: Source::Configuration }));
    ledger.set_pci(Some(vec![PciGpu {
        address: "0000:05:00.0".into(),
        driver: Some("amdgpu".into()),
        accelerator: true,
        ..PciGpu::default()
    }]));
    ledger.set_fabric(vec![FabricPort {
        device: "mlx5_0".into(),
        port: "1".into(),
        is_active: true,
        bits_per_second: Some(4e11),
    }]);
    ledger.snapshot(ended_at, 0)
}

fn healthy() -> Vec<Run> {
    vec![
        run(Check::RocmSmi, include_str!("../../testdata/rocm-smi/healthy.json")),
        run(Check::Rocminfo, include_str!("../../testdata/rocminfo/healthy.txt")),
        run(Check::Network, include_str!("../../testdata/iperf3/fast.json")),
    ]
}

fn page(runs: &[Run], form: Form) -> String {
    metrics(snapshot(runs), form).unwrap()
}

#[test]
fn every_metric_of_the_table_is_on_the_page_of_a_healthy_node() {
    // No tool reports all values.
    let others = [
        run_of(ToolName::AmdSmi, include_str!("../../testdata/amd-smi/health.json")),
        run_of(ToolName::Speedtest, include_str!("../../testdata/speedtest/healthy.json")),
    ];
    let page = page(&healthy(), Form::Classic) + &page(&others, Form::Classic);
    for metric in TABLE {
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        assert!(page.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
        let sample = |line: &str| line.starts_with(metric.name) && line[metric.name.len()..].starts_with(['{', ' ']);
        assert!(page.lines().any(sample), "{}", metric.name);
    }
}

#[test]
fn the_values_are_there_with_their_labels() {
    let page = page(&healthy(), Form::OpenMetrics);
    for line in [
        "ossci_check_consecutive_failures{check=\"rocm-smi\"} 0.0",
        "ossci_check_success{check=\"network\"} 1.0",
        "ossci_check_runs_total{check=\"rocminfo\"} 1.0",
        "ossci_check_result_info{check=\"rocm-smi\",verdict=\"passed\",reason=\"\"} 1",
        "ossci_check_last_run_timestamp_seconds{check=\"network\"} 1795348981.0",
        "ossci_check_last_run_age_seconds{check=\"network\"} 0.0",
        "ossci_exporter_time_seconds 1795348981.0",
        "ossci_fabric_port_bytes_per_second{device=\"mlx5_0\",port=\"1\"} 50000000000.0",
        "ossci_gpus_expected 8.0",
        "ossci_gpus_found{check=\"rocminfo\"} 8.0",
        "ossci_gpu_temperature_celsius{gpu=\"0\",pci_bus=\"0000:05:00.0\",sensor=\"junction\"} 41.0",
        "ossci_checks_paused 0.0",
        "# EOF",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
    assert!(page.contains("# TYPE ossci_check_runs counter\n"), "{page}");
    assert!(page.contains("# UNIT ossci_gpu_power_watts watts\n"), "{page}");
    assert!(!page.contains("node="));
}

#[test]
fn corrected_errors_and_causes_of_throttling_have_series() {
    let page = page(&[run(Check::AmdSmi, include_str!("../../testdata/amd-smi/throttled.json"))], Form::Classic);
    for line in [
        "ossci_check_success{check=\"amd-smi\"} 1",
        "ossci_gpu_correctable_errors{gpu=\"3\",pci_bus=\"0000:65:00.0\"} 17",
        "ossci_gpu_correctable_errors{gpu=\"4\",pci_bus=\"0000:85:00.0\"} 0",
        "ossci_gpu_throttled{gpu=\"2\",pci_bus=\"0000:46:00.0\",cause=\"power\"} 1",
        "ossci_gpu_throttled{gpu=\"2\",pci_bus=\"0000:46:00.0\",cause=\"socket-thermal\"} 1",
        "ossci_gpu_throttled{gpu=\"2\",pci_bus=\"0000:46:00.0\",cause=\"prochot\"} 0",
    ] {
        assert!(page.lines().any(|shown| shown.trim_end_matches(".0") == line), "{line}\n{page}");
    }
    assert_eq!(page.matches("\nossci_gpu_throttled{").count(), 8 * 5);
}

#[test]
fn wear_and_links_have_series_and_the_page_stays_small() {
    let beside = [healthy(), vec![run(Check::AmdSmi, include_str!("../../testdata/amd-smi/health.json"))]].concat();
    let page = page(&beside, Form::Classic);
    for line in [
        // rocm-smi's temperature, and not the older one of amd-smi.
        "ossci_gpu_temperature_celsius{gpu=\"0\",pci_bus=\"0000:05:00.0\",sensor=\"junction\"} 41",
        "ossci_gpu_correctable_errors{gpu=\"3\",pci_bus=\"0000:65:00.0\"} 7",
        "ossci_gpu_deferred_errors{gpu=\"3\",pci_bus=\"0000:65:00.0\"} 1",
        "ossci_gpu_block_errors{gpu=\"3\",pci_bus=\"0000:65:00.0\",block=\"XGMI_WAFL\",kind=\"correctable\"} 5",
        "ossci_gpu_bad_pages{gpu=\"3\",pci_bus=\"0000:65:00.0\",state=\"retired\"} 1",
        "ossci_gpu_bad_page_threshold_exceeded{gpu=\"3\",pci_bus=\"0000:65:00.0\"} 0",
        "ossci_gpu_pcie_lanes{gpu=\"6\",pci_bus=\"0000:c6:00.0\"} 8",
        "ossci_gpu_pcie_max_lanes{gpu=\"6\",pci_bus=\"0000:c6:00.0\"} 16",
        "ossci_gpu_pcie_replays{gpu=\"6\",pci_bus=\"0000:c6:00.0\"} 3",
        "ossci_gpu_xgmi_links{gpu=\"2\",pci_bus=\"0000:46:00.0\",state=\"down\"} 1",
        "ossci_gpu_clock_hertz{gpu=\"0\",pci_bus=\"0000:05:00.0\",clock=\"graphics\"} 2093000000",
        "ossci_gpu_energy_joules_total{gpu=\"0\",pci_bus=\"0000:05:00.0\"} 14292727.274",
        "ossci_gpus_with_version{component=\"driver\",version=\"6.16.13\"} 8",
        "ossci_gpus_with_version{component=\"pm\",version=\"00.85.120.00\"} 1",
    ] {
        assert!(page.lines().any(|shown| shown.trim_end_matches(".0") == line), "{line}\n{page}");
    }
    // The block does not count its errors.
    assert!(!page.contains("MPIO"));
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= 400, "{series} series");
}

#[test]
fn the_classic_form_has_neither_units_nor_an_end() {
    let page = page(&healthy(), Form::Classic);
    assert!(!page.contains("# UNIT") && !page.contains("# EOF"), "{page}");
    assert!(page.contains("# TYPE ossci_gpu_info gauge\n"), "{page}");
}

#[test]
fn values_of_a_failed_check_are_withdrawn_and_its_status_stays() {
    let failed = run(Check::RocmSmi, include_str!("../../testdata/rocm-smi/gpu-not-responding.json"));
    let page = page(&[failed], Form::Classic);
    assert!(!page.contains("ossci_gpu_temperature_celsius"), "{page}");
    assert!(page.contains("reason=\"gpu-not-responding\""), "{page}");
    assert!(page.contains("ossci_check_success{check=\"rocm-smi\"} 0"), "{page}");
    assert!(page.contains("ossci_gpus_found{check=\"rocm-smi\"} 8"), "{page}");
}

#[test]
fn success_is_absent_after_unknown_and_before_the_first_run() {
    let page = page(&[run(Check::Network, include_str!("../../testdata/iperf3/312-busy.json"))], Form::Classic);
    assert!(!page.contains("ossci_check_success"), "{page}");
    assert!(page.contains("reason=\"target-trouble\""), "{page}");
}

#[test]
fn a_serial_with_quotes_and_newlines_is_one_label() {
    let stdout = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Serial Number": "a\"b\nc\\d",
        "Temperature (Sensor junction) (C)": "41.0"}}"#;
    let page = page(&[run(Check::RocmSmi, stdout)], Form::Classic);
    assert!(page.contains(r#"serial="a\"b\nc\\d""#), "{page}");
}

#[test]
fn the_landing_page_shows_verdicts_and_escapes_what_tools_print() {
    let mut odd = run(Check::RocmSmi, "{}");
    odd.judgement.detail = "<script>".to_string();
    let page = landing(&snapshot(&[odd]), "/metrics");
    assert!(page.contains("own-trouble") && page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn a_probe_answers_with_boot_and_results() {
    let runs = [run(Check::Rocminfo, include_str!("../../testdata/rocminfo/seven-of-eight.txt"))];
    let expected = Some(Inventory { gpus: 8, pci: Vec::new() });
    assert_eq!(
        serde_json::to_string(&probe_answer(
            "4c1",
            Inventories { expected, ..Inventories::default() },
            &runs,
            Depth::Results
        ))
        .unwrap(),
        "{\"bootID\":\"4c1\",\"inventory\":{\"expected\":{\"gpus\":8}},\"results\":[{\"check\":\"rocminfo\",\"verdict\":\"passed\",\"reason\":null,\
         \"detail\":\"7 GPUs\",\"startedAt\":\"2026-11-22T12:03:00Z\",\"seconds\":0.25}]}"
    );
}
