//! Library of the OSSCI exporter: health checks of a GPU node as metrics. It reports facts and
//! decides on no repair.
//!
//! Data flow:
//!
//! ```text
//! config -> engine (the checks; replaced on SIGHUP by reload, as are certificates and users)
//!              |
//! schedule -> checker -> tool, child -> parse -> judge -> strikes -> memory (disk) -> ledger
//!              ^                                   ^                                    |
//!            probe                    inventory, run_dir, sysfs                         v
//!                                            web (behind web_config, guard) <- page, metrics
//! ```
//!
//! `ossci-exporter parse` and `--once` are in [`commands`].

pub mod check;
pub mod commands;
pub mod config;
pub mod door;
pub mod ending;
pub mod facts;
pub mod health;
pub mod inventory;
pub mod judge;
pub mod parse;
pub mod run;
pub mod schedule;
#[cfg(test)]
mod scratch;
pub mod serve;
pub mod show;
pub mod start;
pub mod state;
pub mod strikes;
pub mod verdict;
