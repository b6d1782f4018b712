//! One run of the network test against several servers: which of them is asked next, and whose
//! answer counts. Starts each test; judges nothing.

use crate::ending::Ending;
use crate::parse::{self, Reading, ToolName};
use crate::schedule::Budget;
use crate::start::child::{self, Ended};
use crate::start::leash::Leash;
use crate::start::tool::Tool;
use ossci_base::clock;
use std::ffi::OsString;

/// What a server said to a network test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    None,
    /// It is busy, or not there.
    Refusal,
    /// A measurement, or anything else that another server would not change.
    Result,
}

/// Asks one server after the other, until one measures. If none does, a refusal counts most: it
/// shows that there is a way to that server.
pub fn ask(tool: &Tool, name: ToolName, calls: Vec<Vec<OsString>>, budget: Budget, leash: &Leash) -> Ended {
    let begun = clock::monotonic();
    let mut without_result: Option<(Answer, Ended)> = None;
    for (left, arguments) in (1..=u32::try_from(calls.len()).unwrap_or(1)).rev().zip(calls) {
        let deadline = budget.deadline.saturating_sub(begun.elapsed()) / left;
        let ended = child::run(|| tool.invocation(arguments), Budget { deadline, ..budget }, leash);
        let answer = answer(name, &ended);
        if answer == Answer::Result {
            return ended;
        }
        without_result = match without_result {
            Some(before) if before.0 >= answer => Some(before),
            _ => Some((answer, ended)),
        };
    }
    let nowhere = || Ending::NotStarted("no server is configured".to_string()).into();
    without_result.map_or_else(nowhere, |(_, ended)| ended)
}

fn answer(name: ToolName, ended: &Ended) -> Answer {
    let Some(output) = parse::Output::of(&ended.ending) else { return Answer::Result };
    match parse::parse(name, output).reading {
        Reading::Unreachable(_) => Answer::None,
        Reading::FarEnd(_) => Answer::Refusal,
        Reading::Nothing | Reading::Cut if matches!(ended.ending, Ending::TimedOut(..)) => Answer::None,
        _ => Answer::Result,
    }
}
