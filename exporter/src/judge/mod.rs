//! Judgement of a run: from its ending and its parsed output to a verdict with one reason and one
//! sentence. Pure: no I/O and no state; results of earlier runs come in as [`Known`]. What may be a
//! problem of the exporter never becomes a fault of the node.

mod gpus;
mod transfer;

use ossci_base::contract::inventory::Inventory;

use crate::ending::{Ending, Exit, Streams};
use crate::facts::{Facts, Transfer};
use crate::inventory::{self, DRIVER, Expected, PciGpu};
use crate::parse::{self, Output, Parsed, Reading, ToolName};
use crate::verdict::{Check, Fault, Judgement, Trouble, Verdict};
use gpus::{judge_excerpt, judge_gpus};
use transfer::judge_transfer;

/// What is known about this node from outside this run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    pub expected: Option<Expected>,
    /// Number of all partitions together, from the configuration only: an administrator chooses and
    /// changes it.
    pub expected_partitions: Option<u32>,
    /// The GPUs that this check has learned or is about to learn, to name those that are missing.
    pub seen: Option<&'a Inventory>,
    /// The addresses of the GPUs of this node, as far as any check knows them.
    pub addresses: Option<&'a [String]>,
    /// How many GPUs the last passed runs have shown, while nothing is learned.
    pub suspected: Option<u32>,
    /// This tool has passed on this node before, on this boot or an earlier one.
    pub passed_before: bool,
    /// It has passed since the exporter read its configuration, so the exporter looks in the right
    /// place.
    pub passed_recently: bool,
    /// Whether the run requested temperature and power, so that an output without fields for them
    /// hides something.
    pub sensors_wanted: bool,
    /// Another check judges the same GPUs: only what this one says of their memory counts.
    pub beside: bool,
    /// The GPUs on the PCI bus; `None` if sysfs was not or could not be read.
    pub pci: Option<&'a [PciGpu]>,
}

/// Limits from the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// `None`: the temperature at which the device switches itself off, or [`gpus::HOT_CELSIUS`] if
    /// neither the tool nor the driver reports one.
    pub max_junction_celsius: Option<f64>,
    pub min_download_bits_per_second: f64,
    /// 0 accepts any, and a tool that measures no upload.
    pub min_upload_bits_per_second: f64,
    pub max_latency_seconds: Option<f64>,
    pub max_loss_ratio: f64,
}

impl Default for Bounds {
    /// Limits that a working link of a GPU node meets by far, even under load.
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

/// Everything that a run found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub judgement: Judgement,
    pub facts: Option<Facts>,
    pub not_understood: Vec<String>,
    /// Whether the tool was started and allowed to look.
    pub tool_ran: bool,
}

impl Finding {
    /// Combines a judgement with the usable facts of the output. After a timeout, only a network
    /// test that reports its progress has any.
    pub fn new(judgement: Judgement, ending: &Ending, parsed: Option<Parsed>) -> Self {
        let tool_ran = match ending {
            Ending::NotFound(_) | Ending::NotStarted(_) => false,
            Ending::Exited(exit, streams) if never_ran(*exit, streams).is_some() => false,
            _ => !matches!(parsed.as_ref().map(|parsed| &parsed.reading), Some(Reading::Denied(_))),
        };
        let (facts, not_understood) = match (ending, parsed) {
            (Ending::TimedOut(..), Some(parsed)) => {
                (unfinished(&parsed.reading).cloned().map(Facts::Network), Vec::new())
            }
            (_, Some(Parsed { reading, not_understood })) => (reading.into_facts(), not_understood),
            (_, None) => (None, Vec::new()),
        };
        Self { judgement, facts, not_understood, tool_ran }
    }
}

/// Parses and judges one run.
pub fn find(tool: ToolName, ending: &Ending, known: Known<'_>, bounds: Bounds) -> Finding {
    let parsed = Output::of(ending).map(|output| parse::parse(tool, output));
    let judgement = judge(tool, ending, parsed.as_ref(), known, bounds);
    Finding::new(judgement, ending, parsed)
}

