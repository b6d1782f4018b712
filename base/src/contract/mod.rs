//! Interface between the exporter and the agent: file names, the pause and inventory files, the
//! probe's response.

pub mod inventory;
pub mod probe;
pub mod run_dir;
