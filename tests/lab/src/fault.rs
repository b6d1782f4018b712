//! What is broken on a simulated node, and until when. Pure; `node_dir` keeps it in a file.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A way in which a node can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// One of eight GPUs has gone: both GPU tools see seven.
    GpuMissing,
    /// All GPUs are there, one does not answer.
    GpuNotResponding,
    /// The GPU tools never end.
    Hung,
    /// The network test finds a small fraction of the speed.
    SlowNetwork,
    /// A machine that goes down does not come up again.
    StaysDark,
    /// A reimage does not come to its end.
    ReimageHangs,
    /// A reimage comes to nothing.
    ReimageFails,
    /// The exporter is not started any more, as when its image cannot be had.
    NoExporter,
}

/// What mends a fault. A person can mend each of them by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    Reboot,
    /// A reimage, once the reboot after it has made it effective.
    Reimage,
    Forever,
    /// Two runs of the tool that shows it: two strikes, and no third.
    TwoRuns,
    #[value(skip)]
    OneRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    pub fault: Fault,
    pub until: Until,
}

/// Everything that is broken on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Faults(Vec<Broken>);

impl Faults {
    pub fn has(&self, fault: Fault) -> bool {
        self.0.iter().any(|broken| broken.fault == fault)
    }

    /// What the kernel says of them, one line each.
    pub fn kernel_log(&self) -> String {
        let line = |broken: &Broken| match broken.fault {
            Fault::GpuMissing => "amdgpu 0000:c5:00.0: device lost from bus\n",
            Fault::GpuNotResponding => "amdgpu 0000:c5:00.0: SMU is not responding\n",
            Fault::Hung => "amdgpu 0000:c5:00.0: MES failed to respond, waiting\n",
            Fault::SlowNetwork => "mlx5_core 0000:9f:00.0: link speed reduced\n",
            // Of these the kernel knows nothing.
            Fault::StaysDark | Fault::ReimageHangs | Fault::ReimageFails | Fault::NoExporter => "",
        };
        self.0.iter().map(line).collect()
    }

    /// Breaks it; the same fault again changes its end.
    pub fn with(mut self, broken: Broken) -> Self {
        self.0.retain(|other| other.fault != broken.fault);
        self.0.push(broken);
        self
    }

    /// What is still broken after a reboot.
    pub fn after_reboot(mut self, reimaged: bool) -> Self {
        self.0.retain(|broken| match broken.until {
            Until::Reboot => false,
            Until::Reimage => !reimaged,
            Until::Forever | Until::TwoRuns | Until::OneRun => true,
        });
        self
    }

    /// What is still broken after a run of the tool that shows these faults.
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
    fn each_fault_lasts_as_long_as_it_says() {
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
    fn a_fault_of_two_runs_shows_in_two_runs_of_its_own_tool() {
        let runs = |shown: &[Fault], times: usize| {
            (0..times).fold(broken(Until::TwoRuns), |faults, _| faults.after_run(shown)).has(Fault::GpuMissing)
        };
        let own = [Fault::GpuMissing];
        assert_eq!([runs(&own, 1), runs(&own, 2), runs(&[Fault::SlowNetwork], 2)], [true, false, true]);
    }

    #[test]
    fn the_same_fault_again_changes_its_end() {
        let faults = broken(Until::Forever).with(Broken { fault: Fault::GpuMissing, until: Until::Reboot });
        assert!(!faults.after_reboot(false).has(Fault::GpuMissing));
    }
}
