//! Polls Alertmanager: every replica is asked for its alerts and silences at the start, each minute, and before each
//! disruptive act. The webhook is a hint, this is the truth: a webhook or a `resolved` that was lost is made up for here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::controller::context::Context;
use crate::controller::inputs::board;
use crate::controller::services::alertmanager::Replicas;
use crate::core::record::Complaint;
use crate::core::silence::Silence;
use crate::metrics::Outcome;
use crate::wire::alertmanager::{ListedAlert, ListedSilence, Meaning};

/// An alert is gone when so many polls in a row did not have it, on any replica.
const GONE: u32 = 2;

/// The union of what the replicas list.
#[derive(Default)]
struct Union {
    /// Complaints that fire and are neither silenced nor inhibited, by node.
    told: BTreeMap<String, Vec<Complaint>>,
    /// Fingerprints of all that is listed, whatever its state.
    listed: BTreeSet<String>,
    silences: BTreeMap<String, Silence>,
    answers: usize,
    /// Every replica answered, and each has the heartbeat: what is not listed does not fire.
    complete: bool,
}

/// Asks again and again. Who does not lead only keeps what it knows of silences fresh: a new leader that has not asked yet
/// would take back what is not out, and begin it anew.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    let mut absent: BTreeMap<(String, String), u32> = BTreeMap::new();
    let (mut leadership, mut sites) = (context.leadership.changes(), context.sites.subscribe());
    loop {
        let site = context.site();
        let Some(replicas) = &site.alertmanager else {
            let _ = sites.changed().await;
            continue;
        };
        let union = ask_replicas(&context, replicas).await;
        if context.leadership.leads() {
            learn(&context, &union).await;
            forget(&context, &union, &mut absent).await;
        } else {
            absent.clear();
        }
        tokio::select! {
            () = tokio::time::sleep(replicas.every) => {}
            _ = leadership.changed() => {}
            _ = sites.changed() => {}
        }
    }
}

/// Asks now, for a disruptive act that is about to be done; whether anybody answered. Where nobody is to be asked, nobody has
/// to answer.
pub async fn ask(context: &Context) -> bool {
    match &context.site().alertmanager {
        Some(replicas) => ask_replicas(context, replicas).await.answers > 0,
        None => true,
    }
}

async fn ask_replicas(context: &Context, replicas: &Replicas) -> Union {
    let each = replicas.urls.iter().map(|url| async move {
        let alerts = replicas.get::<Vec<ListedAlert>>(url, "/api/v2/alerts?filter=remediation%3D~%22.%2B%22");
        let silences = replicas.get::<Vec<ListedSilence>>(url, "/api/v2/silences");
        (url, tokio::try_join!(alerts, silences))
    });
    let mut union = Union { complete: true, ..Union::default() };
    for (url, answer) in futures::future::join_all(each).await {
        let outcome = if answer.is_ok() { "answered" } else { "failed" };
        context.metrics.alertmanager_polls.get_or_create_owned(&Outcome { outcome: outcome.to_owned() }).inc();
        match answer {
            Ok((alerts, silences)) => take(context, &mut union, &alerts, &silences),
            Err(error) => {
                union.complete = false;
                tracing::warn!(url, error = format!("{error:#}"), "Alertmanager does not answer");
            }
        }
    }
    if union.answers > 0 {
        let silences = union.silences.values().cloned().collect();
        let was_unknown = context.alerts.unknown(replicas);
        (context.alerts.heard(silences) || was_unknown).then(|| context.wake_all());
    }
    union
}

/// One replica's answer.
fn take(context: &Context, union: &mut Union, alerts: &[ListedAlert], silences: &[ListedSilence]) {
    let (site, now) = (context.site(), context.now());
    let mut heartbeat = false;
    for alert in alerts {
        union.listed.insert(alert.fingerprint.clone());
        match alert.meaning(site.cluster.as_deref(), now) {
            Meaning::Heartbeat => heartbeat = true,
            Meaning::Complaint { node, complaint } if alert.is_active() => {
                let told = union.told.entry(node).or_default();
                if told.iter().all(|known| known.fingerprint != complaint.fingerprint) {
                    told.push(complaint);
                }
            }
            _ => {}
        }
    }
    for silence in silences.iter().filter(|silence| silence.is_active()) {
        match silence.read() {
            Ok(read) => drop(union.silences.insert(silence.id.clone(), read)),
            Err(error) => tracing::warn!(id = silence.id, %error, "a silence is not understood; it silences nothing"),
        }
    }
    union.answers += 1;
    union.complete &= heartbeat;
}

/// Complaints that the webhook did not bring.
async fn learn(context: &Context, union: &Union) {
    // What cannot be recorded now is asked for again.
    board::record_all(context, union.told.clone(), Duration::MAX).await;
}

/// Complaints that no replica has any more.
async fn forget(context: &Context, union: &Union, absent: &mut BTreeMap<(String, String), u32>) {
    if !union.complete {
        absent.clear();
        return;
    }
    let missing = context.fleet.firing_but(&union.listed);
    absent.retain(|key, _| missing.iter().any(|(node, complaint)| (node, &complaint.fingerprint) == (&key.0, &key.1)));
    for (node, complaint) in missing {
        let polls = absent.entry((node.clone(), complaint.fingerprint.clone())).or_default();
        *polls += 1;
        if *polls >= GONE {
            tracing::info!(node, fingerprint = complaint.fingerprint, "no Alertmanager has this alert any more");
            let resolved = Complaint { firing: false, seen: context.now(), ..complaint };
            board::complain(context, node, vec![resolved]).await;
        }
    }
}
