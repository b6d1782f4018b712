//! Poll of Alertmanager: every replica is asked for its alerts and silences at the start, every
//! `alertmanager.pollSeconds`, and before each disruptive step. The webhook is only a hint: the
//! poll corrects for a lost delivery or a lost `resolved`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::controller::context::Context;
use crate::controller::inputs::board::Boards;
use crate::controller::services::alertmanager::Replicas;
use crate::controller::state::alerts::Heard;
use crate::core::record::Complaint;
use crate::core::silence::Silence;
use crate::metrics::Outcome;
use crate::wire::alertmanager::{ListedAlert, ListedSilence, Meaning};
use ossci_base::clock;

/// A complaint is resolved after this number of polls in a row in which no replica listed its
/// alert.
const GONE: u32 = 2;

/// The union of what the replicas list.
#[derive(Default)]
struct Union {
    /// Complaints that fire and are neither silenced nor inhibited, by node.
    firing: BTreeMap<String, Vec<Complaint>>,
    /// Fingerprints of all listed alerts, also silenced and inhibited ones.
    listed: BTreeSet<String>,
    /// Those of them that a replica silences or inhibits.
    suppressed: BTreeSet<String>,
    silences: BTreeMap<String, Silence>,
    answers: usize,
    /// Every replica answered and lists the heartbeat, so an alert that is not listed does not
    /// fire.
    complete: bool,
}

/// Polls for as long as the process runs. A replica that does not lead only refreshes the silences.
/// A new leader without them would withdraw steps that have not begun, and start them again later.
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

/// Polls now, before a first taint or a disruptive step. Returns whether a replica answered, and
/// `true` where no Alertmanager is configured. Callers that wait share one poll: any that began
/// after the call is recent enough.
pub async fn ask(context: &Context) -> bool {
    let site = context.site();
    let Some(replicas) = &site.alertmanager else { return true };
    let called = clock::monotonic();
    let mut last = context.asking.lock().await;
    if let Some((begun, answered)) = *last
        && begun >= called
    {
        return answered;
    }
    let begun = clock::monotonic();
    let answered = ask_replicas(context, replicas).await.answers > 0;
    *last = Some((begun, answered));
    answered
}

/// Polls every replica, and stores the silences if any answered.
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
                tracing::warn!(url, error = format!("{error:#}"), "cannot poll Alertmanager");
            }
        }
    }
    if union.answers > 0 {
        let silences = union.silences.values().cloned().collect();
        let active = union.listed.difference(&union.suppressed).cloned().collect();
        let was_unknown = context.alerts.unknown(replicas);
        let heard = Heard { silences, active, suppressed: union.suppressed.clone() };
        (context.alerts.heard(heard) || was_unknown).then(|| context.wake_all());
    }
    union
}

/// Adds one replica's answer to the union.
fn take(context: &Context, union: &mut Union, alerts: &[ListedAlert], silences: &[ListedSilence]) {
    let (site, now) = (context.site(), context.now());
    let mut heartbeat = false;
    for alert in alerts {
        union.listed.insert(alert.fingerprint.clone());
        if !alert.is_active() {
            union.suppressed.insert(alert.fingerprint.clone());
        }
        match alert.meaning(site.cluster.as_deref(), now) {
            Meaning::Heartbeat => heartbeat = true,
            Meaning::Complaint { node, complaint } if alert.is_active() => {
                context.alerts.saw_cluster(&complaint);
                let known = union.firing.entry(node).or_default();
                if known.iter().all(|other| other.fingerprint != complaint.fingerprint) {
                    known.push(*complaint);
                }
            }
            _ => {}
        }
    }
    for silence in silences.iter().filter(|silence| silence.is_active()) {
        let read = silence.read();
        if let Some(pattern) = read.unknown_pattern() {
            tracing::warn!(
                id = silence.id,
                pattern,
                "cannot read a silence's pattern; it counts as matching everything"
            );
        }
        union.silences.insert(silence.id.clone(), read);
    }
    union.answers += 1;
    union.complete &= heartbeat;
}

/// Records complaints that the webhook did not deliver.
async fn learn(context: &Context, union: &Union) {
    // The next poll repeats what cannot be recorded now.
    Boards::of(context).record_all(union.firing.clone(), context.again(), Duration::MAX).await;
}

/// Resolves complaints whose alerts no replica lists any more.
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
            tracing::info!(node, fingerprint = complaint.fingerprint, "alert not listed any more, complaint resolved");
            let resolved = Complaint { firing: false, seen: context.now(), ..complaint };
            Boards::of(context).complain(node, vec![resolved]).await;
        }
    }
}
