//! Commands of a check run: calls of a tool, or one call with another port each time. Starts
//! nothing.

use crate::parse::iperf3;
use crate::schedule;
use std::ffi::OsString;

/// Server of the network check.
#[derive(Debug, Clone)]
pub struct Target {
    pub host: String,
    /// First and last port with a server.
    pub ports: (u16, u16),
    /// Volume of a run, in the notation of iperf3.
    pub bytes: String,
}

/// Commands of a run.
#[derive(Debug, Clone)]
pub enum Work {
    /// Calls in sequence; their outputs are parsed as one. All but the first two may fail.
    Calls(Vec<Vec<OsString>>),
    /// One call, with another port each time.
    Iperf3(Target),
}

impl Work {
    pub fn calls(calls: &[&[&str]]) -> Work {
        Work::Calls(calls.iter().map(|call| call.iter().map(OsString::from).collect()).collect())
    }

    /// Returns the calls of run number `run` on this node.
    pub fn of_run(&self, node: &str, run: u64) -> Vec<Vec<OsString>> {
        match self {
            Work::Calls(calls) => calls.clone(),
            Work::Iperf3(target) => {
                let port = schedule::port(node, target.ports, run);
                let arguments = iperf3::arguments(&target.host, port, &target.bytes);
                vec![arguments.into_iter().map(OsString::from).collect()]
            }
        }
    }
}

/// Number of calls that a run needs; later ones only add facts.
pub const NEEDED_CALLS: usize = 2;
