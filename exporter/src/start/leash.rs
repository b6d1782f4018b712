//! What the task that waits for a run holds of the child that another thread starts: it ends the child when the task ends. It also tells
//! a start that does not come back from a child that lives. Starts nothing.

use rustix::process::{Pid, Signal, kill_process_group};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the two threads of a run.
#[derive(Debug, Default)]
pub struct Leash(Mutex<State>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No child: before the first, between two, or after the last.
    #[default]
    Idle,
    /// A tool is being looked for and started. What hangs now hangs in a file system.
    Starting,
    /// The process group of a child that has not been reaped, so that its number is nobody else's.
    On(Pid),
    /// Nobody waits any more.
    Pulled,
}

impl Leash {
    /// A tool is about to be started. False when nobody would wait for it.
    #[must_use]
    pub fn start(&self) -> bool {
        self.becomes(State::Starting)
    }

    /// A child was started. False when nobody waits for it any more.
    #[must_use]
    pub fn put_on(&self, group: Pid) -> bool {
        self.becomes(State::On(group))
    }

    /// The start failed, or the child has ended and is about to be reaped.
    pub fn take_off(&self) {
        self.becomes(State::Idle);
    }

    pub fn is_starting(&self) -> bool {
        *self.state() == State::Starting
    }

    /// The child goes, and so does one that is only being started.
    pub fn pull(&self) {
        let mut state = self.state();
        if let State::On(group) = *state {
            // An error means that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        *state = State::Pulled;
    }

    fn becomes(&self, next: State) -> bool {
        let mut state = self.state();
        let held = *state != State::Pulled;
        if held {
            *state = next;
        }
        held
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_pull_nothing_is_started_and_nothing_goes_on() {
        let leash = Leash::default();
        assert!(leash.start() && leash.is_starting());
        leash.pull();
        assert!(!leash.put_on(Pid::from_raw(i32::MAX).unwrap()) && !leash.start() && !leash.is_starting());
    }
}
