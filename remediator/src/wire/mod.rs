//! The forms in which things are written down and sent: serde types, and their conversion to what the core knows.

pub mod alertmanager;
pub mod budget;
pub mod merge;
pub mod node_repair;
pub mod policy_file;
pub mod slim_node;
