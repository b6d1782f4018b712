//! Outputs of the controller: metrics and health, Events, mails, retention of
//! evidence. They never reconcile a node.

pub mod adopt;
pub mod evidence;
pub mod holds;
pub mod notices;
pub mod outbox;
pub mod publish;
pub mod server;
pub mod site_warnings;
mod standings;
