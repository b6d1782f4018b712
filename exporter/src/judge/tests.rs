//! Tests of the judgement as a whole, output by output.

use super::*;
use crate::inventory::{self, Source};
use std::borrow::Borrow;

fn eight() -> Known<'static> {
    Known { expected: Some(Expected { gpus: 8, source: Source::Configuration }), ..Known::default() }
}

fn on_the_bus(address: &str, driver: Option<&str>) -> PciGpu {
    let (address, driver) = (address.to_string(), driver.map(str::to_string));
    PciGpu { address, driver, accelerator: true, ..PciGpu::default() }
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
fn a_check_that_never_passed_cannot_fail_unless_the_number_of_gpus_is_set() {
    let none = ended(r#"{"system": {"Driver version": "6.10.5"}}"#, Exit::Status(0));
    let counts = |known: Known<'_>| {
        let judgement = find(ToolName::RocmSmi, &none, known, Bounds::default()).judgement;
        believed(judgement, Check::RocmSmi, known).verdict.reason()
    };
    assert_eq!(counts(Known::default()), Some("own-trouble"));
    assert_eq!(counts(Known { passed_before: true, ..Known::default() }), Some("gpu-missing"));
    assert_eq!(counts(eight()), Some("gpu-missing"));
    let slow = ended(include_str!("../../testdata/iperf3/slow.json"), Exit::Status(0));
    let slow = find(ToolName::Iperf3, &slow, eight(), Bounds::default()).judgement;
    assert_eq!(believed(slow, Check::Network, eight()).verdict.reason(), Some("own-trouble"));
}

#[test]
fn a_missing_tool_that_this_exporter_has_found_is_a_strike() {
    let known = Known { passed_before: true, ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, Ending::NotFound("x".into()), known), Some("own-trouble"));
    let known = Known { passed_recently: true, ..known };
    assert_eq!(reason(ToolName::RocmSmi, Ending::NotFound("x".into()), known), Some("missing-tool"));
    assert_eq!(reason(ToolName::Iperf3, Ending::NotFound("x".into()), known), Some("own-trouble"));
    assert_eq!(reason(ToolName::RocmSmi, Ending::NotStarted("x".into()), known), Some("own-trouble"));
}

