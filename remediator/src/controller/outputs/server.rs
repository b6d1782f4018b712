//! HTTP server for metrics and health, without TLS. It is read-only and exposes no secret.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::context::Context;
use crate::controller::state::fleet::Fleet;
use crate::core::brakes::Storm;
use crate::core::policy::Policy;
use crate::core::record::Rung;
use crate::core::why::Why;
use crate::metrics::{ByPhase, ByPool, ByPoolAndRung, ByWhy, Standings, seconds};
use crate::metrics_server;
use ossci_base::clock;
use ossci_base::words::ClosedWord;

/// Serves metrics and health on `address`.
pub async fn plain(address: SocketAddr, context: Arc<Context>) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(async || "ready\n"))
        .with_state(context);
    metrics_server::serve(address, routes).await
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let (site, mails) = (context.site(), context.outbox.standing());
    let shown = standings(&context.fleet, &site.policy, context.now());
    shown.mail_configured.set(site.mailer.is_some().into());
    shown.mails_unaccepted.set(i64::try_from(mails.unaccepted).unwrap_or(i64::MAX));
    shown.mail_oldest.set(mails.oldest.map_or(0.0, seconds));
    metrics_server::page(context.metrics.page(&shown))
}

/// Reasons to wait. Each has a series even when no node waits, so that alerting rules find it.
const WAITING: [Why; 19] = [
    Why::ObserveOnly,
    Why::NotManaged,
    Why::ModeTaintOnly,
    Why::OnHold,
    Why::Cordoned,
    Why::UnderMaintenance,
    Why::Paused,
    Why::Silenced,
    Why::AlertsUnknown,
    Why::ClockSkew,
    Why::SeveralClusters,
    Why::WindowClosed,
    Why::StormBrake,
    Why::RungNotWorking,
    Why::TaintLimit,
    Why::Unconfirmed,
    Why::WaitingForBudget,
    Why::WaitingForJobs,
    Why::PodsKept,
];

/// Counts nodes and pools from the cache.
fn standings(fleet: &Fleet, policy: &Policy, now: Timestamp) -> Standings {
    let counts = fleet.counts(policy, now, clock::monotonic());
    let shown = Standings::default();
    for ((rung, phase), nodes) in counts.repairs {
        shown.repairs.get_or_create_owned(&ByPhase { rung: rung.as_str(), phase: phase.as_str() }).set(nodes);
    }
    for why in WAITING {
        shown.waiting.get_or_create_owned(&ByWhy { why: why.as_str() });
    }
    for (why, nodes) in counts.waiting {
        shown.waiting.get_or_create_owned(&ByWhy { why: why.as_str() }).set(nodes);
    }
    shown.slow_networks.set(counts.slow);
    shown.paused.set(i64::from(counts.paused));
    shown.not_understood.set(counts.not_understood);
    for (pool, standing) in counts.pools {
        let of = ByPool { pool };
        let set = |family: &Family<ByPool, Gauge>, value: i64| {
            family.get_or_create_owned(&of).set(value);
        };
        set(&shown.pool_nodes, standing.nodes.into());
        set(&shown.pool_tainted, standing.tainted.into());
        set(&shown.pool_taints_full, standing.taints_full.into());
        set(&shown.budget_places, standing.places.into());
        set(&shown.budget_places_taken, standing.taken.into());
        set(&shown.storm_brake, matches!(standing.storm, Storm::Braking(_)).into());
        for rung in [Rung::Reboot, Rung::Reimage] {
            let stopped = standing.stopped.contains(&rung);
            let rung = ByPoolAndRung { pool: of.pool.clone(), rung: rung.as_str() };
            shown.rung_stopped.get_or_create_owned(&rung).set(stopped.into());
        }
    }
    shown
}
