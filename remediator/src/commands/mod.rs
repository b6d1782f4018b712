//! The subcommands that an operator runs by hand, one file each.

pub mod config;
pub mod crd;
pub mod doctor;
pub mod explain;
pub mod mail;
pub mod rules;
pub mod uninstall;
