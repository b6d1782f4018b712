//! What a child prints, read without ever waiting for it, up to a limit. Knows no process.

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Each stream of a run may hold this much. The largest healthy output (64 partitions) is below 1 MB.
const OUTPUT_BYTES: usize = 8 << 20;

/// Room for what most tools print, and so much at a time for what others do.
const ROOM: usize = 32 << 10;

/// The end of a stream is read as nothing; no room is made for it.
const LEAST_ROOM: usize = 1 << 10;

/// Whether a stream kept within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Volume {
    Within,
    TooMuch,
}

/// Our end of one stream, and what came out of it.
#[derive(Debug)]
pub struct Pipe {
    /// None after its end.
    end: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Pipe {
    pub fn new(end: OwnedFd) -> std::io::Result<Pipe> {
        fcntl_setfl(&end, fcntl_getfl(&end)? | OFlags::NONBLOCK)?;
        Ok(Pipe { end: Some(end), bytes: Vec::new() })
    }

    /// To wait for more with; none after its end.
    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.end.as_ref().map(|end| PollFd::new(end, PollFlags::IN))
    }

    /// Takes what is there without waiting for more.
    pub fn drain(&mut self) -> Volume {
        while let Some(end) = &self.end {
            if self.bytes.len() > OUTPUT_BYTES {
                return Volume::TooMuch;
            }
            if self.bytes.capacity() - self.bytes.len() < LEAST_ROOM {
                self.bytes.reserve(ROOM);
            }
            match rustix::io::read(end, rustix::buffer::spare_capacity(&mut self.bytes)) {
                Ok(0) => self.end = None,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.end = None,
            }
        }
        Volume::Within
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
