//! The controller's state in memory. The inputs update it; the reconcile and the outputs read it.
//! It sends no request.

pub mod alerts;
pub mod events;
pub mod evictions;
pub mod fleet;
pub mod kubelets;
pub mod leadership;
pub mod outbox;
pub mod site;
pub mod time;
pub mod wakes;
