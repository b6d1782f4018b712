//! The subcommands that an operator runs by hand, one file each.

pub mod config;
pub mod crd;
pub mod mail;
pub mod rules;
