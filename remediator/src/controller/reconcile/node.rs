//! Reconciles one node: observe, decide, record, act, report. A decision either changes the record
//! or acts on it, so a reconcile goes round until nothing is to be done now.

use std::time::{Duration, Instant};

use kube::api::ObjectMeta;
use ossci_base::clock;
use tokio::sync::MutexGuard;

use super::act::{self, Acting, Outcome};
use super::observe::{self, Read, Surroundings};
use super::plan::{Next, Step, plan};
use super::sight::{Answers, Needs, Sight};
use super::{condition, record, report};
use crate::api::records;
use crate::api::request::{self, RequestError, doing};
use crate::controller::context::Context;
use crate::controller::inputs::poll;
use crate::controller::state::site::Site;
use crate::core::decide::{Action, Decision};
use crate::core::observation::Observation;
use crate::core::retention;
use crate::core::why::{Reason, Why};
use crate::wire::slim_node;

/// More rounds than this in one reconcile mean that something undoes our writes.
const ROUNDS: u32 = 24;
const LOST_RACE: Duration = Duration::from_millis(50);
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How soon the controller looks again for pods whose eviction it asked for.
const EVICTING: Duration = Duration::from_secs(2);

/// Reconciles the node; returns when to look again, `None` when nothing is recorded of it or this
/// replica does not lead.
pub async fn reconcile(context: &Context, node: &str) -> Option<Duration> {
    match rounds(context, node).await {
        Ok(wait) => wait,
        Err(error) if request::lost_race(&error.source) => {
            context.fleet.forget(node);
            Some(LOST_RACE)
        }
        Err(error) => {
            context.metrics.turn_errors.inc();
            tracing::warn!(node, step = error.what, error = %error.source, "reconcile failed, retrying in 5 s");
            Some(AFTER_ERROR)
        }
    }
}

/// Whether the reconcile goes on.
enum Round {
    Goes,
    /// It ends, and the node is reconciled again after this time; `None`: when something wakes it.
    Ends(Option<Duration>),
}

async fn rounds(context: &Context, name: &str) -> Result<Option<Duration>, RequestError> {
    let mut held = Held::default();
    for _ in 0..ROUNDS {
        if !context.leadership.leads() {
            return Ok(None);
        }
        if let Round::Ends(wait) = round(context, name, &mut held).await? {
            return Ok(wait);
        }
    }
    tracing::warn!(
        node = name,
        rounds = ROUNDS,
        "the record did not settle, retrying in 5 s; if this repeats, report it as a bug"
    );
    Ok(Some(AFTER_ERROR))
}

/// What a reconcile holds from one round to the next.
#[derive(Default)]
struct Held<'a> {
    sight: Option<Sight>,
    /// What has to be fresh whenever the sight is read again.
    fresh: Needs,
    alerts_asked: bool,
    confirmation_asked: bool,
    tainting: Option<MutexGuard<'a, ()>>,
    answers: Answers,
    /// The BMC reset or provisioning request that this reconcile put on record, and when.
    requested: Option<(String, Instant)>,
}

impl Held<'_> {
    fn has(&self) -> Needs {
        let of_sight = self.sight.as_ref().map(|sight| sight.has).unwrap_or_default();
        let (taint_lock, alerts) = (self.tainting.is_some(), self.alerts_asked);
        Needs { taint_lock, alerts, confirmation: self.confirmation_asked, ..of_sight }
    }
}

