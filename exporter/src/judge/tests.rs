//! Tests of the judgement as a whole, output by output.

use super::*;
use crate::inventory::{self, Source};
use std::borrow::Borrow;

fn eight() -> Known<'static> {
    Known { expected: Some(Expected { gpus: 8, source: Source::Configuration }), ..Known::default() }
}

fn ended(stdout: &str, exit: Exit) -> Ending {
    Ending::Exited(exit, Streams { stdout: stdout.as_bytes().to_vec(), stderr: Vec::new() })
}

fn reason(tool: ToolName, ending: impl Borrow<Ending>, known: Known<'_>) -> Option<&'static str> {
    find(tool, ending.borrow(), known, Bounds::default()).judgement.verdict.reason()
}

#[test]
fn a_missing_tool_that_never_passed_here_is_own_trouble() {
    let known = Known { passed_before: false, ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, Ending::NotFound("x".into()), known), Some("own-trouble"));
}

#[test]
fn a_missing_tool_that_passed_here_is_a_strike() {
    let known = Known { passed_before: true, ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, Ending::NotFound("x".into()), known), Some("missing-tool"));
    assert_eq!(reason(ToolName::RocmSmi, Ending::NotStarted("x".into()), known), Some("own-trouble"));
}

#[test]
fn the_status_of_a_wrapper_is_not_that_of_the_tool() {
    let known = Known { passed_before: true, ..eight() };
    assert_eq!(reason(ToolName::Rocminfo, ended("", Exit::Status(127)), known), Some("missing-tool"));
    assert_eq!(reason(ToolName::Rocminfo, ended("", Exit::Status(126)), known), Some("own-trouble"));
}

#[test]
fn the_missing_gpu_is_named_when_it_was_learned() {
    let healthy = find(
        ToolName::RocmSmi,
        &ended(include_str!("../../testdata/rocm-smi/healthy.json"), Exit::Status(0)),
        eight(),
        Bounds::default(),
    );
    assert_eq!(healthy.judgement.verdict, Verdict::Passed);
    let gpus = healthy.facts.as_ref().and_then(Facts::gpus).unwrap();
    let learned = inventory::learn(Check::RocmSmi, None, gpus).unwrap();
    let known = Known {
        expected: inventory::expected(None, None, Some(&learned)),
        learned: Some(&learned),
        passed_before: true,
        sensors_wanted: true,
        ..Known::default()
    };
    let seven = ended(include_str!("../../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
    let judgement = find(ToolName::RocmSmi, &seven, known, Bounds::default()).judgement;
    assert_eq!(judgement.verdict, Verdict::Failed(Fault::GpuMissing));
    assert_eq!(judgement.detail, "7 of 8 GPUs (learned), missing 0000:65:00.0");
    let on_bus = |driver: Option<&str>| PciGpu { address: "0000:65:00.0".into(), driver: driver.map(str::to_string) };
    for (pci, wanted) in [
        (vec![], "missing 0000:65:00.0 (not on the PCI bus)"),
        (vec![on_bus(None)], "missing 0000:65:00.0 (on the PCI bus, without a driver)"),
        (vec![on_bus(Some("amdgpu"))], "missing 0000:65:00.0 (on the PCI bus, bound to amdgpu)"),
    ] {
        let detail =
            find(ToolName::RocmSmi, &seven, Known { pci: Some(&pci), ..known }, Bounds::default()).judgement.detail;
        assert!(detail.ends_with(wanted), "{detail}");
    }
}

#[test]
fn a_driver_that_holds_gpus_counts_as_loaded() {
    let ending = Ending::exited(0, "", "ERROR:root:Driver not initialized (amdgpu not found in modules)");
    let bound = [PciGpu { address: "0000:05:00.0".into(), driver: Some("amdgpu".into()) }];
    assert_eq!(reason(ToolName::RocmSmi, &ending, eight()), Some("driver-not-loaded"));
    let known = Known { pci: Some(&bound), ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, &ending, known), Some("own-trouble"));
}

#[test]
fn no_gpu_at_all_is_missing_unless_none_is_expected() {
    let none = ended(r#"{"system": {"Driver version": "6.10.5"}}"#, Exit::Status(0));
    assert_eq!(reason(ToolName::RocmSmi, &none, Known::default()), Some("gpu-missing"));
    let zero = Known { expected: Some(Expected { gpus: 0, source: Source::Configuration }), ..Known::default() };
    assert_eq!(reason(ToolName::RocmSmi, &none, zero), None);
}

#[test]
fn partitions_are_checked_only_if_configured() {
    let partitioned = ended(include_str!("../../testdata/rocm-smi/partitioned.json"), Exit::Status(0));
    let wanted = |partitions| Known { expected_partitions: Some(partitions), ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, &partitioned, wanted(64)), None);
    assert_eq!(reason(ToolName::RocmSmi, &partitioned, wanted(65)), Some("gpu-missing"));
    assert_eq!(reason(ToolName::RocmSmi, &partitioned, eight()), None);
}

#[test]
fn a_node_that_never_showed_a_sensor_is_not_a_dead_node() {
    let blind = ended(r#"{"card0": {"PCI Bus": "0000:05:00.0"}}"#, Exit::Status(0));
    let wanted = Known { sensors_wanted: true, ..Known::default() };
    assert_eq!(reason(ToolName::RocmSmi, &blind, wanted), Some("own-trouble"));
    assert_eq!(reason(ToolName::RocmSmi, &blind, Known::default()), None, "its sensors were not requested");
    let known = Known { passed_before: true, ..wanted };
    assert_eq!(reason(ToolName::RocmSmi, &blind, known), Some("gpu-not-responding"));
}

#[test]
fn an_exit_status_counts_only_without_a_result() {
    let healthy = include_str!("../../testdata/rocm-smi/healthy.json");
    assert_eq!(reason(ToolName::RocmSmi, ended(healthy, Exit::Status(2)), eight()), None);
    assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Status(1)), eight()), Some("exit-status"));
    assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Signal(11)), eight()), Some("exit-status"));
    assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Status(0)), eight()), Some("unparsable"));
    assert_eq!(reason(ToolName::Iperf3, ended("", Exit::Status(1)), eight()), Some("own-trouble"));
}

