//! Leader election with the Lease `ossci-remediator` of our namespace. It spares two replicas from
//! doing the same work. Safety does not depend on it: guarded writes prevent that a step is done
//! twice.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Resource, ResourceExt};

use crate::api::request;
use crate::controller::context::Context;
use crate::controller::state::leadership::Leadership;
use crate::core::lease::{Candidate, Held};
use ossci_base::clock;

const NAME: &str = "ossci-remediator";
/// Timeout of one round, a read and a write; a slower one would delay the next renewal too much.
const REQUEST: Duration = Duration::from_secs(5);

/// Acquires and renews the Lease for as long as the process runs.
pub async fn run(context: Arc<Context>, mut candidate: Candidate) -> anyhow::Result<()> {
    let mut led = false;
    loop {
        let round = tokio::time::timeout(
            REQUEST.min(candidate.terms().acts_for),
            round(&context.client, &context.namespace, &mut candidate),
        );
        match round.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if request::lost_race(&error) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot renew the Lease, retrying"),
            Err(_) => tracing::warn!("cannot renew the Lease, retrying: the API server does not answer"),
        }
        if context.leadership.set(candidate.leads_until()) {
            context.wake_all();
        }
        let leads = context.leadership.leads();
        if leads != led {
            tracing::info!(replica = candidate.me(), leads, "leadership changed");
            context.metrics.leader.set(i64::from(leads));
            led = leads;
        }
        tokio::time::sleep(candidate.terms().retry).await;
    }
}

/// Reads the Lease; acquires or renews it if this replica may.
async fn round(client: &kube::Client, namespace: &str, candidate: &mut Candidate) -> Result<(), kube::Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let lease = request::found(api.get(NAME).await)?;
    let known = lease.as_ref().map(held);
    if let Some(held) = known {
        candidate.saw(held, clock::monotonic());
    }
    if !candidate.may_take(clock::monotonic()) {
        return Ok(());
    }
    let sent = clock::monotonic();
    let next = written(lease.as_ref(), candidate.me(), candidate.terms().duration);
    let next = match lease {
        None => api.create(&PostParams::default(), &next).await?,
        Some(_) => api.replace(NAME, &PostParams::default(), &next).await?,
    };
    candidate.took(held(&next), sent);
    Ok(())
}

/// Releases the Lease, so that the other replica does not wait until it expires.
pub async fn give_back(client: &kube::Client, namespace: &str, leadership: &Leadership, me: &str) {
    leadership.set(None);
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let given = async {
        let Some(lease) = request::found(api.get(NAME).await)? else { return Ok(()) };
        if held(&lease).holder != me {
            return Ok(());
        }
        let given = written(Some(&lease), "", Duration::from_secs(1));
        api.replace(NAME, &PostParams::default(), &given).await.map(drop)
    };
    match tokio::time::timeout(REQUEST, given).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot release the Lease, it expires by itself"),
        Err(_) => tracing::warn!("cannot release the Lease, it expires by itself: the API server does not answer"),
    }
}

fn held(lease: &Lease) -> Held {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Held {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(seconds),
        resource_version: lease.resource_version().unwrap_or_default(),
    }
}

/// Returns the Lease with `holder` in it. The API server rejects it if the Lease has changed since.
fn written(lease: Option<&Lease>, holder: &str, duration: Duration) -> Lease {
    let now = MicroTime(clock::now());
    let old = lease.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let changes_hands = old.holder_identity.as_deref() != Some(holder);
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
        acquire_time: if changes_hands { Some(now.clone()) } else { old.acquire_time },
        renew_time: Some(now),
        lease_transitions: Some(old.lease_transitions.unwrap_or_default() + i32::from(changes_hands)),
        ..LeaseSpec::default()
    };
    let version = lease.and_then(|lease| lease.meta().resource_version.clone());
    let metadata = ObjectMeta { name: Some(NAME.to_owned()), resource_version: version, ..ObjectMeta::default() };
    Lease { metadata, spec: Some(spec) }
}
