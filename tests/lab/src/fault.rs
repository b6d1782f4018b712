//! The faults of a simulated node, and how long each lasts. Pure; `node_dir` stores them in a file.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A fault of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// One of eight GPUs is missing: both GPU tools show seven.
    GpuMissing,
    /// All GPUs are present, but one does not respond.
    GpuNotResponding,
    /// The GPU tools hang.
    Hung,
    /// The GPU tools need most of their time for an answer, as they do on a loaded host.
    SlowTools,
    /// The network test measures a small fraction of the usual speed.
    SlowNetwork,
    /// No server of the network test answers this node.
    PathDead,
    /// The memory of a GPU lost data, which only amd-smi shows.
    EccErrors,
    /// Virtual machines have all GPUs: another driver than `amdgpu` has them, and no tool shows
    /// one.
    Lent,
    /// A machine that shuts down does not boot again.
    StaysDark,
    /// A reimage hangs.
    ReimageHangs,
    /// A reimage fails.
    ReimageFails,
    /// A reimage script changes nothing and asks for another try.
    ReimagePostponed,
    /// The exporter does not start any more, as if its image could not be pulled.
    NoExporter,
    /// A program on the node holds an inhibitor lock: the host refuses each reboot.
    Inhibited,
    /// A crash kernel is loaded: a kernel that panics writes a dump first.
    CrashKernel,
}

/// The event that removes a fault. A person can remove each fault by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    Reboot,
    /// A reimage, once the following reboot has made it effective.
    Reimage,
    Forever,
    /// Two runs of the tool that shows the fault: two strikes, and no third.
    TwoRuns,
    #[value(skip)]
    OneRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    pub fault: Fault,
    pub until: Until,
}

/// All faults of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Faults(Vec<Broken>);

impl Faults {
    pub fn has(&self, fault: Fault) -> bool {
        self.0.iter().any(|broken| broken.fault == fault)
    }

    /// The kernel log of these faults, one line each.
    pub fn kernel_log(&self) -> String {
        let line = |broken: &Broken| match broken.fault {
            Fault::GpuMissing => "amdgpu 0000:c5:00.0: device lost from bus\n",
            Fault::GpuNotResponding => "amdgpu 0000:c5:00.0: SMU is not responding\n",
            Fault::Hung => "amdgpu 0000:c5:00.0: MES failed to respond, waiting\n",
            Fault::SlowNetwork => "mlx5_core 0000:9f:00.0: link speed reduced\n",
            Fault::EccErrors => "amdgpu 0000:c5:00.0: 1 uncorrectable hardware errors detected in umc block\n",
            // These leave no trace in the kernel log.
            Fault::SlowTools
            | Fault::PathDead
            | Fault::Lent
            | Fault::StaysDark
            | Fault::ReimageHangs
            | Fault::ReimageFails
            | Fault::ReimagePostponed
            | Fault::NoExporter
            | Fault::Inhibited
            | Fault::CrashKernel => "",
        };
        self.0.iter().map(line).collect()
    }

    /// Adds a fault. The same fault again replaces its duration.
    pub fn with(mut self, broken: Broken) -> Self {
        self.0.retain(|other| other.fault != broken.fault);
        self.0.push(broken);
        self
    }

    /// The faults that remain after a reboot.
    pub fn after_reboot(mut self, reimaged: bool) -> Self {
        self.0.retain(|broken| match broken.until {
            Until::Reboot => false,
            Until::Reimage => !reimaged,
            Until::Forever | Until::TwoRuns | Until::OneRun => true,
        });
        self
    }

    /// The faults that remain after a run of the tool that shows these faults.
    pub fn after_run(mut self, shown: &[Fault]) -> Self {
        self.0.retain(|broken| broken.until != Until::OneRun || !shown.contains(&broken.fault));
        for broken in self.0.iter_mut().filter(|broken| broken.until == Until::TwoRuns) {
            if shown.contains(&broken.fault) {
                broken.until = Until::OneRun;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(until: Until) -> Faults {
        Faults::default().with(Broken { fault: Fault::GpuMissing, until })
    }

    #[test]
    fn each_fault_lasts_until_its_event() {
        for (until, reimaged, mended) in [
            (Until::Reboot, false, true),
            (Until::Reboot, true, true),
            (Until::Reimage, false, false),
            (Until::Reimage, true, true),
            (Until::Forever, true, false),
        ] {
            let after = broken(until).after_reboot(reimaged);
            assert_eq!(!after.has(Fault::GpuMissing), mended, "{until:?}, reimaged: {reimaged}");
        }
    }

    #[test]
    fn a_two_runs_fault_shows_in_two_runs_of_its_tool() {
        let runs = |shown: &[Fault], times: usize| {
            (0..times).fold(broken(Until::TwoRuns), |faults, _| faults.after_run(shown)).has(Fault::GpuMissing)
        };
        let own = [Fault::GpuMissing];
        assert_eq!([runs(&own, 1), runs(&own, 2), runs(&[Fault::SlowNetwork], 2)], [true, false, true]);
    }

    #[test]
    fn the_same_fault_again_replaces_its_duration() {
        let faults = broken(Until::Forever).with(Broken { fault: Fault::GpuMissing, until: Until::Reboot });
        assert!(!faults.after_reboot(false).has(Fault::GpuMissing));
    }
}