#[test]
fn a_slow_transfer_and_one_that_timed_out_are_network_slow() {
    let slow = ended(include_str!("../../testdata/iperf3/slow.json"), Exit::Status(0));
    assert_eq!(reason(ToolName::Iperf3, slow, eight()), Some("network-slow"));
    let timed_out =
        |stdout: &str| Ending::TimedOut(Exit::Signal(15), Streams { stdout: stdout.into(), stderr: Vec::new() });
    let slow = timed_out(include_str!("../../testdata/iperf3/312-slow-until-sigterm.json"));
    assert_eq!(reason(ToolName::Iperf3, slow, eight()), Some("network-slow"));
    assert_eq!(reason(ToolName::Iperf3, timed_out(""), eight()), Some("timeout"));
}

#[test]
fn the_limit_itself_is_too_hot() {
    let stdout = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Temperature (Sensor junction) (C)": "105.0"}}"#;
    assert_eq!(reason(ToolName::RocmSmi, ended(stdout, Exit::Status(0)), Known::default()), Some("over-temperature"));
}

#[test]
fn the_limit_of_the_device_counts_unless_another_is_set() {
    let gpu = |celsius: f64| {
        let document = format!(
            "[{{\"gpu\": 0, \"temperature\": {{\"hotspot\": {celsius}}}, \"limit\": {{\"slowdown_hotspot_temperature\": {{\"value\": 100, \"unit\": \"C\"}}}}}}]"
        );
        move |bounds: Bounds| {
            find(ToolName::AmdSmi, &ended(&document, Exit::Status(0)), Known::default(), bounds)
                .judgement
                .verdict
                .reason()
        }
    };
    assert_eq!(gpu(100.0)(Bounds::default()), Some("over-temperature"));
    assert_eq!(gpu(99.0)(Bounds::default()), None);
    assert_eq!(gpu(100.0)(Bounds { max_junction_celsius: Some(110.0), ..Bounds::default() }), None);
}

#[test]
fn memory_faults_have_reasons_and_retired_pages_are_no_fault() {
    let amd = |fields: &str| {
        let document = format!("[{{\"gpu\": 0, {fields}}}]");
        reason(ToolName::AmdSmi, ended(&document, Exit::Status(0)), Known::default())
    };
    assert_eq!(amd(r#""ecc": {"total_uncorrectable_count": 1}"#), Some("ecc-uncorrectable"));
    assert_eq!(amd(r#""ecc": {"total_correctable_count": 9, "total_uncorrectable_count": 0}"#), None);
    assert_eq!(amd(r#""retired": [{}, {}], "pending": "No bad pages found.", "un_res": "N/A""#), None);
    assert_eq!(amd(r#""un_res": [{}]"#), Some("bad-pages"));
    assert_eq!(amd(r#""ras": {"bad_page_threshold_exceeded": "True"}"#), Some("bad-pages"));
}

#[test]
fn each_threshold_of_the_network_has_its_reason() {
    let bounds = Bounds { min_upload_bits_per_second: 100.0, max_latency_seconds: Some(0.01), ..Bounds::default() };
    let good = Transfer {
        download_bits_per_second: Some(1e9),
        upload_bits_per_second: Some(100.0),
        latency_seconds: Some(0.01),
        loss_ratio: Some(0.05),
        ..Transfer::default()
    };
    let reason = |transfer: Transfer| judge_transfer(&transfer, bounds).verdict.reason();
    assert_eq!(reason(good.clone()), None);
    assert_eq!(reason(Transfer { download_bits_per_second: Some(9e7), ..good.clone() }), Some("network-slow"));
    assert_eq!(reason(Transfer { upload_bits_per_second: Some(99.0), ..good.clone() }), Some("network-slow"));
    assert_eq!(reason(Transfer { latency_seconds: Some(0.011), ..good.clone() }), Some("network-slow"));
    assert_eq!(reason(Transfer { loss_ratio: Some(0.06), ..good.clone() }), Some("network-lossy"));
    assert_eq!(reason(Transfer { loss_ratio: None, latency_seconds: None, ..good }), None);
}
