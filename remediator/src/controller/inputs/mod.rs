//! Inputs of the controller: watches, alerts, the policy file, the Lease, the API server's time.
//! They update the state and wake nodes; they never reconcile a node.

pub mod api_time;
pub mod board;
pub mod credentials;
pub mod lease;
pub mod policy_file;
pub mod poll;
pub mod watch;
pub mod webhook;
