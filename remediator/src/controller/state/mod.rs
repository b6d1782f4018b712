//! What the controller knows, in memory. Sends no request: the inputs fill it, the reconcile and the outputs read it.

pub mod alerts;
pub mod events;
pub mod evictions;
pub mod fleet;
pub mod leadership;
pub mod site;
pub mod time;
pub mod wakes;
