//! The remediator, from alerts to repairs: the controller decides and records, the agent on each
//! node carries out.
//!
//! ```text
//! alert --> controller::inputs::webhook --> NodeRepair.status.complaints
//!                                               |  wake(name)
//! controller::reconcile:  observe -> core::decide -> record -> act -> report
//!                                               |  spec.order
//! agent::run:  order -> guards -> Host (reboot, script) or exporter /probe -> status.agent
//! ```

pub mod agent;
pub mod api;
mod certificate;
pub mod commands;
pub mod controller;
pub mod core;
pub mod logging;
pub mod mail;
pub mod metrics;
mod metrics_server;
mod outbound;
pub mod reimage_service;
pub mod wire;
