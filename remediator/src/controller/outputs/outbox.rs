//! The sender: takes from the outbox what is due, composes it from the newest record, and tells the
//! node what the server said. One mail at a time, on the leader. No reconcile waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use sha2::{Digest as _, Sha256};

use crate::api::{evidence_maps, request};
use crate::controller::context::Context;
use crate::controller::reconcile::observe;
use crate::core::outbox::{Accepted, Due, Next, Refusal};
use crate::core::record::{Mail, MailKind, Record};
use crate::mail::compose::{Case, Letter, Line, Many};
use crate::mail::{Mailer, Thread, machine};
use crate::metrics::Mails;
use crate::wire::node_repair::NodeRepair;
use ossci_base::words::ClosedWord;

/// How often the sender looks whether it leads, and whether the policy has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs for as long as the process does.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    let mut site = context.site();
    loop {
        if !context.leadership.leads() {
            context.outbox.clear();
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let newest = context.site();
        if !Arc::ptr_eq(&newest, &site) {
            context.outbox.try_now();
            site = newest;
        }
        let next = site.mailer.as_ref().map(|mailer| (mailer, context.outbox.next()));
        let wait = match next {
            Some((mailer, Next::Send(due))) => {
                send(&context, mailer, due).await;
                continue;
            }
            Some((_, Next::Wait(wait))) => wait,
            None => None,
        };
        context.outbox.changed(wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)).await;
    }
}

/// A mail that is composed, and what it is about.
struct Ready {
    due: Vec<Due>,
    thread: Thread,
    letter: Letter,
}

/// Sends one mail about all of these, and wakes the nodes that wait for the answer.
async fn send(context: &Context, mailer: &Mailer, due: Vec<Due>) {
    let kind = due.first().map_or(MailKind::Notice, |first| first.kind);
    let ready = match compose(context, mailer, &due).await {
        Ok(Some(ready)) => ready,
        // No record wants it any more.
        Ok(None) => return due.iter().for_each(|due| context.outbox.withdraw(&due.message_id)),
        Err(error) => {
            tracing::warn!(error = %error, "cannot read what a mail is about, retrying in a minute");
            context.outbox.answered(&due, &Err(unread(&error)));
            return;
        }
    };
    let Ready { due, thread, letter } = ready;
    let say = |step: &str| tracing::debug!(message_id = thread.message_id, "{step}");
    let answer = mailer.send(&thread, &letter, context.now(), &say).await;
    let shared = (due.len() > 1).then(|| thread.message_id.clone());
    let answer = answer.map(|accepted| Accepted { sent_as: shared, ..accepted });
    let about: Vec<&str> = due.iter().map(|due| due.about.as_str()).take(5).collect();
    let (message_id, mails) = (thread.message_id.as_str(), due.len());
    let outcome = match &answer {
        Ok(accepted) => {
            tracing::info!(message_id, kind = %kind, about = about.join(","), mails, "mail accepted");
            for refused in &accepted.refused {
                tracing::error!(message_id, refused, "recipient refused by the mail server");
                count(context, kind, "recipient-refused");
            }
            "accepted"
        }
        Err(refusal) => {
            let words = &refusal.words;
            tracing::error!(message_id, kind = %kind, about = about.join(","), mails, error = words, "mail not accepted");
            "refused"
        }
    };
    count(context, kind, outcome);
    if !context.outbox.answered(&due, &answer) {
        return;
    }
    // Of a refusal all learn that wait for the same server.
    let waiting = if answer.is_err() { context.outbox.waiting() } else { Vec::new() };
    let nodes: BTreeSet<&String> =
        due.iter().chain(&waiting).filter(|due| is_about_node(due)).map(|due| &due.about).collect();
    nodes.into_iter().for_each(|node| context.wakes.wake(node));
}

fn unread(error: &kube::Error) -> Refusal {
    let words = format!("reading what the mail is about: {error}");
    Refusal { words, permanent: false, of_mail: true, retry_after: None }
}

fn count(context: &Context, kind: MailKind, outcome: &'static str) {
    context.metrics.mails.get_or_create_owned(&Mails { kind: kind.as_str(), outcome }).inc();
}

fn is_about_node(due: &Due) -> bool {
    !matches!(due.kind, MailKind::Notice | MailKind::Reminder)
}

/// Returns the mail, or `None` if no record wants it any more.
async fn compose(context: &Context, mailer: &Mailer, due: &[Due]) -> Result<Option<Ready>, kube::Error> {
    let Some(first) = due.first() else { return Ok(None) };
    let now = context.now();
    let thread = |references| Thread {
        message_id: first.message_id.clone(),
        references,
        calm: matches!(first.kind, MailKind::Ended | MailKind::Reminder),
    };
    match (&first.notice, first.kind) {
        (Some(notice), _) => {
            let letter = mailer.notice(notice);
            return Ok(Some(Ready { due: due.to_vec(), thread: thread(vec![]), letter }));
        }
        (None, MailKind::Reminder) => {
            let lines = open_cases(context, now);
            let letter = mailer.many(Many::Still, None, &lines, now);
            return Ok((!lines.is_empty()).then(|| Ready { due: due.to_vec(), thread: thread(vec![]), letter }));
        }
        _ => {}
    }
    let (mut wanted, alone) = (Vec::new(), due.len() == 1);
    for due in due {
        let repair = match record(context, &due.about, alone).await {
            // One record that cannot be read holds no other back.
            Err(error) if !alone => {
                context.outbox.answered(std::slice::from_ref(due), &Err(unread(&error)));
                continue;
            }
            read => read?,
        };
        let record = repair.map(|repair| repair.record());
        match record.filter(|record| mail_of(record, &due.message_id).is_some()) {
            Some(record) => wanted.push((due.clone(), record)),
            None => context.outbox.withdraw(&due.message_id),
        }
    }
    match wanted.as_slice() {
        [] => Ok(None),
        [(due, record)] => one(context, mailer, due, record).await,
        many => Ok(Some(folded(mailer, many, now))),
    }
}

