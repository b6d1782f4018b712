//! Benchmark of the time from a third strike to the webhook. It uses the lab's two Prometheis and
//! two Alertmanagers, the shipped rules and the shipped group_wait. Only the scrape and evaluation
//! intervals are shorter than on a site.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::Figure;
use crate::fault::{Broken, Fault, Faults, Until};
use crate::lab::Lab;
use crate::wait;

const NODES: usize = 8;
/// Delay between the faults of two nodes: the strikes fall on every phase of scrapes and
/// evaluations.
const STAGGER: Duration = Duration::from_millis(2_370);
const STRUCK_WITHIN: Duration = Duration::from_secs(60);
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// Scrape and evaluation interval of the lab, group_wait of `alerts/alertmanager.yml`, and one
/// second for the rest.
const BOUND_SECONDS: f64 = 1.0 + 1.0 + 10.0 + 1.0;

/// Runs inside an enclosure. Prints one line each for the fastest and the slowest; returns whether
/// the slowest was within the bound.
pub async fn run(dir: &Path) -> Result<bool> {
    let mut lab = Lab::start(dir, |_| {}).await?;
    let names: Vec<String> = (1..=NODES).map(|at| format!("late{at}")).collect();
    lab.add_nodes(&names).await?;
    let lab = &lab;
    let each = names.iter().enumerate().map(|(at, name)| async move {
        tokio::time::sleep(STAGGER * u32::try_from(at).unwrap_or_default()).await;
        seconds(lab, name).await.with_context(|| name.clone())
    });
    let mut seconds = futures::future::try_join_all(each).await?;
    seconds.sort_by(f64::total_cmp);
    let figure = |what: &str, value: f64| Figure {
        name: format!("third strike to webhook, {what} of {NODES}"),
        value,
        unit: "s",
        peer: BOUND_SECONDS,
        target: 1.0,
    };
    figure("fastest", seconds.first().copied().unwrap_or(f64::NAN)).print();
    Ok(figure("slowest", seconds.last().copied().unwrap_or(f64::NAN)).print())
}

/// Seconds from the end of the third failed run to the arrival of the first webhook request about
/// it.
async fn seconds(lab: &Lab, node: &str) -> Result<f64> {
    let broken = Broken { fault: Fault::SlowNetwork, until: Until::Forever };
    lab.node_dir(node).set_faults(&Faults::default().with(broken))?;
    let struck: Timestamp = wait::until("the third strike", STRUCK_WITHIN, || async {
        let strikes = lab.strikes(node).await?;
        let third = strikes.into_iter().find(|(count, _)| *count == 3);
        third.map(|(_, ended)| ended).context("not yet")
    })
    .await?;
    let heard = wait::until("the webhook", HEARD_WITHIN, || async {
        lab.alerting.tap.heard(node).first().map(|delivery| delivery.at).context("the webhook received nothing")
    });
    Ok(heard.await?.duration_since(struck).as_secs_f64())
}
