//! What the controller tells people and monitoring: metrics and health, Events, mails about a pool; and the end of old evidence.

pub mod evidence;
pub mod notices;
pub mod publish;
pub mod server;
