//! Requests to the Kubernetes API that the controller and the agent share: clients, guarded writes,
//! common objects. Must not import either of the two.

pub mod about;
pub mod client;
pub mod evidence_maps;
pub mod records;
pub mod request;
pub mod scripts;
pub mod time;
