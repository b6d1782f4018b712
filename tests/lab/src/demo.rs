//! The command `ossci-lab demo`: plays a story with a live table, and prints a summary.

use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Stopwatch;
use crate::environment;
use crate::facts::Facts;
use crate::inbox::Inbox;
use crate::lab::Lab;
use crate::play::{self, Outcome, Times};
use crate::runner;
use crate::table::Table;

/// Runs inside an enclosure.
pub async fn run(dir: &Path, keep: bool, mut end: watch::Receiver<bool>) -> Result<()> {
    let watch = Stopwatch::start();
    let file = environment::repository().join("tests/stories/repairs/demo.story");
    let story = runner::read(&file)?;
    let mut table = Table::new();
    let told = async {
        let mut lab = {
            let table = std::cell::RefCell::new(&mut table);
            Lab::start(dir, |line| table.borrow_mut().say(line)).await?
        };
        table.say(&addresses(&lab.facts));
        let outcome = play::play(&mut lab, &story, &mut table).await?;
        anyhow::Ok((lab, outcome))
    };
    let (lab, outcome) = tokio::select! {
        told = told => told?,
        _ = end.wait_for(|end| *end) => return Ok(()),
    };
    summary(&outcome, &lab.facts, &watch)?;
    let expected = file.with_extension("golden");
    let arrived = crate::golden::check(&expected, &outcome.told).context("not every node has the expected outcome");
    if arrived.is_ok() && outcome.violations.is_empty() {
        println!("every node has the expected outcome, and no invariant was violated");
    }
    for violation in &outcome.violations {
        println!("violated invariant: {violation}");
    }
    if keep {
        if let Err(error) = &arrived {
            println!("{error:#}");
        }
        println!("{}", commands(&lab.facts)?);
        let inbox = Inbox::open(&lab.facts.inbox, &lab.facts.mail_dir)?;
        tokio::select! {
            () = inbox.keep_looking() => {}
            _ = end.wait_for(|end| *end) => {}
        }
    }
    arrived?;
    if !outcome.violations.is_empty() {
        bail!("{} invariants were violated", outcome.violations.len());
    }
    Ok(())
}

fn addresses(facts: &Facts) -> String {
    format!(
        "the lab is up: Prometheus {}  Alertmanager {}  inbox {}/view/latest.txt (and {})",
        facts.prometheus,
        facts.alertmanager,
        facts.inbox,
        facts.mail_dir.display()
    )
}

fn summary(outcome: &Outcome, facts: &Facts, watch: &Stopwatch) -> Result<()> {
    println!("\n{:<8} {:>14} {:>16} {:>16}   END", "NODE", "FAULT TO TAINT", "TAINT TO REBOOT", "REBOOT TO END");
    for (node, times) in &outcome.times {
        let Times { broken, tainted, first_reboot, last_reboot, rest } = times;
        let end = rest.as_ref().map(|(at, _)| *at);
        println!(
            "{node:<8} {:>14} {:>16} {:>16}   {}",
            between(*broken, *tainted),
            between(*tainted, *first_reboot),
            between(*last_reboot, end),
            rest.as_ref().map_or("Healthy", |(_, phase)| phase)
        );
    }
    let mut mails: Vec<_> =
        std::fs::read_dir(&facts.mail_dir).context("reading the mails")?.flatten().map(|entry| entry.path()).collect();
    mails.sort();
    for mail in mails {
        println!("mail     {}", mail.display());
    }
    println!("the story took {}", watch.read());
    Ok(())
}

fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{:.1} s", to.duration_since(from).as_secs_f64()),
        _ => "-".into(),
    }
}

/// Commands for a lab that stays up.
fn commands(facts: &Facts) -> Result<String> {
    let lab = environment::this_program()?;
    let (lab, kubectl, config) = (lab.display(), facts.kubectl.display(), facts.kubeconfig.display());
    let at = facts.dir.display();
    Ok(format!(
        "\nThe lab stays until Ctrl-C. Break a GPU by hand, mend it, and look, at another terminal:\n  \
         {lab} break node3 gpu-missing --until reboot --lab {at}\n  \
         {lab} mend node3 --lab {at}\n  \
         {kubectl} --kubeconfig {config} get nrep,nodes\n  \
         logs are in {at}/logs and {at}/nodes/*/logs\n"
    ))
}
