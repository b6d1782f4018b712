//! What the exporter and the agent agree on, written once: file names, the pause and inventory files, the probe's answer.

pub mod inventory;
pub mod probe;
pub mod run_dir;
