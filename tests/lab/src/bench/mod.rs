//! Benchmarks: one line per figure, with the baseline's figure of the same run and the target.

pub mod agents;
pub mod calls;
pub mod dashboards;
pub mod fleet;
pub mod mail;
pub mod remediator;
pub mod routing;
pub mod rules;
mod used;

/// One figure.
#[derive(Debug)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// The baseline, from the same run.
    pub peer: f64,
    /// The largest allowed ratio.
    pub target: f64,
}

impl Figure {
    /// Prints the line; returns whether the target was met.
    pub fn print(&self) -> bool {
        let ratio = self.value / self.peer;
        let met = ratio <= self.target;
        println!(
            "{:<44} {:>10.4} {:<4} peer {:>10.4}  ratio {:>7.4}  target {:>6.3}  {}",
            self.name,
            self.value,
            self.unit,
            self.peer,
            ratio,
            self.target,
            if met { "met" } else { "MISSED" }
        );
        met
    }
}
