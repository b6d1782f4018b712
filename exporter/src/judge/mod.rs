//! Pure: how a run ended and what was read -> a verdict with one reason and one sentence. No parsing, no I/O, no memory: what is
//! known from earlier runs comes in as [`Known`]. What only hints at our own trouble never becomes a fault of the node.

mod gpus;
mod transfer;

use crate::inventory::{Expected, Learned, PciGpu};
use crate::parse::{self, Exit, Output, Reading};
use crate::verdict::{Check, Facts, Fault, Judgement, ToolName, Trouble, Verdict};
use gpus::{judge_excerpt, judge_gpus};
use transfer::judge_transfer;

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
    /// `None`: the device's own critical value, and [`gpus::HOT_CELSIUS`] where the tool does not say it.
    pub max_junction_celsius: Option<f64>,
    pub min_download_bits_per_second: f64,
    /// 0 accepts any, and a tool that measures no upload.
    pub min_upload_bits_per_second: f64,
    pub max_latency_seconds: Option<f64>,
    pub max_loss_ratio: f64,
}

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
mod tests;
