//! State of this node: in memory, in the state directory, and from the kernel and the agent.

pub mod boot;
pub mod errand;
pub mod fabric;
pub mod ledger;
pub mod memory;
pub mod run_dir;
pub mod state_file;
pub mod sysfs;
