//! Code that the exporter and the remediator share. A module belongs here only if both use it now,
//! and it knows nothing of Kubernetes.

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
