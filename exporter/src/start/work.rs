//! What a run of a check starts: calls of a tool, or one call with another port each time. Starts nothing.

use crate::parse::iperf3;
use crate::schedule;
use std::ffi::OsString;

/// The far end of the network check.
#[derive(Debug, Clone)]
pub struct Target {
    pub host: String,
    /// First and last of the ports that have a server.
    pub ports: (u16, u16),
    /// Volume of a run, as iperf3 reads it.
    pub bytes: String,
}

/// What a run starts.
#[derive(Debug, Clone)]
pub enum Work {
    /// These calls one after the other; their outputs are read as one. All but the first two may be refused.
    Calls(Vec<Vec<OsString>>),
    /// One call, with another port each time.
    Iperf3(Target),
}

impl Work {
    pub fn calls(calls: &[&[&str]]) -> Work {
        Work::Calls(calls.iter().map(|call| call.iter().map(OsString::from).collect()).collect())
    }

    /// The calls of the run of this number on this node.
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

/// The calls of one run without which it says nothing; later ones add to it.
pub const NEEDED_CALLS: usize = 2;
