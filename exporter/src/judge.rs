//! Pure: how a run ended and what was read -> a verdict with one reason and one sentence. No parsing, no I/O, no memory: what is
//! known from earlier runs comes in as [`Known`]. What only hints at our own trouble never becomes a fault of the node.

use crate::inventory::{self, Expected, Learned};
use crate::parse::{self, Exit, Output, Reading};
use crate::verdict::{Check, Facts, Fault, Gpu, Judgement, Transfer, Trouble, Verdict};

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
    pub learned: Option<&'a Learned>,
    /// This tool has passed on this node before, on this boot or an earlier one.
    pub passed_before: bool,
}

/// Limits out of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub max_junction_celsius: f64,
    pub min_download_bits_per_second: f64,
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

/// Judges one run of `check`.
pub fn judge(check: Check, ending: Ending<'_>, known: Known<'_>, bounds: Bounds) -> Finding {
    match ending {
        Ending::Ended(output) => match never_ran(output) {
            Some(ending) => judge(check, ending, known, bounds),
            None => judge_output(check, output, known, bounds),
        },
        Ending::TimedOut(output) => judge_timeout(check, output, bounds),
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

fn judge_output(check: Check, output: Output<'_>, known: Known<'_>, bounds: Bounds) -> Finding {
    let parsed = parse::parse(check, output);
    let (judgement, facts) = match parsed.reading {
        Reading::Whole(Facts::Gpus(gpus)) => (judge_gpus(check, &gpus, known, bounds), Some(Facts::Gpus(gpus))),
        Reading::Whole(Facts::Network(transfer)) | Reading::Unfinished(Facts::Network(transfer)) => {
            (judge_transfer(&transfer, bounds), Some(Facts::Network(transfer)))
        }
        Reading::Unfinished(Facts::Gpus(_)) | Reading::Cut => {
            (failed(Fault::Unparsable, format!("the output stops before its end ({})", exit(output.exit))), None)
        }
        Reading::Nothing => (judge_silence(check, output), None),
        Reading::DriverNotLoaded(said) => (failed(Fault::DriverNotLoaded, said), None),
        Reading::Denied(said) => (own_trouble(said), None),
        Reading::ToolFailed(said) => (failed(Fault::ExitStatus, format!("{said} ({})", exit(output.exit))), None),
        Reading::Unreachable(said) => (failed(Fault::NetworkFailed, said), None),
        Reading::FarEnd(said) => (Judgement { verdict: Verdict::Unknown(Trouble::TargetTrouble), detail: said }, None),
        Reading::Foreign(said) => (own_trouble(format!("not understood: {said}")), None),
    };
    Finding { judgement, facts, not_understood: parsed.not_understood }
}

/// A run that we ended is a timeout, but for a network test that says itself how far it got.
fn judge_timeout(check: Check, output: Output<'_>, bounds: Bounds) -> Finding {
    let timeout = || Finding::bare(failed(Fault::Timeout, "did not end within its time and was ended"));
    if check != Check::Network {
        return timeout();
    }
    match parse::parse(check, output).reading {
        Reading::Unfinished(Facts::Network(transfer)) if transfer.bytes > 0.0 => {
            let slow = format!("only {} bytes in {:.1} s", transfer.bytes, transfer.seconds);
            let judgement = match judge_transfer(&transfer, bounds) {
                Judgement { verdict: Verdict::Passed, .. } => failed(Fault::NetworkSlow, slow),
                slower => slower,
            };
            Finding { judgement, facts: Some(Facts::Network(transfer)), not_understood: Vec::new() }
        }
        Reading::FarEnd(said) => {
            Finding::bare(Judgement { verdict: Verdict::Unknown(Trouble::TargetTrouble), detail: said })
        }
        _ => timeout(),
    }
}

/// An output without any result. A signal is the tool's crash; iperf3 prints a document whatever happens, so its silence is ours.
fn judge_silence(check: Check, output: Output<'_>) -> Judgement {
    let mut silence = format!("no result ({})", exit(output.exit));
    let said = parse::last_words(output.stderr);
    if !said.is_empty() {
        silence = format!("{silence}: {said}");
    }
    match (check, output.exit) {
        (Check::RocmSmi | Check::Rocminfo, Exit::Status(0)) => failed(Fault::Unparsable, silence),
        (Check::Network, Exit::Status(_)) => own_trouble(silence),
        _ => failed(Fault::ExitStatus, silence),
    }
}

fn judge_gpus(check: Check, gpus: &[Gpu], known: Known<'_>, bounds: Bounds) -> Judgement {
    let found = u32::try_from(gpus.len()).unwrap_or(u32::MAX);
    let wanted = known.expected.map(|expected| expected.gpus);
    // A node that carries this exporter has a GPU, unless somebody says 0.
    if found < wanted.unwrap_or(1) {
        return failed(Fault::GpuMissing, missing(found, gpus, known));
    }
    if check == Check::RocmSmi {
        let dead: Vec<String> = gpus.iter().enumerate().filter(|(_, gpu)| !gpu.responds()).map(name).collect();
        // Where no GPU ever showed a sensor the sensors are hidden from us, or of a kind that this tool cannot read.
        if !dead.is_empty() && dead.len() == gpus.len() && !known.passed_before {
            return own_trouble("no GPU shows a temperature or a power, and none ever did on this node");
        }
        if !dead.is_empty() {
            return failed(
                Fault::GpuNotResponding,
                format!("{} of {found} GPUs without temperature and power: {}", dead.len(), dead.join(", ")),
            );
        }
    }
    let hot: Vec<String> = gpus
        .iter()
        .enumerate()
        .filter_map(|(index, gpu)| {
            let celsius = gpu.temperature_celsius.junction?;
            (celsius >= bounds.max_junction_celsius).then(|| format!("{} at {celsius} C", name((index, gpu))))
        })
        .collect();
    if !hot.is_empty() {
        return failed(
            Fault::OverTemperature,
            format!("junction at or above {} C: {}", bounds.max_junction_celsius, hot.join(", ")),
        );
    }
    passed(format!("{found} GPUs"))
}

fn missing(found: u32, gpus: &[Gpu], known: Known<'_>) -> String {
    let Some(expected) = known.expected else {
        return "no GPU".to_string();
    };
    let count = format!("{found} of {} GPUs ({})", expected.gpus, expected.source.as_str());
    match known.learned.map(|learned| inventory::missing(learned, gpus)).filter(|gone| !gone.is_empty()) {
        Some(gone) => format!("{count}, missing {}", gone.join(", ")),
        None => count,
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
    let speed = transfer.download_bits_per_second;
    if speed < bounds.min_download_bits_per_second {
        let least = megabits(bounds.min_download_bits_per_second);
        return failed(Fault::NetworkSlow, format!("download {}, at least {least} is wanted", megabits(speed)));
    }
    passed(format!("download {}", megabits(speed)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Source;

    const BOUNDS: Bounds = Bounds { max_junction_celsius: 105.0, min_download_bits_per_second: 1e8 };

    fn eight() -> Known<'static> {
        Known { expected: Some(Expected { gpus: 8, source: Source::Configuration }), ..Known::default() }
    }

    fn ended(stdout: &str, exit: Exit) -> Ending<'_> {
        Ending::Ended(Output { stdout: stdout.as_bytes(), stderr: b"", exit })
    }

    fn reason(check: Check, ending: Ending<'_>, known: Known<'_>) -> Option<&'static str> {
        judge(check, ending, known, BOUNDS).judgement.verdict.reason()
    }

    #[test]
    fn a_tool_that_never_passed_here_and_is_missing_is_our_trouble() {
        let known = Known { passed_before: false, ..eight() };
        assert_eq!(reason(Check::RocmSmi, Ending::NotFound("x"), known), Some("own-trouble"));
    }

    #[test]
    fn a_tool_that_passed_here_and_is_missing_is_a_strike() {
        let known = Known { passed_before: true, ..eight() };
        assert_eq!(reason(Check::RocmSmi, Ending::NotFound("x"), known), Some("missing-tool"));
        assert_eq!(reason(Check::RocmSmi, Ending::NotStarted("x"), known), Some("own-trouble"));
    }

    #[test]
    fn a_wrapper_that_finds_no_tool_is_no_exit_status_of_the_tool() {
        let known = Known { passed_before: true, ..eight() };
        assert_eq!(reason(Check::Rocminfo, ended("", Exit::Status(127)), known), Some("missing-tool"));
        assert_eq!(reason(Check::Rocminfo, ended("", Exit::Status(126)), known), Some("own-trouble"));
    }

    #[test]
    fn the_missing_gpu_is_named_when_it_was_learned() {
        let healthy = judge(
            Check::RocmSmi,
            ended(include_str!("../testdata/rocm-smi/healthy.json"), Exit::Status(0)),
            eight(),
            BOUNDS,
        );
        assert_eq!(healthy.judgement.verdict, Verdict::Passed);
        let gpus = healthy.facts.as_ref().and_then(Facts::gpus).unwrap();
        let learned = inventory::learn(Check::RocmSmi, None, gpus).unwrap();
        let known = Known {
            expected: inventory::expected(None, None, Some(&learned)),
            learned: Some(&learned),
            passed_before: true,
        };
        let seven = ended(include_str!("../testdata/rocm-smi/seven-of-eight.json"), Exit::Status(0));
        let judgement = judge(Check::RocmSmi, seven, known, BOUNDS).judgement;
        assert_eq!(judgement.verdict, Verdict::Failed(Fault::GpuMissing));
        assert_eq!(judgement.detail, "7 of 8 GPUs (learned), missing 0000:65:00.0");
    }

    #[test]
    fn no_gpu_at_all_is_missing_unless_none_is_expected() {
        let none = ended(r#"{"system": {"Driver version": "6.10.5"}}"#, Exit::Status(0));
        assert_eq!(reason(Check::RocmSmi, none, Known::default()), Some("gpu-missing"));
        let zero = Known { expected: Some(Expected { gpus: 0, source: Source::Configuration }), ..Known::default() };
        assert_eq!(reason(Check::RocmSmi, none, zero), None);
    }

    #[test]
    fn a_node_that_never_showed_a_sensor_is_not_a_dead_node() {
        let blind = ended(r#"{"card0": {"PCI Bus": "0000:05:00.0"}}"#, Exit::Status(0));
        assert_eq!(reason(Check::RocmSmi, blind, Known::default()), Some("own-trouble"));
        let known = Known { passed_before: true, ..Known::default() };
        assert_eq!(reason(Check::RocmSmi, blind, known), Some("gpu-not-responding"));
    }

    #[test]
    fn an_exit_status_counts_only_where_the_output_says_nothing() {
        let healthy = include_str!("../testdata/rocm-smi/healthy.json");
        assert_eq!(reason(Check::RocmSmi, ended(healthy, Exit::Status(2)), eight()), None);
        assert_eq!(reason(Check::RocmSmi, ended("", Exit::Status(1)), eight()), Some("exit-status"));
        assert_eq!(reason(Check::RocmSmi, ended("", Exit::Signal(11)), eight()), Some("exit-status"));
        assert_eq!(reason(Check::RocmSmi, ended("", Exit::Status(0)), eight()), Some("unparsable"));
        assert_eq!(reason(Check::Network, ended("", Exit::Status(1)), eight()), Some("own-trouble"));
    }

    #[test]
    fn a_transfer_below_the_threshold_is_slow_and_one_that_ran_out_of_time_is_too() {
        let slow = ended(include_str!("../testdata/iperf3/slow.json"), Exit::Status(0));
        assert_eq!(reason(Check::Network, slow, eight()), Some("network-slow"));
        let stdout = include_str!("../testdata/iperf3/312-slow-until-sigterm.json").as_bytes();
        let output = Output { stdout, stderr: b"", exit: Exit::Signal(15) };
        assert_eq!(reason(Check::Network, Ending::TimedOut(output), eight()), Some("network-slow"));
        let silent = Output { stdout: b"", ..output };
        assert_eq!(reason(Check::Network, Ending::TimedOut(silent), eight()), Some("timeout"));
    }

    #[test]
    fn the_limit_itself_is_too_hot() {
        let stdout = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Temperature (Sensor junction) (C)": "105.0"}}"#;
        assert_eq!(reason(Check::RocmSmi, ended(stdout, Exit::Status(0)), Known::default()), Some("over-temperature"));
    }
}
