//! Requests to the Kubernetes API that the controller and the agent share: clients, guarded writes, and the objects that both
//! know. Imports neither of the two.

pub mod client;
pub mod evidence_maps;
pub mod records;
pub mod reimage_script;
pub mod request;
