//! One node at a time: observe, decide, record, act, report.

pub mod act;
pub mod budget;
pub mod condition;
pub mod dispatch;
pub mod evict;
pub mod node;
pub mod observe;
pub mod plan;
pub mod record;
pub mod report;
pub mod sight;
pub mod taints;
#[cfg(test)]
mod tests;
