//! The calls of one run of a GPU tool: which of them must succeed, and what is left of the others.
//! Starts each; judges nothing.

use crate::ending::{Ending, Exit, Streams};
use crate::schedule::Budget;
use crate::start::child::{self, Abandoned, Ended};
use crate::start::leash::Leash;
use crate::start::tool::Tool;
use crate::start::work::Calls;
use ossci_base::clock;
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// How much of its calls a run makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Without the calls that only add facts: one of an earlier run still lives.
    pub bare: bool,
    /// With those that are made now and then.
    pub with_details: bool,
}

/// What the calls of a run left.
#[derive(Debug)]
pub struct Made {
    pub ended: Ended,
    /// A child of a call that only adds facts, which survived it.
    pub spare: Option<Abandoned>,
    /// What the calls that are made now and then printed; `None` if they were not made.
    pub details: Option<Streams>,
}

/// Makes the calls in sequence, within one deadline.
pub fn make(tool: &Tool, calls: &Calls, extent: Extent, budget: Budget, leash: &Leash) -> Made {
    let mut caller = Caller { tool, budget, leash, begun: clock::monotonic(), spare: None };
    let mut all = Streams::default();
    for arguments in calls.each_run.iter().take(calls.needed) {
        let ended = caller.call(arguments);
        match ended.ending {
            Ending::Exited(Exit::Status(0), streams) => all.append(streams),
            _ => return Made { ended, spare: None, details: None },
        }
    }
    if extent.bare {
        return Made { ended: Ending::Exited(Exit::Status(0), all).into(), spare: None, details: None };
    }
    caller.add(calls.each_run.iter().skip(calls.needed), &mut all);
    let mut details = None;
    if extent.with_details && caller.spare.is_none() && !caller.left().is_zero() {
        let mut streams = Streams::default();
        caller.add(calls.now_and_then.iter(), &mut streams);
        details = Some(streams);
    }
    Made { ended: Ending::Exited(Exit::Status(0), all).into(), spare: caller.spare, details }
}

struct Caller<'a> {
    tool: &'a Tool,
    budget: Budget,
    leash: &'a Leash,
    begun: Instant,
    spare: Option<Abandoned>,
}

impl Caller<'_> {
    fn left(&self) -> Duration {
        self.budget.deadline.saturating_sub(self.begun.elapsed())
    }

    fn call(&self, arguments: &[OsString]) -> Ended {
        let budget = Budget { deadline: self.left(), ..self.budget };
        child::run(|| self.tool.invocation(arguments.to_vec()), budget, self.leash)
    }

    /// Makes calls that only add facts. A refusal or a flood takes nothing from the others; a call
    /// that does not end has used up their time.
    fn add<'a>(&mut self, calls: impl Iterator<Item = &'a Vec<OsString>>, to: &mut Streams) {
        for arguments in calls {
            let Ended { ending, abandoned } = self.call(arguments);
            self.spare = abandoned;
            match ending {
                Ending::Exited(Exit::Status(0), streams) => to.append(streams),
                Ending::Exited(..) | Ending::OutputLimit => {}
                _ => return,
            }
        }
    }
}
