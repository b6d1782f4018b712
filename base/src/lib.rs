//! The ground floor: what the exporter and the remediator share. A thing is here only when both use it now, and nothing of
//! Kubernetes is.

pub mod clock;
pub mod contract;
pub mod door;
pub mod golden;
pub mod log;
pub mod words;

#[cfg(feature = "schema")]
#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;