/// Judges one run of `tool`. `parsed` is its parsed output, if it left one.
pub fn judge(tool: ToolName, ending: &Ending, parsed: Option<&Parsed>, known: Known<'_>, bounds: Bounds) -> Judgement {
    match ending {
        Ending::Exited(exit, streams) => match never_ran(*exit, streams) {
            Some(ending) => judge(tool, &ending, None, known, bounds),
            None => judge_output(tool, Output::new(*exit, streams), parsed, known, bounds),
        },
        Ending::TimedOut(..) => judge_timeout(tool, parsed, bounds),
        Ending::OutputLimit => failed(Fault::OutputLimit, "printed more than the limit and was ended"),
        Ending::Hung(what) => failed(Fault::Hung, what),
        // A network tool comes with the exporter. A GPU tool that this exporter has never found may
        // be where the exporter does not look.
        Ending::NotFound(what) if known.passed_recently && tool.check() != Check::Network => {
            failed(Fault::MissingTool, what)
        }
        Ending::NotFound(what) | Ending::NotStarted(what) => own_trouble(what),
    }
}

/// Returns the judgement that counts: a check that never passed on this node cannot fail, because
/// the node may be no GPU node, or the tool may not fit. Where the number of GPUs was configured or
/// labelled, somebody has said that they are there.
///
/// A check beside another one fails by what only it can see; the rest is for the other to say.
///
/// Nor does a check of the GPUs fail on a node whose GPUs have another driver than `amdgpu`:
/// virtual machines use them.
pub fn believed(judgement: Judgement, check: Check, known: Known<'_>) -> Judgement {
    let Verdict::Failed(fault) = judgement.verdict else { return judgement };
    let but = |reason: &str| own_trouble(format!("{}, but {reason}: {}", fault.as_str(), judgement.detail));
    let set = known.expected.is_some_and(Expected::is_set);
    if check != Check::Network && is_lent_out(known) {
        but(&format!("the GPUs have another driver than {DRIVER}"))
    } else if known.beside && !matches!(fault, Fault::BadPages | Fault::EccUncorrectable) {
        but("this check only reads the memory's health")
    } else if known.passed_before || set && check != Check::Network {
        judgement
    } else {
        but("this check has never passed on this node")
    }
}

/// Whether virtual machines have the GPUs: some have another driver than `amdgpu`, none has that
/// one, and none of those that were learned is gone from the bus.
fn is_lent_out(known: Known<'_>) -> bool {
    let pci = known.pci.unwrap_or_default();
    let ours = pci.iter().any(|gpu| gpu.driver.as_deref() == Some(DRIVER));
    let on_bus = |address: &String| pci.iter().any(|gpu| gpu.address == *address);
    let learned = known.addresses.filter(|addresses| !addresses.is_empty());
    !ours
        && pci.iter().any(PciGpu::is_foreign)
        && learned
            .is_none_or(|all| all.iter().all(on_bus) && all.iter().any(|address| inventory::is_lent(address, pci)))
}

/// Detects the statuses by which chroot(1), env(1) and the shell report that they did not start the
/// tool, and the linker that a library is missing. The tool's file was there before the start, so
/// this is no missing tool: its interpreter or a part of it is missing.
fn never_ran(exit: Exit, streams: &Streams) -> Option<Ending> {
    let said = || std::str::from_utf8(&streams.stderr).unwrap_or_default().trim().to_string();
    match exit {
        _ if !streams.stdout.is_empty() => None,
        Exit::Status(125..=127) => Some(Ending::NotStarted(said())),
        _ => None,
    }
}

fn judge_output(
    tool: ToolName,
    output: Output<'_>,
    parsed: Option<&Parsed>,
    known: Known<'_>,
    bounds: Bounds,
) -> Judgement {
    let Some(parsed) = parsed else { return judge_silence(tool, output) };
    match &parsed.reading {
        Reading::Whole(Facts::Gpus(gpus)) => judge_gpus(tool, gpus, says_low_power(output), known, bounds),
        Reading::Excerpt(Facts::Gpus(gpus)) => judge_excerpt(gpus, bounds),
        Reading::Whole(Facts::Network(transfer))
        | Reading::Excerpt(Facts::Network(transfer))
        | Reading::Unfinished(Facts::Network(transfer)) => judge_transfer(transfer, bounds),
        _ if was_killed(output.exit) => own_trouble(format!("ended from outside ({})", exit(output.exit))),
        Reading::Unfinished(Facts::Gpus(_)) | Reading::Cut => {
            failed(Fault::Unparsable, format!("the output stops before its end ({})", exit(output.exit)))
        }
        Reading::Nothing => judge_silence(tool, output),
        Reading::DriverNotLoaded(said) => judge_driver(said, known),
        // The device was there for this exporter, and is gone or refuses.
        Reading::Denied(said) if known.passed_recently && said.contains(KFD) => failed(Fault::DriverNotLoaded, said),
        Reading::Denied(said) | Reading::NeverAsked(said) => own_trouble(said),
        Reading::ToolFailed(said) => failed(Fault::ExitStatus, format!("{said} ({})", exit(output.exit))),
        Reading::Unreachable(said) => failed(Fault::NetworkUnreachable, said),
        Reading::FarEnd(said) => target_trouble(said),
        Reading::Foreign(said) => own_trouble(format!("not understood: {said}")),
    }
}

