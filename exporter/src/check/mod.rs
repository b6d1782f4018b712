//! When a check runs and who asked for it: the tasks of the checks, the probe, and their configuration.

pub mod checker;
pub mod engine;
pub mod node;
pub mod probe;
pub mod reload;
