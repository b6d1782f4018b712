//! Notices about a whole pool: one mail when a state such as a brake begins. Annotations of the
//! budget object record the intent before a mail and its acceptance after it, each by itself, so
//! that the next leader does not send it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::request;
use crate::controller::context::Context;
use crate::core::notices;
use crate::core::notices::Notice;
use crate::mail::compose;
use crate::wire::budget;
use ossci_base::clock;

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// At most one mail of a notice in this time, whatever happens to its record.
const AGAIN: Duration = Duration::from_secs(3600);

/// Runs for as long as the process does. A notice that fails is logged and retried; the others are
/// not affected.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    let mut accepted = HashMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if context.leadership.leads() {
            round(&context, &mut accepted).await;
        } else {
            accepted.clear();
        }
    }
}

/// Mails the notices that begin, and records them; removes the records of those that ended.
/// `accepted`: when this process last delivered a notice.
async fn round(context: &Context, accepted: &mut HashMap<String, Instant>) {
    let now = context.now();
    let counts = context.fleet.counts(&context.site().policy, now, clock::monotonic());
    let pools = counts.pools.iter().flat_map(|(pool, of)| notices::standing(pool, of, now));
    let standing: BTreeMap<String, Notice> = pools.map(|notice| (budget::notice_name(&notice.key), notice)).collect();
    let Some(recorded) = context.fleet.notices() else { return };
    for name in recorded.keys().filter(|name| !standing.contains_key(*name)) {
        // It stands for the mails of its nodes: the next storm has its own.
        if name.starts_with(&budget::notice_name(notices::MANY_NEED_PERSON)) {
            accepted.remove(name);
        }
        warn(name, record(context, name, None).await);
    }
    for (name, notice) in &standing {
        if recorded.get(name).copied().flatten().is_none() {
            warn(name, tell(context, name, notice, recorded.contains_key(name), accepted).await);
        }
    }
}

fn warn(notice: &str, done: anyhow::Result<()>) {
    if let Err(error) = done {
        tracing::warn!(notice, error = format!("{error:#}"), "cannot send or record a notice, retrying in 10 s");
    }
}

/// Records the intent, sends the mail, records that it was accepted.
async fn tell(
    context: &Context,
    name: &str,
    notice: &Notice,
    intended: bool,
    accepted: &mut HashMap<String, Instant>,
) -> anyhow::Result<()> {
    if !intended {
        tracing::warn!(why = %notice.why, notice = notice.key, "{}", notice.subject);
        record(context, name, Some(false)).await?;
    }
    let site = context.site();
    // A policy that names a mail server later sends it then.
    let Some(mailer) = &site.mailer else { return Ok(()) };
    let recent = accepted.get(name).is_some_and(|at| clock::monotonic().saturating_duration_since(*at) < AGAIN);
    if !recent {
        let id = format!("<{}.{}@ossci.amd.com>", name.replace('/', "."), context.now().as_second());
        mailer.send(&id, &compose::notice(notice)).await?;
        accepted.insert(name.to_owned(), clock::monotonic());
    }
    record(context, name, Some(true)).await
}

/// Records whether a notice's mail was accepted; `None` removes the record.
async fn record(context: &Context, name: &str, accepted: Option<bool>) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    let map = api.get(budget::NAME).await.context("reading the budget object")?;
    let mut metadata = request::guard(map.meta());
    let value = accepted.map(|accepted| budget::notice_value(accepted, context.now()));
    metadata["annotations"] = json!({ name: value.map_or(Value::Null, Value::String) });
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    let map = api.patch(budget::NAME, &PatchParams::default(), &patch).await.context("recording the notice")?;
    context.fleet.saw_switches(budget::switches(&map));
    Ok(())
}
