//! Stand-ins for the tools of a GPU node: they print recorded outputs that match the node's faults.
//!
//! They contain no checks or verdicts: the real exporter judges their output.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fault::{Fault, Faults};
use crate::node_dir::NodeDir;

/// The behaviour of a tool.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Print(&'static str),
    Hang,
}

macro_rules! recorded {
    ($file:literal) => {
        include_str!(concat!("../../../exporter/testdata/", $file))
    };
}

pub fn run(tool: &str, node: &NodeDir) -> Result<()> {
    let faults = node.faults()?;
    let act = act(tool, &faults)?;
    let after = faults.clone().after_run(counted(tool));
    if after != faults {
        node.set_faults(&after)?;
    }
    if tool != "iperf3" && faults.has(Fault::SlowTools) {
        std::thread::sleep(SLOW);
    }
    match act {
        Act::Print(text) => std::io::stdout().write_all(text.as_bytes()).context("printing"),
        Act::Hang => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
    }
}

/// The faults whose runs this tool counts, if several tools show the fault.
fn counted(tool: &str) -> &'static [Fault] {
    match tool {
        "rocm-smi" => &[Fault::GpuMissing, Fault::GpuNotResponding, Fault::Hung],
        "iperf3" => &[Fault::SlowNetwork, Fault::PathDead],
        _ => &[],
    }
}

/// How long a slow tool takes; the lab's exporters wait for 1.8 s.
const SLOW: Duration = Duration::from_secs(1);

/// What iperf3 prints when no server answers.
const UNREACHABLE: &str = "{\"error\": \"unable to connect to server: Connection timed out\"}\n";

fn act(tool: &str, faults: &Faults) -> Result<Act> {
    Ok(match tool {
        "rocm-smi" | "rocminfo" if faults.has(Fault::Hung) => Act::Hang,
        "rocm-smi" if faults.has(Fault::Lent) => Act::Print(recorded!("rocm-smi/zero-gpus.json")),
        "rocm-smi" if faults.has(Fault::GpuMissing) => Act::Print(recorded!("rocm-smi/seven-of-eight.json")),
        "rocm-smi" if faults.has(Fault::GpuNotResponding) => Act::Print(recorded!("rocm-smi/gpu-not-responding.json")),
        "rocm-smi" => Act::Print(recorded!("rocm-smi/healthy.json")),
        "amd-smi" if faults.has(Fault::EccErrors) => Act::Print(recorded!("amd-smi/uncorrectable.json")),
        "amd-smi" => Act::Print(recorded!("amd-smi/health.json")),
        "rocminfo" if faults.has(Fault::Lent) => Act::Print(recorded!("rocminfo/cpu-only.txt")),
        "rocminfo" if faults.has(Fault::GpuMissing) => Act::Print(recorded!("rocminfo/seven-of-eight.txt")),
        "rocminfo" => Act::Print(recorded!("rocminfo/healthy.txt")),
        "iperf3" if faults.has(Fault::SlowNetwork) => Act::Print(recorded!("iperf3/slow.json")),
        "iperf3" if faults.has(Fault::PathDead) => Act::Print(UNREACHABLE),
        "iperf3" => Act::Print(recorded!("iperf3/fast.json")),
        _ => bail!("no stand-in for {tool}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Broken, Until};
    use crate::node_dir::{INSTALLABLE, TOOLS};

    #[test]
    fn every_fault_shows_in_its_own_tools_and_in_no_other() {
        let tools = [TOOLS[0], TOOLS[1], TOOLS[2], INSTALLABLE];
        let healthy = tools.map(|tool| act(tool, &Faults::default()).unwrap());
        for (fault, shows) in [
            (Fault::GpuMissing, [true, true, false, false]),
            (Fault::GpuNotResponding, [true, false, false, false]),
            (Fault::Hung, [true, true, false, false]),
            (Fault::SlowNetwork, [false, false, true, false]),
            (Fault::PathDead, [false, false, true, false]),
            (Fault::EccErrors, [false, false, false, true]),
            (Fault::Lent, [true, true, false, false]),
        ] {
            let faults = Faults::default().with(Broken { fault, until: Until::Forever });
            let differs: Vec<bool> =
                tools.iter().zip(&healthy).map(|(tool, healthy)| act(tool, &faults).unwrap() != *healthy).collect();
            assert_eq!(differs, shows, "{fault:?}");
        }
    }
}
