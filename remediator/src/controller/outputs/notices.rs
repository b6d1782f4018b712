//! Notices about a whole pool: one mail when a state such as a brake begins. An annotation of the
//! budget object records the mail, so that the next leader does not send it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::request;
use crate::controller::context::Context;
use crate::controller::state::fleet::Fleet;
use crate::controller::state::site::Site;
use crate::core::notices;
use crate::core::notices::Notice;
use crate::mail::compose;
use crate::wire::budget::{NAME, NOTICE_PREFIX};
use ossci_base::clock;

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Runs for as long as the process does. A failed round is logged and retried.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if context.leadership.leads()
            && let Err(error) =
                round(&context.client, &context.namespace, &context.fleet, &context.site(), context.now()).await
        {
            tracing::warn!(error = format!("{error:#}"), "cannot send or record a notice, retrying in 10 s");
        }
    }
}

/// Mails the notices that begin, and records them; removes the records of those that ended.
async fn round(
    client: &kube::Client,
    namespace: &str,
    fleet: &Fleet,
    site: &Site,
    now: Timestamp,
) -> anyhow::Result<()> {
    let counts = fleet.counts(&site.policy, now, clock::monotonic());
    let standing: BTreeMap<String, Notice> = counts
        .pools
        .iter()
        .flat_map(|(pool, of)| notices::standing(pool, of, now))
        .map(|notice| (format!("{NOTICE_PREFIX}{}", notice.key), notice))
        .collect();
    let Some(sent) = fleet.sent_notices() else { return Ok(()) };
    if sent.iter().eq(standing.keys()) {
        return Ok(());
    }
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = api.get(NAME).await?;
    let annotations = map.metadata.annotations.clone().unwrap_or_default();
    let annotated = || annotations.keys().filter(|key| key.starts_with(NOTICE_PREFIX));
    let mut changes: serde_json::Map<String, Value> =
        annotated().filter(|key| !standing.contains_key(*key)).map(|key| (key.clone(), Value::Null)).collect();
    for (key, notice) in standing.iter().filter(|(key, _)| !annotations.contains_key(*key)) {
        tracing::warn!(why = %notice.why, notice = notice.key, "{}", notice.subject);
        if let Some(mailer) = &site.mailer {
            let id = format!("<{}.{}@ossci.amd.com>", notice.key, now.as_second());
            mailer.send(&id, &compose::notice(notice)).await?;
        }
        changes.insert(key.clone(), Value::String(format!("{now:.0}")));
    }
    let mut metadata = request::guard(map.meta());
    metadata["annotations"] = Value::Object(changes);
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    api.patch(NAME, &PatchParams::default(), &patch).await?;
    Ok(())
}
