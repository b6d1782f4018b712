//! Pure: how a run ended and what was read -> a verdict with one reason and one sentence. No parsing, no I/O, no memory: what is
//! known from earlier runs comes in as [`Known`]. What only hints at our own trouble never becomes a fault of the node.

use crate::inventory::{self, Expected, Learned, PciGpu};
use crate::parse::{self, Exit, Output, Reading};
use crate::verdict::{Check, Facts, Fault, Gpu, Judgement, ToolName, Transfer, Trouble, Verdict};

/// How the process of a run ended.
#[derive(Debug, Clone, Copy)]
pub enum Ending<'a> {
    /// By itself.
    Ended(Output<'a>),
    /// By us, at the deadline, after this output.
    TimedOut(Output<'a>),
    /// By us, after printing too much.
    OutputLimit,
    /// Not at all: it survived the kill, or an earlier one still lives and nothing was started.
    Hung(&'a str),
    /// No such tool.
    NotFound(&'a str),
    /// The tool is there and could not be started.
    NotStarted(&'a str),
}

/// What is known about this node from outside this run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    pub expected: Option<Expected>,
    /// All partitions together, by configuration alone: their number is a person's choice and changes with it.
    pub expected_partitions: Option<u32>,
    pub learned: Option<&'a Learned>,
    /// This tool has passed on this node before, on this boot or an earlier one.
    pub passed_before: bool,
    /// Whether the run asked for temperature and power, so that an output without a place for them hides something.
    pub sensors_wanted: bool,
    /// The GPUs on the PCI bus, where sysfs could be read.
    pub pci: Option<&'a [PciGpu]>,
}

/// Limits out of the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// `None`: the device's own critical value, and [`HOT_CELSIUS`] where the tool does not say it.
    pub max_junction_celsius: Option<f64>,
    pub min_download_bits_per_second: f64,
    /// 0 accepts any, and a tool that measures no upload.
    pub min_upload_bits_per_second: f64,
    pub max_latency_seconds: Option<f64>,
    pub max_loss_ratio: f64,
}

/// Between the temperature at which an Instinct GPU slows down (100) and the one at which it switches itself off (105 to 110): a node
/// that is that hot in three runs in a row has a fault of its cooling.
pub const HOT_CELSIUS: f64 = 105.0;

impl Default for Bounds {
    /// Far below what a working link of a GPU node gives even under load, and far above what it loses.
    fn default() -> Bounds {
        Bounds {
            max_junction_celsius: None,
            min_download_bits_per_second: 1e8,
            min_upload_bits_per_second: 0.0,
            max_latency_seconds: None,
            max_loss_ratio: 0.05,
        }
    }
}

/// All that a run leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub judgement: Judgement,
    pub facts: Option<Facts>,
    pub not_understood: Vec<String>,
}

impl Finding {
    fn bare(judgement: Judgement) -> Finding {
        Finding { judgement, facts: None, not_understood: Vec::new() }
    }
}

/// Judges one run of `tool`.
pub fn judge(tool: ToolName, ending: Ending<'_>, known: Known<'_>, bounds: Bounds) -> Finding {
    match ending {
        Ending::Ended(output) => match never_ran(output) {
            Some(ending) => judge(tool, ending, known, bounds),
            None => judge_output(tool, output, known, bounds),
        },
        Ending::TimedOut(output) => judge_timeout(tool, output, bounds),
        Ending::OutputLimit => Finding::bare(failed(Fault::OutputLimit, "printed more than the limit and was ended")),
        Ending::Hung(what) => Finding::bare(failed(Fault::Hung, what)),
        Ending::NotFound(what) if known.passed_before => Finding::bare(failed(Fault::MissingTool, what)),
        Ending::NotFound(what) | Ending::NotStarted(what) => Finding::bare(own_trouble(what)),
    }
}

/// The statuses by which chroot(1), env(1) and the shell say that they could not start the tool: 125 and 126 could not, 127 not there.
fn never_ran(output: Output<'_>) -> Option<Ending<'_>> {
    let said = std::str::from_utf8(output.stderr).unwrap_or_default().trim();
    match output.exit {
        _ if !output.stdout.is_empty() => None,
        Exit::Status(125 | 126) => Some(Ending::NotStarted(said)),
        Exit::Status(127) => Some(Ending::NotFound(said)),
        _ => None,
    }
}

fn judge_output(tool: ToolName, output: Output<'_>, known: Known<'_>, bounds: Bounds) -> Finding {
    let parsed = parse::parse(tool, output);
    let (judgement, facts) = match parsed.reading {
        Reading::Whole(Facts::Gpus(gpus)) => (judge_gpus(tool, &gpus, known, bounds), Some(Facts::Gpus(gpus))),
        Reading::Excerpt(Facts::Gpus(gpus)) => (judge_excerpt(&gpus, bounds), Some(Facts::Gpus(gpus))),
        Reading::Whole(Facts::Network(transfer))
        | Reading::Excerpt(Facts::Network(transfer))
        | Reading::Unfinished(Facts::Network(transfer)) => {
            (judge_transfer(&transfer, bounds), Some(Facts::Network(transfer)))
        }
        Reading::Unfinished(Facts::Gpus(_)) | Reading::Cut => {
            (failed(Fault::Unparsable, format!("the output stops before its end ({})", exit(output.exit))), None)
        }
        Reading::Nothing => (judge_silence(tool, output), None),
        Reading::DriverNotLoaded(said) => (judge_driver(said, known), None),
        Reading::Denied(said) => (own_trouble(said), None),
        Reading::ToolFailed(said) => (failed(Fault::ExitStatus, format!("{said} ({})", exit(output.exit))), None),
        Reading::Unreachable(said) => (failed(Fault::NetworkFailed, said), None),
        Reading::FarEnd(said) => (target_trouble(said), None),
        Reading::Foreign(said) => (own_trouble(format!("not understood: {said}")), None),
    };
    Finding { judgement, facts, not_understood: parsed.not_understood }
}

/// A tool that does not see the driver although GPUs are bound to it looks in the wrong place: a driver compiled into the kernel, a
/// hidden /sys/module.
fn judge_driver(said: String, known: Known<'_>) -> Judgement {
    let bound = known.pci.unwrap_or_default().iter().filter(|gpu| gpu.driver.as_deref() == Some(DRIVER)).count();
    match bound {
        0 => failed(Fault::DriverNotLoaded, said),
        bound => own_trouble(format!("{said}; but {bound} GPUs are bound to {DRIVER}")),
    }
}

const DRIVER: &str = "amdgpu";

/// A run that we ended is a timeout, but for a network test that says itself how far it got.
fn judge_timeout(tool: ToolName, output: Output<'_>, bounds: Bounds) -> Finding {
    let timeout = || Finding::bare(failed(Fault::Timeout, "did not end within its time and was ended"));
    if tool.check() != Check::Network {
        return timeout();
    }
    match parse::parse(tool, output).reading {
        Reading::Unfinished(Facts::Network(transfer)) if transfer.bytes.is_some_and(|bytes| bytes > 0.0) => {
            let (bytes, seconds) = (transfer.bytes.unwrap_or_default(), transfer.seconds.unwrap_or_default());
            let judgement = match judge_transfer(&transfer, bounds) {
                Judgement { verdict: Verdict::Passed, .. } => {
                    failed(Fault::NetworkSlow, format!("only {bytes} bytes in {seconds:.1} s"))
                }
                slower => slower,
            };
            Finding { judgement, facts: Some(Facts::Network(transfer)), not_understood: Vec::new() }
        }
        Reading::FarEnd(said) => Finding::bare(target_trouble(said)),
        _ => timeout(),
    }
}

/// An output without any result. A signal is the tool's crash; iperf3 prints a document whatever happens, so its silence is ours.
fn judge_silence(tool: ToolName, output: Output<'_>) -> Judgement {
    let mut silence = format!("no result ({})", exit(output.exit));
    let said = parse::last_words(output.stderr);
    if !said.is_empty() {
        silence = format!("{silence}: {said}");
    }
    match (tool.check(), output.exit) {
        (Check::RocmSmi | Check::AmdSmi | Check::Rocminfo, Exit::Status(0)) => failed(Fault::Unparsable, silence),
        (Check::Network, Exit::Status(_)) => own_trouble(silence),
        _ => failed(Fault::ExitStatus, silence),
    }
}

fn judge_gpus(tool: ToolName, gpus: &[Gpu], known: Known<'_>, bounds: Bounds) -> Judgement {
    let found = u32::try_from(gpus.len()).unwrap_or(u32::MAX);
    let wanted = known.expected.map(|expected| expected.gpus);
    // A node that carries this exporter has a GPU, unless somebody says 0.
    if found < wanted.unwrap_or(1) {
        return failed(Fault::GpuMissing, missing(found, gpus, known));
    }
    let partitions = gpus.iter().fold(0u32, |sum, gpu| sum.saturating_add(gpu.partitions));
    if let Some(wanted) = known.expected_partitions.filter(|wanted| partitions < *wanted) {
        return failed(Fault::GpuMissing, format!("{partitions} of {wanted} partitions (configured)"));
    }
    silent(tool, gpus, known)
        .or_else(|| too_hot(gpus, bounds))
        .or_else(|| memory_fault(gpus))
        .unwrap_or_else(|| passed(format!("{found} GPUs")))
}

fn judge_excerpt(gpus: &[Gpu], bounds: Bounds) -> Judgement {
    let fault = too_hot(gpus, bounds).or_else(|| memory_fault(gpus));
    fault.unwrap_or_else(|| passed("no fault among what it names".to_string()))
}

/// GPUs that answer neither for a temperature nor for a power, where the output has a place for them.
fn silent(tool: ToolName, gpus: &[Gpu], known: Known<'_>) -> Option<Judgement> {
    let wanted = known.sensors_wanted && matches!(tool.check(), Check::RocmSmi | Check::AmdSmi);
    let dead: Vec<(usize, &Gpu)> =
        gpus.iter().enumerate().filter(|(_, gpu)| (wanted || gpu.asked_for_sensors) && !gpu.responds()).collect();
    if dead.is_empty() {
        return None;
    }
    if dead.len() == gpus.len() {
        // Where no GPU ever showed a sensor the sensors are hidden from us, or of a kind that this tool cannot read.
        if !known.passed_before {
            return Some(own_trouble("no GPU shows a temperature or a power, and none ever did on this node"));
        }
        if gpus.iter().any(|gpu| gpu.other_sign_of_life) {
            return Some(own_trouble(
                "no GPU shows a temperature or a power, but clocks: the tool does not fit the driver",
            ));
        }
    }
    let names: Vec<String> = dead.iter().copied().map(name).collect();
    let detail = format!("{} of {} GPUs without temperature and power: {}", dead.len(), gpus.len(), names.join(", "));
    Some(failed(Fault::GpuNotResponding, detail))
}

fn too_hot(gpus: &[Gpu], bounds: Bounds) -> Option<Judgement> {
    let hot = gpus.iter().enumerate().filter_map(|(index, gpu)| {
        let celsius = gpu.temperature_celsius.junction?;
        let limit = bounds.max_junction_celsius.or(gpu.critical_junction_celsius).unwrap_or(HOT_CELSIUS);
        (celsius >= limit).then(|| (limit, format!("{} at {celsius} C", name((index, gpu)))))
    });
    let (limits, names): (Vec<f64>, Vec<String>) = hot.unzip();
    let limit = limits.first()?;
    Some(failed(Fault::OverTemperature, format!("junction at or above {limit} C: {}", names.join(", "))))
}

/// Memory that lost data, or that cannot be taken out of use. Retired pages and corrected errors are the repair at work.
fn memory_fault(gpus: &[Gpu]) -> Option<Judgement> {
    let those = |fault: fn(&Gpu) -> Option<String>| -> Option<String> {
        let said =
            gpus.iter().enumerate().filter_map(|(index, gpu)| Some(format!("{}: {}", name((index, gpu)), fault(gpu)?)));
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join(", "))
    };
    let errors = those(|gpu| {
        let count = gpu.uncorrectable_errors.filter(|count| *count > 0.0)?;
        Some(format!("{count} uncorrectable errors"))
    });
    let pages = those(|gpu| match gpu.bad_pages.unreservable {
        _ if gpu.bad_pages.threshold_exceeded => Some("more bad pages than the device allows".to_string()),
        Some(count) if count > 0.0 => Some(format!("{count} bad pages still in use")),
        _ => None,
    });
    let errors = errors.map(|detail| failed(Fault::EccUncorrectable, detail));
    errors.or_else(|| pages.map(|detail| failed(Fault::BadPages, detail)))
}

fn missing(found: u32, gpus: &[Gpu], known: Known<'_>) -> String {
    let count = match known.expected {
        Some(expected) => format!("{found} of {} GPUs ({})", expected.gpus, expected.source.as_str()),
        None => "no GPU".to_string(),
    };
    let gone = known.learned.map(|learned| inventory::missing(learned, gpus)).unwrap_or_default();
    let gone: Vec<String> = gone.into_iter().map(|address| whereabouts(address, known.pci)).collect();
    if !gone.is_empty() {
        return format!("{count}, missing {}", gone.join(", "));
    }
    match known.pci {
        Some(pci) if pci.len() > gpus.len() => format!("{count}, {} on the PCI bus", pci.len()),
        _ => count,
    }
}

/// Whether a GPU that the tool does not show is still on the bus: one that the driver refused may come back with a reboot.
fn whereabouts(address: &str, pci: Option<&[PciGpu]>) -> String {
    let Some(pci) = pci else { return address.to_string() };
    match pci.iter().find(|gpu| gpu.address == address) {
        None => format!("{address} (not on the PCI bus)"),
        Some(PciGpu { driver: None, .. }) => format!("{address} (on the PCI bus, without a driver)"),
        Some(PciGpu { driver: Some(driver), .. }) => format!("{address} (on the PCI bus, bound to {driver})"),
    }
}

fn name((index, gpu): (usize, &Gpu)) -> String {
    match gpu.pci_bus.as_deref().or(gpu.unique_id.as_deref()) {
        Some(address) => format!("GPU {index} ({address})"),
        None => format!("GPU {index}"),
    }
}

fn judge_transfer(transfer: &Transfer, bounds: Bounds) -> Judgement {
    let megabits = |bits: f64| format!("{:.1} Mbit/s", bits / 1e6);
    let speeds = [
        ("download", transfer.download_bits_per_second, bounds.min_download_bits_per_second),
        ("upload", transfer.upload_bits_per_second, bounds.min_upload_bits_per_second),
    ];
    for (way, speed, least) in speeds {
        if let Some(speed) = speed.filter(|speed| *speed < least) {
            let detail = format!("{way} {}, at least {} is wanted", megabits(speed), megabits(least));
            return failed(Fault::NetworkSlow, detail);
        }
    }
    if let (Some(latency), Some(most)) = (transfer.latency_seconds, bounds.max_latency_seconds)
        && latency > most
    {
        let detail = format!("latency {:.1} ms, at most {:.1} ms is wanted", latency * 1e3, most * 1e3);
        return failed(Fault::NetworkSlow, detail);
    }
    if let Some(loss) = transfer.loss_ratio.filter(|loss| *loss > bounds.max_loss_ratio) {
        let detail =
            format!("{:.1} % of the packets lost, at most {:.1} % is wanted", loss * 1e2, bounds.max_loss_ratio * 1e2);
        return failed(Fault::NetworkLossy, detail);
    }
    let measured: Vec<String> =
        speeds.iter().filter_map(|(way, speed, _)| Some(format!("{way} {}", megabits((*speed)?)))).collect();
    passed(measured.join(", "))
}

fn exit(exit: Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exit status {status}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
    }
}