async fn round<'a>(context: &'a Context, name: &str, held: &mut Held<'a>) -> Result<Round, RequestError> {
    let site = context.site();
    let Some(sight) = &held.sight else { return open(context, &site, name, held).await };

    // Observe: what the phase needs beside the record and the Node.
    let record = sight.repair.record();
    let view = sight.node.as_ref().map(|node| slim_node::view(node, &site.names));
    if let Some(missing) = observe::needs(&record, view.as_ref(), &site).missing(held.has()) {
        return fetch(context, &site, name, held, missing).await;
    }

    // Decide.
    let surroundings = Surroundings {
        site: &site,
        fleet: &context.fleet,
        alerts: &context.alerts,
        evictions: &context.evictions,
        skewed: context.time.skewed(),
        now: context.now(),
        at: clock::monotonic(),
    };
    let plan = plan(record, held.answers.clone(), surroundings.now, &site.policy, |record, answers| {
        surroundings.observation(sight, record, answers)
    });
    if let Some(missing) = plan.needs().missing(held.has()) {
        return fetch(context, &site, name, held, missing).await;
    }

    // Record, act or rest.
    match plan.next() {
        Next::Write(steps) => write(context, held, steps).await,
        Next::Do { action, seen, last } => carry_out(context, &site, held, action, &seen, last).await,
        Next::Rest(decision) => rest(context, held, decision).await,
    }
}

/// Reads the record and the Node.
async fn open(context: &Context, site: &Site, name: &str, held: &mut Held<'_>) -> Result<Round, RequestError> {
    let (read, has) = observe::read(&context.client, &context.fleet, site, name, held.fresh).await?;
    match read {
        Read::Both { repair, node } => {
            let (repair, node) = (*repair, node.map(|node| *node));
            held.sight = Some(Sight { repair, node, pods: Vec::new(), kubelet_silent: false, has });
            Ok(Round::Goes)
        }
        // Creating the record is the lock, so a record that another replica created first is as
        // good as ours.
        Read::Unrecorded => {
            let created = records::create(&kube::Api::all(context.client.clone()), name).await;
            context.fleet.saw_record(&created.map_err(doing("creating the record"))?);
            Ok(Round::Goes)
        }
        Read::Nothing => Ok(Round::Ends(None)),
        Read::Unreadable { metadata, error } => unreadable(context, name, &metadata, &error).await,
    }
}

/// Fetches what a plan is missing, in an order that is a safety property: lock, ask Alertmanager,
/// then read, then decide again.
async fn fetch<'a>(
    context: &'a Context,
    site: &Site,
    name: &str,
    held: &mut Held<'a>,
    missing: Needs,
) -> Result<Round, RequestError> {
    // Not under the lock: reconciles that wait share one answer. Without an answer the decision
    // says so.
    if missing.confirmation {
        poll::ask(context).await;
        held.confirmation_asked = true;
    }
    if missing.taint_lock {
        held.tainting = Some(context.tainting.lock().await);
    }
    if missing.alerts {
        if !poll::ask(context).await {
            tracing::warn!(node = name, "no Alertmanager answers, disruptive step postponed for 5 s");
            return Ok(Round::Ends(Some(AFTER_ERROR)));
        }
        held.alerts_asked = true;
    }
    if missing.record || missing.node || missing.alerts {
        // What was read before Alertmanager answered is older than its answer.
        let (record, node) = (missing.record || missing.alerts, missing.node || missing.alerts);
        held.fresh = held.fresh | Needs { record, node, ..Needs::default() };
        held.sight = None;
        return Ok(Round::Goes);
    }
    let Some(sight) = &mut held.sight else { return Ok(Round::Goes) };
    if missing.pods {
        sight.pods = observe::pods_to_leave(&context.client, name).await?;
        sight.has.pods = true;
    }
    if missing.kubelet
        && let Some(bmc) = &site.bmc
    {
        let crash_kernel = sight.repair.record().agent.is_some_and(|report| report.crash_kernel);
        let limit = bmc.dead_after(crash_kernel);
        sight.kubelet_silent = observe::kubelet_is_silent(&context.client, &context.kubelets, name, limit).await?;
        sight.has.kubelet = true;
    }
    Ok(Round::Goes)
}