/// The driver's device for compute programs.
const KFD: &str = "/dev/kfd";

/// The tool's warning that a device sleeps, in all releases.
fn says_low_power(output: Output<'_>) -> bool {
    [output.stdout, output.stderr].iter().any(|text| parse::text::plain(text).contains("low-power state"))
}

/// A tool that does not find the driver although GPUs are bound to it looks in the wrong place: the
/// driver is compiled into the kernel, or /sys/module is hidden.
fn judge_driver(said: &str, known: Known<'_>) -> Judgement {
    let bound = known.pci.unwrap_or_default().iter().filter(|gpu| gpu.driver.as_deref() == Some(DRIVER)).count();
    match bound {
        0 => failed(Fault::DriverNotLoaded, said),
        bound => own_trouble(format!("{said}; but {bound} GPUs are bound to {DRIVER}")),
    }
}

/// Judges a run that was ended at its deadline: a timeout, except for a network test that reports
/// its progress.
fn judge_timeout(tool: ToolName, parsed: Option<&Parsed>, bounds: Bounds) -> Judgement {
    let timeout = || failed(Fault::Timeout, "did not end within its time and was ended");
    if tool.check() != Check::Network {
        return timeout();
    }
    match parsed.map(|parsed| &parsed.reading) {
        Some(Reading::FarEnd(said)) => target_trouble(said),
        Some(Reading::Unreachable(said)) => failed(Fault::NetworkUnreachable, said),
        Some(reading) => match unfinished(reading) {
            Some(transfer) => {
                let (bytes, seconds) = (transfer.bytes.unwrap_or_default(), transfer.seconds.unwrap_or_default());
                match judge_transfer(transfer, bounds) {
                    Judgement { verdict: Verdict::Passed, .. } => {
                        failed(Fault::NetworkSlow, format!("only {bytes} bytes in {seconds:.1} s"))
                    }
                    slower => slower,
                }
            }
            None => timeout(),
        },
        None => timeout(),
    }
}

/// Returns what a network test had received when it was ended; `None` if it received nothing.
fn unfinished(reading: &Reading) -> Option<&Transfer> {
    match reading {
        Reading::Unfinished(Facts::Network(transfer)) => {
            Some(transfer).filter(|transfer| transfer.bytes.is_some_and(|bytes| bytes > 0.0))
        }
        _ => None,
    }
}

/// Signals that no crash raises: HUP, INT, QUIT, KILL and TERM.
const FROM_OUTSIDE: [i32; 5] = [1, 2, 3, 9, 15];

/// Whether a signal from outside ended the tool, or what its shell script had started: a person, a
/// service manager, or the kernel when the memory was used up. A run that the exporter ended never
/// comes here.
fn was_killed(exit: Exit) -> bool {
    match exit {
        Exit::Signal(signal) => FROM_OUTSIDE.contains(&signal),
        Exit::Status(status) => FROM_OUTSIDE.contains(&(status - 128)),
    }
}

/// Judges an output without any result. A signal is a crash of the tool. iperf3 always prints a
/// document, so its silence is a problem of the exporter.
fn judge_silence(tool: ToolName, output: Output<'_>) -> Judgement {
    let mut silence = format!("no result ({})", exit(output.exit));
    let said = parse::text::last_words(output.stderr);
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

fn target_trouble(detail: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Unknown(Trouble::TargetTrouble), detail: detail.into() }
}

#[cfg(test)]
mod tests;
