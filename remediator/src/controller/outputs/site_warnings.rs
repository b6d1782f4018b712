//! Warnings about the site's set-up: the leader checks at its start and every ten minutes, and
//! reports each new one as a metric, an Event on the budget object, and a log line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::events::{Event, EventType};
use ossci_base::clock;
use ossci_base::words::ClosedWord;

use crate::controller::context::Context;
use crate::controller::state::site::Site;
use crate::core::site_warnings::Warning;
use crate::metrics::ByWarning;
use crate::wire::budget;
use crate::wire::driver_owner::{RESOURCES, Resource};

/// How often a replica looks whether it leads.
const LEADING_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Runs for as long as the process does.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    let mut known: BTreeMap<Warning, String> = BTreeMap::new();
    loop {
        if !context.leadership.leads() {
            // The leader shows them.
            known.clear();
            show(&context, &known);
            tokio::time::sleep(LEADING_EVERY).await;
            continue;
        }
        let policy = context.sites.subscribe();
        let found = check(&context, &context.site()).await;
        show(&context, &found);
        for (warning, detail) in found.iter().filter(|(warning, detail)| known.get(warning) != Some(detail)) {
            let note = format!("{}{detail}", warning.sentence());
            tracing::warn!(warning = warning.as_str(), "{note}");
            context.events.push(event(*warning, note), vec![budget_object(&context.namespace)]);
        }
        known = found;
        let looks_again = clock::monotonic() + LOOK_EVERY;
        // A new policy may have mended one, or made one.
        while context.leadership.leads() && clock::monotonic() < looks_again && !policy.has_changed().unwrap_or(true) {
            tokio::time::sleep(LEADING_EVERY).await;
        }
    }
}

fn show(context: &Context, found: &BTreeMap<Warning, String>) {
    for &warning in Warning::ALL {
        let gauge = context.metrics.site_warnings.get_or_create_owned(&ByWarning { warning: warning.as_str() });
        gauge.set(found.contains_key(&warning).into());
    }
}

/// Returns the warnings, each with the end of its sentence.
async fn check(context: &Context, site: &Site) -> BTreeMap<Warning, String> {
    let absent = [
        (Warning::NoAlertmanager, site.alertmanager.is_none()),
        (Warning::NoMail, site.mailer.is_none()),
        (Warning::NoCluster, site.cluster.is_none()),
    ];
    let mut found: BTreeMap<Warning, String> =
        absent.into_iter().filter(|(_, absent)| *absent).map(|(warning, _)| (warning, String::new())).collect();
    for resource in RESOURCES {
        match unloading(context, site, &resource).await {
            Ok(objects) if objects.is_empty() => {}
            Ok(objects) => found.entry(Warning::DriverUnloaded).or_default().push_str(&objects),
            // No such operator in this cluster.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::warn!(resource = resource.plural, %error, "cannot look for operators of GPU drivers")
            }
        }
    }
    found
}

/// Returns the objects of one kind that unload a driver, in words.
async fn unloading(context: &Context, site: &Site, resource: &Resource) -> Result<String, kube::Error> {
    let kind = GroupVersionKind::gvk(resource.group, resource.version, resource.kind);
    let api: Api<DynamicObject> =
        Api::all_with(context.client.clone(), &ApiResource::from_gvk_with_plural(&kind, resource.plural));
    let objects = api.list(&ListParams::default()).await?;
    let said = objects.items.iter().filter_map(|object| {
        let missing = resource.unloads_at(&object.data, &site.names);
        let name = object.metadata.name.as_deref().unwrap_or_default();
        (!missing.is_empty()).then(|| format!("; {} {name} does not tolerate {}", resource.kind, missing.join(", ")))
    });
    Ok(said.collect())
}

fn event(warning: Warning, note: String) -> Event {
    let (reason, action) = ("SiteWarning".to_owned(), warning.as_str().to_owned());
    Event { type_: EventType::Warning, reason, note: Some(note), action, secondary: None }
}

fn budget_object(namespace: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        name: Some(budget::NAME.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    }
}