/// Records the decisions as one guarded write, and reports each.
async fn write(context: &Context, held: &mut Held<'_>, steps: Vec<Step>) -> Result<Round, RequestError> {
    let (Some(sight), Some(last)) = (held.sight.take(), steps.last()) else { return Ok(Round::Goes) };
    let repair = record::write(&context.client, &context.fleet, &sight.repair, &last.decision.next).await?;
    held.requested = steps.iter().find_map(Step::newly_asked).map(|id| (id, clock::monotonic()));
    for step in &steps {
        report::changed(&context.metrics, &context.events, context.now(), &repair, step);
    }
    // The provisioning service's answer is still valid: it is asked once in a reconcile.
    held.answers = Answers { provisioned: held.answers.provisioned.take(), ..Answers::default() };
    (held.tainting, held.alerts_asked) = (None, false);
    // The answer to our own write is as fresh as a read: the next guarded write fails if another
    // writer was faster.
    let has = Needs { record: true, node: sight.has.node, ..Needs::default() };
    held.sight = Some(Sight { repair, has, ..sight });
    Ok(Round::Goes)
}

/// Acts on what is recorded.
async fn carry_out(
    context: &Context,
    site: &Site,
    held: &mut Held<'_>,
    action: Action,
    seen: &Observation,
    last: Decision,
) -> Result<Round, RequestError> {
    let Some(sight) = held.sight.take() else { return Ok(Round::Goes) };
    let evicting = matches!(action, Action::Evict(_));
    tracing::debug!(node = sight.name(), ?action, "acting");
    let acting = Acting { context, site, sight: &sight, seen, requested: held.requested.as_ref() };
    match act::act(&acting, action).await? {
        Outcome::Done if evicting => {
            condition::show(&context.client, &context.fleet, context.now(), &sight, &last.why).await?;
            return Ok(Round::Ends(Some(last.look_again.unwrap_or(EVICTING).min(EVICTING))));
        }
        Outcome::Done => held.sight = Some(sight),
        Outcome::Node(node) => {
            let has = Needs { node: true, ..sight.has };
            held.sight = Some(Sight { node: Some(*node), has, ..sight });
        }
        Outcome::Record(repair) => {
            let has = Needs { record: true, ..sight.has };
            held.sight = Some(Sight { repair: *repair, has, ..sight });
        }
        Outcome::Mail(answer) => {
            held.answers.mail = Some(answer);
            held.sight = Some(sight);
        }
        Outcome::Reset(answer) => held.answers.reset = Some(answer),
        Outcome::Provisioning(answer) => held.answers.provisioned = Some(answer),
    }
    Ok(Round::Goes)
}

/// Nothing is to be done now: shows why, or deletes a record that is finished and old.
async fn rest(context: &Context, held: &mut Held<'_>, decision: Decision) -> Result<Round, RequestError> {
    let Some(sight) = held.sight.take() else { return Ok(Round::Goes) };
    if retention::is_due(&sight.repair.record(), sight.node.is_some(), context.now()) {
        record::delete(&context.client, &sight.repair).await?;
        return Ok(Round::Ends(None));
    }
    condition::show(&context.client, &context.fleet, context.now(), &sight, &decision.why).await?;
    Ok(Round::Ends(decision.look_again.or(Some(Duration::MAX))))
}

/// Shows on the record and on the node that the record cannot be read. Nothing else is done to
/// either.
async fn unreadable(context: &Context, name: &str, metadata: &ObjectMeta, error: &str) -> Result<Round, RequestError> {
    let (client, now) = (&context.client, context.now());
    let why = Reason::new(Why::NotUnderstood, format!("the record cannot be read: {error}"));
    tracing::error!(node = name, error, "record cannot be read, record and node left alone");
    let shown = condition::of_unreadable(client, name).await?;
    condition::of_record(client, now, metadata, shown.as_ref(), &why).await?;
    let node = observe::read_node(client, name).await?;
    condition::of_node(client, &context.fleet, now, node.as_ref(), &why).await?;
    Ok(Round::Ends(None))
}
