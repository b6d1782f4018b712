//! What comes from outside: watches, alerts, the policy file, the Lease, the API server's time. Each fills the state and wakes
//! nodes; none reconciles a node.

pub mod api_time;
pub mod board;
pub mod lease;
pub mod policy_file;
pub mod poll;
pub mod watch;
pub mod webhook;
