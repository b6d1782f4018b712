//! How fast a lab's world goes: the times that are the world's own and not the policy's.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long the remediator's Lease lasts, whole seconds.
    pub lease_seconds: u32,
    /// How long a simulated reboot keeps a machine dark.
    pub downtime: Duration,
    /// Between the first status of a new boot, which says NotReady, and the next, which says Ready.
    pub not_ready: Duration,
}

impl Pace {
    /// For stories that are watched, or that share the machine with a compiler.
    pub const ORDINARY: Self =
        Self { lease_seconds: 3, downtime: Duration::from_millis(2500), not_ready: Duration::from_millis(800) };
    /// For stories that are played hundreds of times.
    pub const BRISK: Self =
        Self { lease_seconds: 2, downtime: Duration::from_millis(600), not_ready: Duration::from_millis(300) };
}
