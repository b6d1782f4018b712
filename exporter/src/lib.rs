//! OSSCI exporter: health checks of a GPU node as metrics. It states facts and decides nothing.
//!
//! How the parts hang together:
//!
//! ```text
//! config -> engine (which checks; exchanged on SIGHUP by reload, as is what stands in the door)
//!                          |
//! schedule -----------> checker -> tool, child -> parse -> judge -> strikes -> memory (disk) -> ledger -> metrics, page -> web
//!                          ^                                ^                                                               |
//!                        probe                  inventory, run_dir, sysfs                                       web_config, guard
//! ```
//!
//! `ossci-exporter parse` and `--once` are in [`commands`].

pub mod check;
pub mod commands;
pub mod config;
pub mod door;
pub mod ending;
pub mod facts;
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
