//! The wire formats: serde types of stored and sent data, and their conversion to the core's types.

pub mod alertmanager;
pub mod bounds;
pub mod budget;
pub mod driver_owner;
pub mod merge;
pub mod node_repair;
pub mod policy_file;
pub mod slim_node;