fn passed(detail: String) -> Judgement {
    Judgement { verdict: Verdict::Passed, detail }
}

fn failed(fault: Fault, detail: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Failed(fault), detail: detail.into() }
}

fn own_trouble(detail: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Unknown(Trouble::OwnTrouble), detail: detail.into() }
}

fn target_trouble(detail: String) -> Judgement {
    Judgement { verdict: Verdict::Unknown(Trouble::TargetTrouble), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Source;

    fn eight() -> Known<'static> {
        Known { expected: Some(Expected { gpus: 8, source: Source::Configuration }), ..Known::default() }
    }

    fn ended(stdout: &str, exit: Exit) -> Ending<'_> {
        Ending::Ended(Output { stdout: stdout.as_bytes(), stderr: b"", exit })
    }

    fn reason(tool: ToolName, ending: Ending<'_>, known: Known<'_>) -> Option<&'static str> {
        judge(tool, ending, known, Bounds::default()).judgement.verdict.reason()
    }

    #[test]
    fn a_tool_that_never_passed_here_and_is_missing_is_our_trouble() {
        let known = Known { passed_before: false, ..eight() };
        assert_eq!(reason(ToolName::RocmSmi, Ending::NotFound("x"), known), Some("own-trouble"));
    }

    #[test]
    fn a_tool_that_passed_here_and_is_missing_is_a_strike() {
        let known = Known { passed_before: true, ..eight() };
        assert_eq!(reason(ToolName::RocmSmi, Ending::NotFound("x"), known), Some("missing-tool"));
        assert_eq!(reason(ToolName::RocmSmi, Ending::NotStarted("x"), known), Some("own-trouble"));
    }

    #[test]
    fn a_wrapper_that_finds_no_tool_is_no_exit_status_of_the_tool() {
        let known = Known { passed_before: true, ..eight() };
        assert_eq!(reason(ToolName::Rocminfo, ended("", Exit::Status(127)), known), Some("missing-tool"));
        assert_eq!(reason(ToolName::Rocminfo, ended("", Exit::Status(126)), known), Some("own-trouble"));
    }

    #[test]
    fn the_missing_gpu_is_named_when_it_was_learned() {
        let healthy = judge(
            ToolName::RocmSmi,
            ended(include_str!("../testdata/rocm-smi/healthy.json"), Exit::Status(0)),
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
        let seven = ended(include_str!("../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
        let judgement = judge(ToolName::RocmSmi, seven, known, Bounds::default()).judgement;
        assert_eq!(judgement.verdict, Verdict::Failed(Fault::GpuMissing));
        assert_eq!(judgement.detail, "7 of 8 GPUs (learned), missing 0000:65:00.0");
        let on_bus =
            |driver: Option<&str>| PciGpu { address: "0000:65:00.0".into(), driver: driver.map(str::to_string) };
        for (pci, wanted) in [
            (vec![], "missing 0000:65:00.0 (not on the PCI bus)"),
            (vec![on_bus(None)], "missing 0000:65:00.0 (on the PCI bus, without a driver)"),
            (vec![on_bus(Some("amdgpu"))], "missing 0000:65:00.0 (on the PCI bus, bound to amdgpu)"),
        ] {
            let detail =
                judge(ToolName::RocmSmi, seven, Known { pci: Some(&pci), ..known }, Bounds::default()).judgement.detail;
            assert!(detail.ends_with(wanted), "{detail}");
        }
    }

    #[test]
    fn a_driver_that_holds_gpus_is_loaded_whatever_the_tool_says() {
        let output = Output {
            stdout: b"",
            stderr: b"ERROR:root:Driver not initialized (amdgpu not found in modules)",
            exit: Exit::Status(0),
        };
        let bound = [PciGpu { address: "0000:05:00.0".into(), driver: Some("amdgpu".into()) }];
        assert_eq!(reason(ToolName::RocmSmi, Ending::Ended(output), eight()), Some("driver-not-loaded"));
        let known = Known { pci: Some(&bound), ..eight() };
        assert_eq!(reason(ToolName::RocmSmi, Ending::Ended(output), known), Some("own-trouble"));
    }

    #[test]
    fn no_gpu_at_all_is_missing_unless_none_is_expected() {
        let none = ended(r#"{"system": {"Driver version": "6.10.5"}}"#, Exit::Status(0));
        assert_eq!(reason(ToolName::RocmSmi, none, Known::default()), Some("gpu-missing"));
        let zero = Known { expected: Some(Expected { gpus: 0, source: Source::Configuration }), ..Known::default() };
        assert_eq!(reason(ToolName::RocmSmi, none, zero), None);
    }

    #[test]
    fn partitions_are_counted_where_somebody_says_how_many() {
        let partitioned = ended(include_str!("../testdata/rocm-smi/partitioned.json"), Exit::Status(0));
        let wanted = |partitions| Known { expected_partitions: Some(partitions), ..eight() };
        assert_eq!(reason(ToolName::RocmSmi, partitioned, wanted(64)), None);
        assert_eq!(reason(ToolName::RocmSmi, partitioned, wanted(65)), Some("gpu-missing"));
        assert_eq!(reason(ToolName::RocmSmi, partitioned, eight()), None);
    }

    #[test]
    fn a_node_that_never_showed_a_sensor_is_not_a_dead_node() {
        let blind = ended(r#"{"card0": {"PCI Bus": "0000:05:00.0"}}"#, Exit::Status(0));
        let wanted = Known { sensors_wanted: true, ..Known::default() };
        assert_eq!(reason(ToolName::RocmSmi, blind, wanted), Some("own-trouble"));
        assert_eq!(reason(ToolName::RocmSmi, blind, Known::default()), None, "nobody asked for its sensors");
        let known = Known { passed_before: true, ..wanted };
        assert_eq!(reason(ToolName::RocmSmi, blind, known), Some("gpu-not-responding"));
    }

    #[test]
    fn an_exit_status_counts_only_where_the_output_says_nothing() {
        let healthy = include_str!("../testdata/rocm-smi/healthy.json");
        assert_eq!(reason(ToolName::RocmSmi, ended(healthy, Exit::Status(2)), eight()), None);
        assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Status(1)), eight()), Some("exit-status"));
        assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Signal(11)), eight()), Some("exit-status"));
        assert_eq!(reason(ToolName::RocmSmi, ended("", Exit::Status(0)), eight()), Some("unparsable"));
        assert_eq!(reason(ToolName::Iperf3, ended("", Exit::Status(1)), eight()), Some("own-trouble"));
    }

    #[test]
    fn a_transfer_below_the_threshold_is_slow_and_one_that_ran_out_of_time_is_too() {
        let slow = ended(include_str!("../testdata/iperf3/slow.json"), Exit::Status(0));
        assert_eq!(reason(ToolName::Iperf3, slow, eight()), Some("network-slow"));
        let stdout = include_str!("../testdata/iperf3/312-slow-until-sigterm.json").as_bytes();
        let output = Output { stdout, stderr: b"", exit: Exit::Signal(15) };
        assert_eq!(reason(ToolName::Iperf3, Ending::TimedOut(output), eight()), Some("network-slow"));
        let silent = Output { stdout: b"", ..output };
        assert_eq!(reason(ToolName::Iperf3, Ending::TimedOut(silent), eight()), Some("timeout"));
    }

    #[test]
    fn the_limit_itself_is_too_hot() {
        let stdout = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Temperature (Sensor junction) (C)": "105.0"}}"#;
        assert_eq!(
            reason(ToolName::RocmSmi, ended(stdout, Exit::Status(0)), Known::default()),
            Some("over-temperature")
        );
    }

    #[test]
    fn the_limit_of_the_device_counts_unless_another_is_set() {
        let gpu = |celsius: f64| {
            let document = format!(
                "[{{\"gpu\": 0, \"temperature\": {{\"hotspot\": {celsius}}}, \"limit\": {{\"slowdown_hotspot_temperature\": {{\"value\": 100, \"unit\": \"C\"}}}}}}]"
            );
            move |bounds: Bounds| {
                judge(ToolName::AmdSmi, ended(&document, Exit::Status(0)), Known::default(), bounds)
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
    fn memory_faults_have_reasons_of_their_own_and_retired_pages_are_none() {
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
}
