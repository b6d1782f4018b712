//! The command `ossci-lab mail-kills`: the remediator is killed before and after each step of a
//! delivery. Every node that needs a person is heard of, and a mail that came twice has one
//! Message-ID.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::watch;

use crate::lab::Lab;
use crate::paper_nodes::{self, Size};
use crate::pods::App;
use crate::post_office::{Encryption, Manners, Point, PostOffice};
use crate::site_policy::STORY;
use crate::{enclosure, process};

/// A killed remediator has to start, take the Lease and send again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs inside an enclosure; prints one line for each kill.
pub async fn run(dir: &Path, times: usize, mut end: watch::Receiver<bool>) -> Result<()> {
    enclosure::unless_ended(&mut end, kills(dir, times)).await
}

async fn kills(dir: &Path, times: usize) -> Result<()> {
    let mut lab = Lab::start(dir, |line| println!("lab: {line}")).await?;
    let office = PostOffice::open(Encryption::StartTls, &lab.server_pair("post")?, Manners::default()).await?;
    let pools: Vec<_> = (0..times)
        .map(|number| json!({ "name": pool(number), "nodeSelector": { STORY: pool(number) }, "mode": "reimage" }))
        .collect();
    let mail = json!({ "server": "127.0.0.1", "port": office.port });
    lab.change_policy(&json!({ "pools": pools, "mail": mail }).to_string()).await?;
    let mut twice = 0;
    for number in 0..times {
        // Without a password there is no AUTH.
        let points: Vec<Point> = Point::ALL.into_iter().filter(|point| *point != Point::Auth).collect();
        let (point, after) = (points[number % points.len()], number / points.len() % 2 == 1);
        let mails = killed(&lab, &office, number, point, after).await;
        let mails = mails.with_context(|| format!("killed {} {point:?}", if after { "after" } else { "before" }))?;
        twice += usize::from(mails > 1);
        println!("{:>3} killed {} {point:?}: {mails} accepted", number + 1, if after { "after" } else { "before" });
    }
    println!("{times} kills: every node was heard of, {twice} mails came more than once, under one Message-ID");
    Ok(())
}

/// Nodes of one pool could share a mail, so each has its own.
fn pool(number: usize) -> String {
    format!("kill{number}")
}

/// Returns how many mails about the node were accepted.
async fn killed(lab: &Lab, office: &PostOffice, number: usize, point: Point, after: bool) -> Result<usize> {
    let prefix = format!("killed{number}-");
    paper_nodes::create(&lab.admin, &prefix, 0..1, &pool(number), Size::Small).await?;
    let (node, before) = (paper_nodes::name(&prefix, 0), office.accepted().len());
    let kills = Arc::new(AtomicUsize::new(0));
    let counted = kills.clone();
    office.watch(Some(Arc::new(move |at, answered| {
        if at == point && answered == after && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            process::signal_all(Signal::KILL, |text| text.contains(App::Controller.sign()));
        }
    })));
    paper_nodes::hand_over(&lab.admin, &node).await?;
    paper_nodes::escalated(&lab.admin, &node, PATIENCE).await?;
    office.watch(None);
    ensure!(kills.load(Ordering::SeqCst) > 0, "the remediator was not killed");
    let about: Vec<_> =
        office.accepted().split_off(before).into_iter().filter(|mail| mail.raw.contains(&node)).collect();
    let ids: BTreeSet<_> = about.iter().map(|mail| mail.header("Message-ID").map(str::to_owned)).collect();
    ensure!(ids.len() == 1, "{} mails about {node} with the Message-IDs {ids:?}", about.len());
    Ok(about.len())
}
