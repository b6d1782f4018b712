//! Non-blocking reader of a child's output, up to a limit. Knows no process.

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Limit of each stream of a run, in bytes. The largest healthy output (64 partitions) is below 1
/// MB.
const OUTPUT_BYTES: usize = 8 << 20;

/// Growth of the buffer, in bytes; enough for the whole output of most tools.
const ROOM: usize = 32 << 10;

/// Free space below which the buffer grows, in bytes. Small, so that a read of 0 bytes at the end
/// of a stream rarely needs more.
const LEAST_ROOM: usize = 1 << 10;

/// Whether a stream stayed within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Volume {
    Within,
    TooMuch,
}

/// Read end of one stream, and the bytes read so far.
#[derive(Debug)]
pub struct Pipe {
    /// `None` after the end of the stream.
    end: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Pipe {
    pub fn new(end: OwnedFd) -> std::io::Result<Pipe> {
        fcntl_setfl(&end, fcntl_getfl(&end)? | OFlags::NONBLOCK)?;
        Ok(Pipe { end: Some(end), bytes: Vec::new() })
    }

    /// Returns the descriptor to poll for more; `None` after the end of the stream.
    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.end.as_ref().map(|end| PollFd::new(end, PollFlags::IN))
    }

    /// Reads what is available, without waiting for more.
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
