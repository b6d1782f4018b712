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

/// Calls of a GPU tool.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// In sequence; their outputs are parsed as one.
    pub each_run: Vec<Vec<OsString>>,
    /// How many of them must succeed, from the first on.
    pub needed: usize,
    /// Made at most every [`DETAILS_EVERY`], for facts that no verdict needs.
    pub now_and_then: Vec<Vec<OsString>>,
}

impl Calls {
    pub fn new(each_run: &[&[&str]], needed: usize, now_and_then: &[&[&str]]) -> Calls {
        let owned = |calls: &[&[&str]]| calls.iter().map(|call| call.iter().map(OsString::from).collect()).collect();
        Calls { each_run: owned(each_run), needed, now_and_then: owned(now_and_then) }
    }
}

/// How often calls for details are made: memory and links wear slowly, and each call starts Python.
pub const DETAILS_EVERY: Duration = Duration::from_secs(300);

/// Commands of a run.
#[derive(Debug, Clone)]
pub enum Work {
    Calls(Calls),
    /// One call for each host, with another port each time. The first answer counts.
    Iperf3(Servers),
}

/// A server that accepts no connection in this time does not answer. Without a limit iperf3 waits
/// for the kernel, for minutes.
const LONGEST_CONNECT: Duration = Duration::from_secs(3);

impl Servers {
    /// Returns the calls of run number `run` on this node, which have this time together.
    pub fn calls(&self, node: &str, run: u64, time: Duration) -> Vec<Vec<OsString>> {
        let port = schedule::port(node, self.ports, run);
        let hosts = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).max(1);
        let connect = LONGEST_CONNECT.min(time / hosts / 2);
        let call = |host: &String| {
            let arguments = iperf3::arguments(host, port, &self.bytes, connect);
            arguments.into_iter().map(OsString::from).collect()
        };
        let mut calls: Vec<Vec<OsString>> = self.hosts.iter().map(call).collect();
        // Each host is asked first in turn, so that all are known to answer.
        let first = schedule::turn(node, calls.len(), run);
        calls.rotate_left(first);
        calls
    }
}
