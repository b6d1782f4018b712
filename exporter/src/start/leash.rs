//! Cancellation handle of a run, shared by the waiting task and the thread that starts the child.
//! When the task ends, the child is killed. It also tells a start that does not return from a child
//! that lives. Starts nothing.

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
    /// A tool is being searched and started. If this hangs, a file system hangs.
    Starting,
    /// The process group of a child that has not been reaped, so that its pid is not reused.
    On(Pid),
    /// The run was cancelled.
    Pulled,
}

impl Leash {
    /// Records that a tool is about to be started. Returns false if the run was cancelled.
    #[must_use]
    pub fn start(&self) -> bool {
        self.becomes(State::Starting)
    }

    /// Records a started child. Returns false if the run was cancelled.
    #[must_use]
    pub fn put_on(&self, group: Pid) -> bool {
        self.becomes(State::On(group))
    }

    /// Records that the start failed, or that the child has ended and is about to be reaped.
    pub fn take_off(&self) {
        self.becomes(State::Idle);
    }

    pub fn is_starting(&self) -> bool {
        *self.state() == State::Starting
    }

    /// Cancels the run: kills the child, also one whose start is in progress.
    pub fn pull(&self) {
        let mut state = self.state();
        if let State::On(group) = *state {
            // An error means that no process is left.
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
    fn after_the_pull_no_child_is_started() {
        let leash = Leash::default();
        assert!(leash.start() && leash.is_starting());
        leash.pull();
        assert!(!leash.put_on(Pid::from_raw(i32::MAX).unwrap()) && !leash.start() && !leash.is_starting());
    }
}