#[test]
fn the_status_of_a_wrapper_is_not_that_of_the_tool() {
    let known = Known { passed_before: true, ..eight() };
    assert_eq!(reason(ToolName::Rocminfo, ended("", Exit::Status(127)), known), Some("own-trouble"));
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
    let learned = inventory::of_run(Check::RocmSmi, gpus).unwrap();
    let known = Known {
        expected: inventory::expected(None, None, Some(&learned)),
        seen: Some(&learned),
        passed_before: true,
        sensors_wanted: true,
        ..Known::default()
    };
    let seven = ended(include_str!("../../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
    let judgement = find(ToolName::RocmSmi, &seven, known, Bounds::default()).judgement;
    assert_eq!(judgement.verdict, Verdict::Failed(Fault::GpuMissing));
    assert_eq!(judgement.detail, "7 of 8 GPUs (learned), missing 0000:65:00.0");
    let on_bus = |driver: Option<&str>| on_the_bus("0000:65:00.0", driver);
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
    let bound = [on_the_bus("0000:05:00.0", Some("amdgpu"))];
    assert_eq!(reason(ToolName::RocmSmi, &ending, eight()), Some("driver-not-loaded"));
    let known = Known { pci: Some(&bound), ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, &ending, known), Some("own-trouble"));
}

#[test]
fn gpus_of_virtual_machines_are_not_expected() {
    let seven = ended(include_str!("../../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
    let shown = find(ToolName::RocmSmi, &seven, Known::default(), Bounds::default()).facts.unwrap();
    let ours = inventory::of_run(Check::RocmSmi, shown.gpus().unwrap()).unwrap().pci;
    let lent = on_the_bus("0000:65:00.0", Some("vfio-pci"));
    let pci: Vec<PciGpu> = ours.iter().map(|address| on_the_bus(address, Some("amdgpu"))).chain([lent]).collect();
    let known = Known { pci: Some(&pci), ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, &seven, known), None);
    // Somebody said eight, and the bus has less.
    assert_eq!(reason(ToolName::RocmSmi, &seven, Known { pci: Some(&pci[1..]), ..eight() }), Some("own-trouble"));
    // The lent one is not among those that were learned: one of them is missing.
    let addresses = [ours, vec!["0000:c7:00.0".to_string()]].concat();
    let known = Known { addresses: Some(&addresses), ..known };
    assert_eq!(reason(ToolName::RocmSmi, &seven, known), Some("gpu-missing"));
}

#[test]
fn a_host_that_lent_its_gpus_out_is_not_repaired() {
    let bus = |last: Option<&str>| [on_the_bus("0000:05:00.0", Some("vfio-pci")), on_the_bus("0000:65:00.0", last)];
    let none = ended(r#"{"system": {"Driver version": "6.10.5"}}"#, Exit::Status(0));
    let gone = Ending::exited(0, "", "ERROR:root:Driver not initialized (amdgpu not found in modules)");
    let addresses = ["0000:05:00.0".to_string(), "0000:c7:00.0".to_string()];
    // A virtual machine that ended leaves its GPU without a driver.
    for last in [Some("vfio-pci"), None] {
        let pci = bus(last);
        let known = Known { pci: Some(&pci), passed_before: true, ..eight() };
        for ending in [&none, &gone] {
            let verdict = |known| believed(judge_with(ToolName::RocmSmi, ending, known), Check::RocmSmi, known).verdict;
            assert_eq!(verdict(known).reason(), Some("own-trouble"), "{last:?}");
            // One that was learned is gone from the bus.
            let expected = Some(Expected { gpus: 2, source: Source::Learned });
            let known = Known { addresses: Some(&addresses), expected, ..known };
            assert!(matches!(verdict(known), Verdict::Failed(_)), "{last:?}");
        }
    }
}

fn judge_with(tool: ToolName, ending: &Ending, known: Known<'_>) -> Judgement {
    find(tool, ending, known, Bounds::default()).judgement
}

#[test]
fn an_accelerator_without_a_driver_is_reported_from_the_first_run() {
    let seven = ended(include_str!("../../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
    let bare = [on_the_bus("0000:65:00.0", None)];
    let known = Known { pci: Some(&bare), ..Known::default() };
    assert_eq!(reason(ToolName::RocmSmi, &seven, known), Some("own-trouble"));
    let expected = Some(Expected { gpus: 7, source: Source::RunDirectory });
    assert_eq!(
        reason(ToolName::RocmSmi, &seven, Known { expected, ..known }),
        None,
        "somebody said that seven is right"
    );
    let display = [PciGpu { accelerator: false, ..bare[0].clone() }];
    assert_eq!(reason(ToolName::RocmSmi, &seven, Known { pci: Some(&display), ..Known::default() }), None);
}

#[test]
fn suspended_gpus_and_a_low_power_warning_prove_nothing() {
    let known = Known { passed_before: true, sensors_wanted: true, ..Known::default() };
    let silent = r#"{"card0": {"PCI Bus": "0000:05:00.0", "GPU use (%)": "0"}}"#;
    assert_eq!(reason(ToolName::RocmSmi, ended(silent, Exit::Status(0)), known), Some("gpu-not-responding"));
    let warned =
        Ending::exited(0, silent, "WARNING: AMD GPU device(s) is/are in a low-power state. Check power control");
    assert_eq!(reason(ToolName::RocmSmi, warned, known), Some("own-trouble"));
    let asleep = [PciGpu { suspended: true, ..on_the_bus("0000:05:00.0", Some("amdgpu")) }];
    let known = Known { pci: Some(&asleep), ..known };
    assert_eq!(reason(ToolName::RocmSmi, ended(silent, Exit::Status(0)), known), Some("own-trouble"));
}

#[test]
fn fewer_gpus_than_the_last_runs_showed_are_no_pass() {
    let seven = ended(include_str!("../../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
    assert_eq!(
        reason(ToolName::RocmSmi, &seven, Known { suspected: Some(8), ..Known::default() }),
        Some("own-trouble")
    );
    assert_eq!(reason(ToolName::RocmSmi, &seven, Known { suspected: Some(7), ..Known::default() }), None);
}

#[test]
fn what_was_killed_from_outside_is_no_fault() {
    let cut = include_str!("../../testdata/rocm-smi/cut.json");
    for exit in [Exit::Signal(9), Exit::Status(137)] {
        assert_eq!(reason(ToolName::RocmSmi, ended(cut, exit), eight()), Some("own-trouble"));
        assert_eq!(reason(ToolName::Rocminfo, ended("", exit), eight()), Some("own-trouble"));
    }
    assert_eq!(reason(ToolName::RocmSmi, ended(cut, Exit::Signal(11)), eight()), Some("unparsable"));
}

#[test]
fn a_card_that_cannot_be_read_is_not_missing() {
    let one = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Temperature (Sensor junction) (C)": "41.0"}, "card1": "N/A"}"#;
    let expected = Some(Expected { gpus: 2, source: Source::Configuration });
    let known = Known { expected, passed_before: true, ..Known::default() };
    assert_eq!(reason(ToolName::RocmSmi, ended(one, Exit::Status(0)), known), Some("own-trouble"));
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
    // Nothing of ours sends this signal without saying so.
    assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Signal(9)), eight()), Some("own-trouble"));
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
    let stdout = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Temperature (Sensor junction) (C)": "110.0"}}"#;
    assert_eq!(reason(ToolName::RocmSmi, ended(stdout, Exit::Status(0)), Known::default()), Some("over-temperature"));
}

#[test]
fn the_limit_of_the_device_counts_unless_another_is_set() {
    let gpu = |celsius: f64| {
        let limit = r#"{"slowdown_hotspot_temperature": 100, "shutdown_hotspot_temperature": {"value": 105, "unit": "C"},
            "shutdown_vram_temperature": {"value": 95, "unit": "C"}}"#;
        let document = format!(
            r#"[{{"gpu": 0, "temperature": {{"hotspot": {celsius}, "mem": {}}}, "limit": {limit}}}]"#,
            celsius - 10.0
        );
        move |bounds: Bounds| {
            find(ToolName::AmdSmi, &ended(&document, Exit::Status(0)), Known::default(), bounds)
                .judgement
                .verdict
                .reason()
        }
    };
    assert_eq!(gpu(104.0)(Bounds::default()), None);
    assert_eq!(gpu(105.0)(Bounds::default()), Some("over-temperature"));
    let set = Bounds { max_junction_celsius: Some(110.0), ..Bounds::default() };
    assert_eq!(gpu(104.0)(set), None);
    assert_eq!(gpu(105.0)(set), Some("over-temperature"), "the memory has a limit of its own");
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
    let both = r#""ecc": {"total_uncorrectable_count": 1}, "un_res": [{}]"#;
    assert_eq!(amd(both), Some("bad-pages"), "no reboot helps");
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

#[test]
fn what_is_unknown_of_one_gpu_hides_no_fault_of_another() {
    let asleep = [PciGpu { suspended: true, ..on_the_bus("0000:05:00.0", Some("amdgpu")) }];
    let known = Known { passed_before: true, sensors_wanted: true, pci: Some(&asleep), ..Known::default() };
    let two = r#"{"card0": {"PCI Bus": "0000:05:00.0"}, "card1": {"PCI Bus": "0000:26:00.0",
        "Temperature (Sensor junction) (C)": "112.0"}}"#;
    assert_eq!(reason(ToolName::RocmSmi, ended(two, Exit::Status(0)), known), Some("over-temperature"));
    let well = two.replace("112", "41");
    assert_eq!(reason(ToolName::RocmSmi, ended(&well, Exit::Status(0)), known), Some("own-trouble"));
}

#[test]
fn partitions_of_a_lent_gpu_are_not_missed() {
    let seven = ended(include_str!("../../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
    let lent = [on_the_bus("0000:65:00.0", Some("vfio-pci"))];
    let shown = find(ToolName::RocmSmi, &seven, Known::default(), Bounds::default()).facts.unwrap();
    let ours = inventory::of_run(Check::RocmSmi, shown.gpus().unwrap()).unwrap().pci;
    let addresses = [ours, vec!["0000:65:00.0".to_string()]].concat();
    let known = Known { expected_partitions: Some(8), addresses: Some(&addresses), ..eight() };
    assert_eq!(reason(ToolName::RocmSmi, &seven, known), Some("gpu-missing"));
    assert_eq!(reason(ToolName::RocmSmi, &seven, Known { pci: Some(&lent), ..known }), None);
}

#[test]
fn a_device_that_this_exporter_has_opened_is_missed() {
    let gone = ended(include_str!("../../testdata/rocminfo/no-dev-kfd.txt"), Exit::Status(1));
    assert_eq!(reason(ToolName::Rocminfo, &gone, Known { passed_before: true, ..eight() }), Some("own-trouble"));
    let known = Known { passed_before: true, passed_recently: true, ..eight() };
    let pci = [on_the_bus("0000:05:00.0", Some("amdgpu"))];
    for known in [known, Known { pci: Some(&pci), ..known }] {
        assert_eq!(reason(ToolName::Rocminfo, &gone, known), Some("driver-not-loaded"));
    }
}
