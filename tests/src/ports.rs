//! Free ports of the loopback.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Mutex;

use anyhow::{Result, bail};

/// Below the range from which the kernel takes ports for outgoing connections, so that none of ours is taken between
/// being chosen and being listened on.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on 127.0.0.1 that nobody listens on and that this process has not given away before.
pub fn free() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Two labs that start at the same moment begin at different places.
    let width = RANGE.end - RANGE.start;
    let start = (uuid::Uuid::new_v4().as_u128() % u128::from(width)) as u16;
    for step in 0..width {
        let port = RANGE.start + (start + step) % width;
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between {} and {}", RANGE.start, RANGE.end)
}
