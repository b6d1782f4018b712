//! Notices about a whole pool: one mail when a state such as a brake begins; and the daily reminder
//! of open cases. Annotations of the budget object record the intent before a mail and its
//! acceptance after it, each by itself, so that the next leader does not send it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::outbox;
use crate::api::request;
use crate::controller::context::Context;
use crate::core::notices;
use crate::core::notices::Notice;
use crate::core::outbox::{Answer, Due};
use crate::core::record::MailKind;
use crate::wire::budget;
use crate::wire::budget::Told;
use ossci_base::clock;

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// At most one mail of a notice in this time, whatever happens to its record.
const AGAIN: Duration = Duration::from_secs(3600);
/// The key of the reminder of open cases.
const REMINDER: &str = "open-cases";
const EACH_DAY: SignedDuration = SignedDuration::from_hours(24);

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

/// Puts the notices that begin into the outbox, and records them; removes the records of those that
/// ended. `accepted`: when this process last saw a notice accepted.
async fn round(context: &Context, accepted: &mut HashMap<String, Instant>) {
    let now = context.now();
    let counts = context.fleet.counts(&context.site().policy, now, clock::monotonic());
    let pools = counts.pools.iter().flat_map(|(pool, of)| notices::standing(pool, of, now));
    let standing: BTreeMap<String, Notice> = pools.map(|notice| (budget::notice_name(&notice.key), notice)).collect();
    let Some(recorded) = context.fleet.notices() else { return };
    let window = context.site().policy.brakes.storm_window;
    let goes_on = SignedDuration::try_from(window / 2).unwrap_or(EACH_DAY);
    let reminder = budget::notice_name(REMINDER);
    for name in recorded.keys().filter(|name| !standing.contains_key(*name) && **name != reminder) {
        // It stands for the mails of its nodes: the next storm has its own.
        if name.starts_with(&budget::notice_name(notices::MANY_NEED_PERSON)) {
            accepted.remove(name);
        }
        context.outbox.withdraw_notice(name);
        warn(name, record(context, name, None).await);
    }
    for (name, notice) in &standing {
        let told = recorded.get(name).copied();
        let accepted_at = told.as_ref().and_then(Told::accepted);
        // A storm that goes on: the mail that told of it stands for those that follow, too.
        let stands = name.starts_with(&budget::notice_name(notices::MANY_NEED_PERSON));
        if stands && accepted_at.is_some_and(|at| now.duration_since(at) > goes_on) {
            warn(name, record(context, name, Some(Told::Accepted(now))).await);
        }
        if accepted_at.is_none() {
            warn(name, tell(context, name, (MailKind::Notice, Some(notice)), told, accepted).await);
        }
    }
    remind(context, &reminder, recorded.get(&reminder).copied(), now).await;
}

fn warn(notice: &str, done: anyhow::Result<()>) {
    if let Err(error) = done {
        tracing::warn!(notice, error = format!("{error:#}"), "cannot record a notice, retrying in 10 s");
    }
}

/// Records the intent, posts the mail, records that it was accepted.
async fn tell(
    context: &Context,
    name: &str,
    (kind, notice): (MailKind, Option<&Notice>),
    told: Option<Told>,
    accepted: &mut HashMap<String, Instant>,
) -> anyhow::Result<()> {
    let since = match told {
        Some(Told::Due(since)) => since,
        // The intent is on record before the mail: a crash between them sends it under the same
        // Message-ID.
        _ => {
            let now = context.now();
            if let Some(notice) = notice {
                tracing::warn!(why = %notice.why, notice = notice.key, "{}", notice.subject);
            }
            record(context, name, Some(Told::Due(now))).await?;
            as_recorded(now)
        }
    };
    let recent = accepted.get(name).is_some_and(|at| clock::monotonic().saturating_duration_since(*at) < AGAIN);
    if !recent {
        let due = Due {
            message_id: message_id(context, name, since),
            kind,
            about: name.to_owned(),
            pool: String::new(),
            since,
            notice: notice.cloned(),
        };
        match context.outbox.post(due) {
            Answer::Accepted(_) => accepted.insert(name.to_owned(), clock::monotonic()),
            Answer::Waits(_) => return Ok(()),
        };
    }
    record(context, name, Some(Told::Accepted(context.now()))).await
}

/// Once a day one mail names all nodes that have needed a person for more than a day.
async fn remind(context: &Context, name: &str, told: Option<Told>, now: Timestamp) {
    let open = !outbox::open_cases(context, now).is_empty();
    let due = match told {
        _ if !open => false,
        Some(Told::Accepted(at)) => now.duration_since(at) > EACH_DAY,
        Some(Told::Due(_)) | None => true,
    };
    if due {
        warn(name, tell(context, name, (MailKind::Reminder, None), told, &mut HashMap::new()).await);
    }
}

/// Returns a time as the annotation has it.
fn as_recorded(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn message_id(context: &Context, name: &str, since: Timestamp) -> String {
    let key = name.trim_start_matches(budget::NOTICE_PREFIX);
    context.site().policy.mail.message_id(&[key, &since.as_second().to_string()])
}

/// Records how far a notice is; `None` removes the record.
async fn record(context: &Context, name: &str, told: Option<Told>) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    let map = api.get(budget::NAME).await.context("reading the budget object")?;
    let mut metadata = request::guard(map.meta());
    metadata["annotations"] = json!({ name: told.map_or(Value::Null, |told| Value::String(told.text())) });
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    let map = api.patch(budget::NAME, &PatchParams::default(), &patch).await.context("recording the notice")?;
    context.fleet.saw_switches(budget::switches(&map));
    Ok(())
}
