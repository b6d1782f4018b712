//! What Alertmanager says: its alerts and silences, read from every replica at the start, each minute, and before each
//! disruptive act. The webhook is a hint, this is the truth: a webhook or a `resolved` that was lost heals by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::Client;

use super::{Context, board, outbound};
use crate::clock;
use crate::core::record::Complaint;
use crate::core::silence::{self, Silence};
use crate::metrics::Outcome;
use crate::wire::alertmanager::{ListedAlert, ListedSilence, Meaning};
use crate::wire::policy_file::AlertmanagerFile;

/// A replica that takes longer than this does not answer.
const REQUEST: Duration = Duration::from_secs(5);
/// So many polls without any answer, and nobody knows any more what is silenced.
const MISSED: u32 = 3;
/// An alert is gone when so many polls in a row did not have it, on any replica.
const GONE: u32 = 2;

/// The replicas of one cluster of Alertmanagers.
pub struct Replicas {
    urls: Vec<String>,
    http: Client,
    token: Option<String>,
    every: Duration,
}

impl Replicas {
    pub fn new(file: &AlertmanagerFile) -> anyhow::Result<Self> {
        let http = outbound::client(file.ca_file.as_deref())?.timeout(REQUEST).connect_timeout(REQUEST);
        let token = file.token_file.as_deref().map(|path| outbound::secret("tokenFile", path));
        Ok(Self {
            urls: file.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            http: http.build().context("setting up HTTP")?,
            token: token.transpose()?,
            every: Duration::from_secs(file.poll_seconds.into()),
        })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str, path: &str) -> anyhow::Result<T> {
        let url = format!("{url}{path}");
        let mut request = self.http.get(&url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?.error_for_status()?;
        answer.json().await.with_context(|| format!("reading the answer of {url}"))
    }
}

/// What all replicas together said last.
#[derive(Debug, Default)]
struct Heard {
    /// When any replica last answered.
    at: Option<Instant>,
    silences: Vec<Silence>,
}

#[derive(Debug, Default)]
pub struct Alerts(RwLock<Heard>);

impl Alerts {
    /// Fingerprints of the complaints that are silenced, as far as was heard.
    pub fn silenced(&self, board: &[Complaint]) -> BTreeSet<String> {
        self.read(|heard| silence::silenced(board, &heard.silences))
    }

    /// Whether nobody answered for so long that nothing is known.
    pub fn unknown(&self, replicas: &Replicas) -> bool {
        self.age().is_none_or(|age| age > replicas.every * MISSED)
    }

    /// Takes note of an answer; whether other silences are in force now.
    fn heard(&self, silences: Vec<Silence>) -> bool {
        let mut heard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let ids = |silences: &[Silence]| silences.iter().map(|silence| silence.id.clone()).collect::<BTreeSet<_>>();
        // A silence that is edited gets another id.
        let changed = heard.at.is_none() || ids(&heard.silences) != ids(&silences);
        *heard = Heard { at: Some(clock::monotonic()), silences };
        changed
    }

    fn age(&self) -> Option<Duration> {
        self.read(|heard| heard.at.map(|at| clock::monotonic().saturating_duration_since(at)))
    }

    fn read<T>(&self, ask: impl FnOnce(&Heard) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

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
        let union = ask(&context, replicas).await;
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
pub async fn ask_again(context: &Context) -> bool {
    match &context.site().alertmanager {
        Some(replicas) => ask(context, replicas).await.answers > 0,
        None => true,
    }
}

async fn ask(context: &Context, replicas: &Replicas) -> Union {
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
