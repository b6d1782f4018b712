//! Execution of the checks: when and why they run, probes, and the active configuration. Judges
//! nothing.

mod calls;
pub mod checker;
pub mod engine;
pub mod node;
pub mod probe;
pub mod reload;
mod servers;
mod turn;
