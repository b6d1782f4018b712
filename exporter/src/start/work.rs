//! Commands of a check run: calls of a tool, or one call for each server of the network test.
//! Starts nothing.

use crate::parse::iperf3;
use crate::schedule;
use std::ffi::OsString;
use std::time::Duration;

/// Servers of the network check.
#[derive(Debug, Clone)]
pub struct Servers {
    pub hosts: Vec<String>,
    /// First and last port with a server, on each host.
    pub ports: (u16, u16),
    /// Volume of a run, in the notation of iperf3.
    pub bytes: String,
}

/// Commands of a run.
#[derive(Debug, Clone)]
pub enum Work {
    /// Calls in sequence; their outputs are parsed as one. All but the first two may fail.
    Calls(Vec<Vec<OsString>>),
    /// One call for each host, with another port each time. The first answer counts.
    Iperf3(Servers),
}

/// A server that accepts no connection in this time does not answer. Without a limit iperf3 waits
/// for the kernel, for minutes.
const LONGEST_CONNECT: Duration = Duration::from_secs(3);

impl Work {
    pub fn calls(calls: &[&[&str]]) -> Work {
        Work::Calls(calls.iter().map(|call| call.iter().map(OsString::from).collect()).collect())
    }

    /// Returns the calls of run number `run` on this node, which have this time together.
    pub fn of_run(&self, node: &str, run: u64, time: Duration) -> Vec<Vec<OsString>> {
        match self {
            Work::Calls(calls) => calls.clone(),
            Work::Iperf3(servers) => {
                let port = schedule::port(node, servers.ports, run);
                let hosts = u32::try_from(servers.hosts.len()).unwrap_or(u32::MAX).max(1);
                let connect = LONGEST_CONNECT.min(time / hosts / 2);
                let call = |host: &String| {
                    let arguments = iperf3::arguments(host, port, &servers.bytes, connect);
                    arguments.into_iter().map(OsString::from).collect()
                };
                let mut calls: Vec<Vec<OsString>> = servers.hosts.iter().map(call).collect();
                // Each host is asked first in turn, so that all are known to answer.
                let first = schedule::turn(node, calls.len(), run);
                calls.rotate_left(first);
                calls
            }
        }
    }
}

/// Number of calls that a run needs; later ones only add facts.
pub const NEEDED_CALLS: usize = 2;
