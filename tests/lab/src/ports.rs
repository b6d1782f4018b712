//! Free ports of the loopback.

use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Below the range that the kernel uses for outgoing connections, so that none of our ports is
/// taken between choice and use.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// Ports per block. Every process has its own block, so that labs that start at the same moment do
/// not conflict.
const BLOCK: u16 = 400;

/// The block of this process.
struct Block {
    /// The block's first port, on which this process listens. Another process that finds it taken
    /// tries the next block.
    _taken: TcpListener,
    first: u16,
    /// Number of ports that were given away.
    given: u16,
}

static OURS: Mutex<Option<Block>> = Mutex::new(None);

/// A port on 127.0.0.1 without a listener, which this process has not given away recently.
pub fn free() -> Result<u16> {
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    if ours.is_none() {
        *ours = Some(take_block()?);
    }
    let block = ours.as_mut().context("a block of ports")?;
    for _ in 1..BLOCK {
        let port = block.first + 1 + block.given % (BLOCK - 1);
        block.given = block.given.wrapping_add(1);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between {} and {}", block.first, block.first + BLOCK)
}

fn take_block() -> Result<Block> {
    for first in RANGE.step_by(BLOCK.into()) {
        if let Ok(taken) = TcpListener::bind(("127.0.0.1", first)) {
            return Ok(Block { _taken: taken, first, given: 0 });
        }
    }
    bail!("every block of ports between {} and {} is taken: end a lab", RANGE.start, RANGE.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_away_twice_in_a_row() {
        let ports: Vec<u16> = (0..50).map(|_| free().unwrap()).collect();
        let different: std::collections::BTreeSet<&u16> = ports.iter().collect();
        assert_eq!(different.len(), ports.len());
        let other = take_block().unwrap();
        assert!(ports.iter().all(|port| !(other.first..other.first + BLOCK).contains(port)), "two blocks overlap");
    }
}
