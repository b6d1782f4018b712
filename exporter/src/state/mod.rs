//! What is known of this node: in memory, in the state directory, and as the kernel and the agent show it.

pub mod boot;
pub mod errand;
pub mod ledger;
pub mod memory;
pub mod run_dir;
pub mod state_file;
pub mod sysfs;