/// Returns the mail that a record wants, if no server has accepted it.
fn mail_of<'a>(record: &'a Record, message_id: &str) -> Option<&'a Mail> {
    let episode = record.repair.episode.as_ref()?;
    episode.mails.iter().find(|mail| mail.message_id == message_id && mail.is_wanted_in(episode.phase))
}

/// Reads the record; of many nodes at once, the cached ones do.
async fn record(context: &Context, node: &str, newest: bool) -> Result<Option<NodeRepair>, kube::Error> {
    if !newest && let (Some(cached), _) = context.fleet.cached(node) {
        return Ok(Some((*cached).clone()));
    }
    request::found(Api::<NodeRepair>::all(context.client.clone()).get(node).await)
}

/// Returns the mail about one node.
async fn one(context: &Context, mailer: &Mailer, due: &Due, record: &Record) -> Result<Option<Ready>, kube::Error> {
    let node = request::found(Api::<Node>::all(context.client.clone()).get(&due.about).await)?;
    let machine = node.as_ref().map(machine);
    let told = record.repair.episode.iter().flat_map(|episode| &episode.mails);
    let told: Vec<&Mail> = told.filter(|mail| mail.accepted_at.is_some()).collect();
    let thread = Thread {
        message_id: due.message_id.clone(),
        references: told.iter().map(|mail| mail.known_as().to_owned()).collect(),
        calm: due.kind == MailKind::Ended,
    };
    let letter = if due.kind == MailKind::Ended {
        let about = told.last().and_then(|mail| mail.subject.as_deref());
        let case = Case { node: &due.about, machine: machine.as_ref(), record, pods: &[], evidence: &[] };
        mailer.ended(&case, about)
    } else {
        // A mail without them is better than none.
        let pods = observe::pods_to_leave(&context.client, &due.about).await.unwrap_or_default();
        let evidence = evidence_maps::files_of(&context.client, &context.namespace, record).await;
        let case = Case { node: &due.about, machine: machine.as_ref(), record, pods: &pods, evidence: &evidence };
        mailer.about_node(&case)
    };
    Ok(letter.map(|letter| Ready { due: vec![due.clone()], thread, letter }))
}

/// Returns one mail about many nodes of a pool. Its Message-ID names exactly these.
fn folded(mailer: &Mailer, many: &[(Due, Record)], now: Timestamp) -> Ready {
    let due: Vec<Due> = many.iter().map(|(due, _)| due.clone()).collect();
    let mut ids: Vec<&str> = due.iter().map(|due| due.message_id.as_str()).collect();
    ids.sort_unstable();
    let domain =
        ids.first().and_then(|id| id.trim_end_matches('>').rsplit_once('@')).map_or("localhost", |(_, domain)| domain);
    let message_id = format!("<many.{}.{:.16x}@{domain}>", ids.len(), Sha256::digest(ids.join(" ")));
    let (kind, pool) = due.first().map_or((MailKind::Escalation, ""), |first| (first.kind, first.pool.as_str()));
    let what = match kind {
        MailKind::Waiting => Many::Wait,
        MailKind::Ended => Many::Ended,
        _ => Many::NeedPerson,
    };
    let lines: Vec<Line> = many.iter().filter_map(|(due, record)| Line::of(&due.about, record)).collect();
    let told = many.iter().flat_map(|(_, record)| record.repair.episode.iter().flat_map(|episode| &episode.mails));
    let references: BTreeSet<String> =
        told.filter(|mail| mail.accepted_at.is_some()).map(|mail| mail.known_as().to_owned()).collect();
    // Header lines have a limit, and a reader's program looks only for one that it knows.
    let references = references.into_iter().take(20).collect();
    let letter = mailer.many(what, Some(pool), &lines, now);
    Ready { due, thread: Thread { message_id, references, calm: kind == MailKind::Ended }, letter }
}

/// How long a case is open before a reminder names it.
const OPEN: SignedDuration = SignedDuration::from_hours(24);

/// Returns the nodes that have needed a person for more than a day, by name.
pub fn open_cases(context: &Context, now: Timestamp) -> Vec<Line> {
    let cases = context.fleet.need_person().into_iter().filter(|case| now.duration_since(case.since) > OPEN);
    let lines = cases.map(|case| {
        let (repair, _) = context.fleet.cached(&case.node);
        let record = repair.map(|repair| repair.record());
        let known = record.and_then(|record| Line::of(&case.node, &record));
        known.unwrap_or(Line {
            node: case.node,
            since: case.since,
            words: "see kubectl describe noderepair".to_owned(),
        })
    });
    lines.collect()
}
