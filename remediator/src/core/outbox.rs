//! The outbox: which mail is sent next, and when. It holds what the reconciles and the notices
//! have recorded as due, and what the mail server answered. It sends nothing.
//!
//! A mail stays here until a server accepts it or its record no longer wants it. What is recorded
//! survives the process; this does not, so the next leader fills its own outbox from the records.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::notices::Notice;
use super::record::MailKind;

/// At most this many mails in a minute: Exchange Online takes 30 from one mailbox.
const A_MINUTE: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// More nodes of a pool than this within [`RECENT`] share one mail.
const SINGLES: usize = 5;
const RECENT: Duration = Duration::from_secs(600);
/// How long the second mail of a pool within [`RECENT`] waits for more nodes, and each later one.
const GATHERS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(55)];
/// The wait after the first refusal; it doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = MINUTE;
const SLOWEST: Duration = Duration::from_secs(900);
/// An error that waiting does not mend is tried this often at [`FIRST_WAIT`], then at [`SLOWEST`].
const QUICK_TRIES: u32 = 3;
/// A server may ask for a longer wait than ours, up to this.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long an acceptance is remembered for a record that could not be written.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Nodes that one mail names.
const NAMED: usize = 500;

/// One mail that is recorded as due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub message_id: String,
    pub kind: MailKind,
    /// The node, or the key of the notice.
    pub about: String,
    /// Mails about nodes of one pool may become one mail. Empty: this one stands alone.
    pub pool: String,
    /// Since when it has been due, for people.
    pub since: Timestamp,
    /// What a mail about a pool says; one about nodes is composed from their records.
    pub notice: Option<Notice>,
}

/// How a server accepted a mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    pub subject: String,
    /// The Message-ID of the mail that named this node beside others; `None`: it had its own.
    pub sent_as: Option<String>,
    /// The recipients that the server refused, each with its words.
    pub refused: Vec<String>,
}

/// Why a mail was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In one sentence, with the server's own words.
    pub words: String,
    /// Waiting alone does not mend it: a password, a certificate, an address.
    pub permanent: bool,
    /// It is about this mail: others may pass.
    pub of_mail: bool,
    /// The wait that the server asks for.
    pub retry_after: Option<Duration>,
}

/// What is known of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Accepted(Accepted),
    /// Not yet, with the last refusal's words.
    Waits(Option<String>),
}

/// What the sender does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// One mail about all of these.
    Send(Vec<Due>),
    /// Nothing before this time has passed, or something is posted.
    Wait(Option<Duration>),
}

/// The sums for the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    pub unaccepted: usize,
    pub oldest: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    due: Due,
    posted: Instant,
    /// It has waited for others of its pool, and is sent by itself.
    alone: bool,
    refusals: u32,
    not_before: Option<Instant>,
    words: Option<String>,
    accepted: Option<(Instant, Accepted)>,
}

/// The mails that are due, and the state of the server.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: BTreeMap<String, Entry>,
    /// Failures of the server in a row, and when it may be asked again.
    failures: u32,
    not_before: Option<Instant>,
    /// The deliveries of the last minute.
    recent: VecDeque<Instant>,
    /// By pool and kind: when mails were accepted, and how many nodes they named.
    told: BTreeMap<(String, MailKind), Vec<(Instant, usize)>>,
}

impl Outbox {
    /// Adds a mail unless it is known; returns what is known of it.
    pub fn post(&mut self, due: Due, at: Instant) -> Answer {
        self.entries.retain(|_, entry| {
            entry.accepted.as_ref().is_none_or(|(when, _)| at.saturating_duration_since(*when) < REMEMBERED)
        });
        // A notice keeps the Message-ID that it was posted with, whatever the policy says by now.
        let same = |entry: &&Entry| {
            entry.due.pool.is_empty()
                && (entry.due.kind, &entry.due.about, entry.due.since) == (due.kind, &due.about, due.since)
        };
        let known = self.entries.values().find(same).map(|entry| entry.due.message_id.clone());
        let id = known.unwrap_or_else(|| due.message_id.clone());
        let entry = self.entries.entry(id).or_insert_with(|| Entry {
            due,
            posted: at,
            alone: false,
            refusals: 0,
            not_before: None,
            words: None,
            accepted: None,
        });
        match &entry.accepted {
            Some((_, accepted)) => Answer::Accepted(accepted.clone()),
            None => Answer::Waits(entry.words.clone()),
        }
    }

    /// Removes a mail that its record does not want any more.
    pub fn withdraw(&mut self, message_id: &str) {
        self.entries.remove(message_id);
    }

    /// Removes the notice of this key.
    pub fn withdraw_notice(&mut self, about: &str) {
        self.entries.retain(|_, entry| entry.due.about != about || !entry.due.pool.is_empty());
    }

    /// Forgets everything: another replica leads.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Ends all waits: the policy has changed.
    pub fn try_now(&mut self) {
        (self.failures, self.not_before) = (0, None);
        for entry in self.entries.values_mut() {
            (entry.refusals, entry.not_before) = (0, None);
        }
    }

    /// Returns what to send now, or how long to wait.
    pub fn next(&mut self, at: Instant) -> Next {
        self.recent.retain(|sent| at.saturating_duration_since(*sent) < MINUTE);
        let paced = self.recent.front().filter(|_| self.recent.len() >= A_MINUTE).map(|oldest| *oldest + MINUTE);
        let held = [self.not_before, paced].into_iter().flatten().max();
        let mut groups: BTreeMap<(String, MailKind), Vec<&Entry>> = BTreeMap::new();
        let mut soonest: Option<Instant> = None;
        let (mut first, mut ready): (Option<Instant>, Option<Vec<String>>) = (None, None);
        for entry in self.entries.values().filter(|entry| entry.accepted.is_none()) {
            if let Some(wait) = entry.not_before.filter(|until| *until > at) {
                soonest = Some(soonest.map_or(wait, |known| known.min(wait)));
            } else if entry.alone || entry.due.pool.is_empty() {
                if first.is_none_or(|known| entry.posted < known) {
                    (first, ready) = (Some(entry.posted), Some(vec![entry.due.message_id.clone()]));
                }
            } else {
                groups.entry((entry.due.pool.clone(), entry.due.kind)).or_default().push(entry);
            }
        }
        let mut singles = Vec::new();
        for (group, mut entries) in groups {
            let told: Vec<_> =
                self.told.get(&group).into_iter().flatten().filter(|(when, _)| at < *when + RECENT).collect();
            let gathers = match told.len() {
                0 => Duration::ZERO,
                mails => GATHERS[(mails - 1).min(GATHERS.len() - 1)],
            };
            entries.sort_by_key(|entry| entry.posted);
            let Some(begins) = entries.first().map(|entry| entry.posted) else { continue };
            let ends = begins + gathers;
            if ends > at {
                soonest = Some(soonest.map_or(ends, |known| known.min(ends)));
                continue;
            }
            let nodes = entries.len() + told.iter().map(|(_, nodes)| nodes).sum::<usize>();
            let together = if nodes > SINGLES { entries.len().min(NAMED) } else { 1 };
            let ids: Vec<_> = entries.iter().map(|entry| entry.due.message_id.clone()).collect();
            if together == 1 {
                singles.extend(ids.iter().cloned());
            }
            if first.is_none_or(|known| begins < known) {
                (first, ready) = (Some(begins), Some(ids.into_iter().take(together).collect()));
            }
        }
        match (ready, held.filter(|until| *until > at)) {
            (Some(_), Some(until)) => Next::Wait(Some(until - at)),
            (None, _) => Next::Wait(soonest.map(|until| until.saturating_duration_since(at))),
            (Some(ids), None) => {
                for id in singles {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.alone = true;
                    }
                }
                self.recent.push_back(at);
                Next::Send(ids.iter().filter_map(|id| self.entries.get(id)).map(|entry| entry.due.clone()).collect())
            }
        }
    }

    /// Records that the server accepted the mail about all of these.
    pub fn accepted(&mut self, mails: &[Due], accepted: &Accepted, at: Instant) {
        (self.failures, self.not_before) = (0, None);
        if let Some(first) = mails.first().filter(|first| !first.pool.is_empty()) {
            let told = self.told.entry((first.pool.clone(), first.kind)).or_default();
            told.retain(|(when, _)| at < *when + RECENT);
            told.push((at, mails.len()));
        }
        for due in mails {
            if let Some(entry) = self.entries.get_mut(&due.message_id) {
                entry.accepted = Some((at, accepted.clone()));
            }
        }
    }

    /// Records that the mail about all of these was not accepted. Returns whether that is news: the
    /// same words again change no record.
    pub fn refused(&mut self, mails: &[Due], refusal: &Refusal, at: Instant) -> bool {
        let mut news = false;
        let server_waits = if refusal.of_mail {
            FIRST_WAIT
        } else {
            self.failures += 1;
            wait(self.failures, refusal, mails)
        };
        self.not_before = Some(at + server_waits);
        for due in mails {
            if let Some(entry) = self.entries.get_mut(&due.message_id) {
                entry.refusals += 1;
                news |= entry.words.as_ref() != Some(&refusal.words);
                entry.words = Some(refusal.words.clone());
                entry.not_before = refusal.of_mail.then(|| at + wait(entry.refusals, refusal, mails));
            }
        }
        // A server that takes nothing is what all the others wait for, too.
        if !refusal.of_mail {
            for entry in self.entries.values_mut().filter(|entry| entry.accepted.is_none()) {
                news |= entry.words.as_ref() != Some(&refusal.words);
                entry.words = Some(refusal.words.clone());
            }
        }
        news
    }

    /// Returns the mails that no server has accepted.
    pub fn waiting(&self) -> impl Iterator<Item = &Due> {
        self.entries.values().filter(|entry| entry.accepted.is_none()).map(|entry| &entry.due)
    }

    pub fn standing(&self) -> Standing {
        Standing { unaccepted: self.waiting().count(), oldest: self.waiting().map(|due| due.since).min() }
    }
}

/// Returns the wait after this refusal in a row. Up to a quarter is added, so that many clusters do
/// not ask one server at the same time.
fn wait(refusals: u32, refusal: &Refusal, mails: &[Due]) -> Duration {
    if let Some(asked) = refusal.retry_after {
        return asked.clamp(Duration::from_secs(1), LONGEST);
    }
    let plain = match refusal.permanent {
        true if refusals < QUICK_TRIES => FIRST_WAIT,
        true => SLOWEST,
        false => FIRST_WAIT.saturating_mul(1 << refusals.saturating_sub(1).min(10)).min(SLOWEST),
    };
    let seed = mails
        .iter()
        .flat_map(|due| due.message_id.bytes())
        .fold(refusals, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    plain + plain.mul_f64(f64::from(seed % 256) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(kind: MailKind, pool: &str, n: u32) -> Due {
        Due {
            message_id: format!("<{n}@{pool}>"),
            kind,
            about: format!("n{n}"),
            pool: pool.into(),
            since: Timestamp::from_second(n.into()).unwrap(),
            notice: None,
        }
    }

    fn escalation(n: u32) -> Due {
        due(MailKind::Escalation, "gpu", n)
    }

    fn sec(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refusal(permanent: bool) -> Refusal {
        Refusal { words: "452 try later".into(), permanent, of_mail: false, retry_after: None }
    }

    /// Runs a sender in simulated time; `server` answers each mail. Returns what was sent, and
    /// when.
    fn sends(
        outbox: &mut Outbox,
        from: Instant,
        until: Instant,
        mut server: impl FnMut(&[Due]) -> Result<(), Refusal>,
    ) -> Vec<(Duration, Vec<Due>)> {
        let (mut at, mut sent) = (from, Vec::new());
        while at < until {
            match outbox.next(at) {
                Next::Send(mails) => {
                    sent.push((at - from, mails.clone()));
                    match server(&mails) {
                        Ok(()) => outbox.accepted(&mails, &Accepted::default(), at),
                        Err(refusal) => {
                            outbox.refused(&mails, &refusal, at);
                        }
                    }
                }
                Next::Wait(Some(wait)) => at += wait.max(Duration::from_millis(1)),
                Next::Wait(None) => break,
            }
        }
        sent
    }

    #[test]
    fn one_mail_goes_at_once_and_is_sent_once() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        assert_eq!(outbox.post(escalation(1), begin), Answer::Waits(None));
        assert_eq!(outbox.post(escalation(1), begin), Answer::Waits(None), "posted twice");
        assert_eq!(outbox.next(begin), Next::Send(vec![escalation(1)]));
        let accepted = Accepted { refused: vec!["x@y: 550 no".into()], ..Accepted::default() };
        outbox.accepted(&[escalation(1)], &accepted, begin);
        assert_eq!(outbox.next(begin), Next::Wait(None));
        assert_eq!(outbox.post(escalation(1), begin + sec(60)), Answer::Accepted(accepted));
    }

    #[test]
    fn many_escalations_are_three_mails_that_name_all() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        let mut sent = Vec::new();
        for n in 0..250_u32 {
            let at = begin + Duration::from_millis(240) * n;
            outbox.post(escalation(n), at);
            let next = at + Duration::from_millis(240);
            // Each call counts its times from its own beginning.
            sent.extend(
                sends(&mut outbox, at, next, |_| Ok(())).into_iter().map(|(wait, mails)| (at - begin + wait, mails)),
            );
        }
        let end = begin + sec(60);
        sent.extend(
            sends(&mut outbox, end, end + sec(600), |_| Ok(()))
                .into_iter()
                .map(|(wait, mails)| (sec(60) + wait, mails)),
        );
        let sizes: Vec<_> = sent.iter().map(|(_, mails)| mails.len()).collect();
        assert_eq!((sizes.len(), sizes.iter().sum::<usize>(), sent[0].0), (3, 250, Duration::ZERO), "{sizes:?}");
        assert!(sent[2].0 < sec(120), "{:?}", sent[2].0);
    }

    #[test]
    fn five_nodes_of_a_pool_have_their_own_mails() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        for n in 0..5 {
            outbox.post(escalation(n), begin);
        }
        let sent = sends(&mut outbox, begin, begin + sec(300), |_| Ok(()));
        assert!(sent.len() == 5 && sent.iter().all(|(at, mails)| mails.len() == 1 && *at <= sec(20)), "{sent:?}");
        outbox.post(escalation(6), begin + sec(400));
        let sixth = sends(&mut outbox, begin + sec(400), begin + sec(500), |_| Ok(()));
        assert_eq!(sixth[0], (sec(55), vec![escalation(6)]), "one node alone is a mail of its own");
    }

    #[test]
    fn pools_and_kinds_do_not_share_a_mail() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        for n in 0..8 {
            outbox.post(due(MailKind::Escalation, "a", n), begin);
            outbox.post(due(MailKind::Escalation, "b", n), begin);
            outbox.post(due(MailKind::Ended, "a", 100 + n), begin);
        }
        let sent = sends(&mut outbox, begin, begin + sec(60), |_| Ok(()));
        assert_eq!(sent.iter().map(|(_, mails)| mails.len()).collect::<Vec<_>>(), [8, 8, 8]);
        let alike = |mails: &[Due]| mails.iter().all(|due| (&due.pool, due.kind) == (&mails[0].pool, mails[0].kind));
        assert!(sent.iter().all(|(_, mails)| alike(mails)));
    }

    #[test]
    fn no_more_than_twenty_mails_go_in_a_minute() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        for n in 0..50 {
            outbox.post(due(MailKind::Notice, "", n), begin);
        }
        // Without a pool all have one Message-ID's form, and each stands alone.
        let sent = sends(&mut outbox, begin, begin + sec(600), |_| Ok(()));
        for (at, _) in &sent {
            let minute = sent.iter().filter(|(other, _)| *other >= *at && *other < *at + MINUTE).count();
            assert!(minute <= A_MINUTE, "{minute} mails from {at:?}");
        }
        assert_eq!(sent.len(), 50);
    }

    #[test]
    fn a_refusing_server_is_asked_once_a_minute_at_most_whatever_waits() {
        for permanent in [false, true] {
            let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
            for n in 0..100 {
                outbox.post(due(MailKind::Escalation, &format!("pool-{}", n % 40), n), begin);
            }
            let sent = sends(&mut outbox, begin, begin + sec(24 * 3600), |_| Err(refusal(permanent)));
            let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= sec(60)), "{times:?}");
            assert!((70..110).contains(&times.len()), "{} attempts in a day", times.len());
            assert!(outbox.entries.len() == 100 && outbox.recent.len() <= A_MINUTE, "memory is flat");
            let answer = outbox.post(due(MailKind::Escalation, "pool-19", 99), begin + sec(24 * 3600));
            assert_eq!(answer, Answer::Waits(Some("452 try later".into())));
            outbox.try_now();
            assert!(matches!(outbox.next(begin + sec(24 * 3600)), Next::Send(_)), "the policy has changed");
        }
    }

    #[test]
    fn a_permanent_error_is_tried_three_times_and_then_each_quarter_of_an_hour() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        outbox.post(escalation(1), begin);
        let sent = sends(&mut outbox, begin, begin + sec(3600), |_| Err(refusal(true)));
        let waits: Vec<_> = sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs()).collect();
        assert!(waits[..2].iter().all(|wait| (60..76).contains(wait)), "{waits:?}");
        assert!(waits[2..].iter().all(|wait| (900..1126).contains(wait)), "{waits:?}");
    }

    #[test]
    fn the_server_chooses_the_wait() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        outbox.post(escalation(1), begin);
        assert!(matches!(outbox.next(begin), Next::Send(_)));
        let busy = Refusal { retry_after: Some(sec(7)), ..refusal(false) };
        assert!(outbox.refused(&[escalation(1)], &busy, begin), "the first refusal is news");
        assert!(!outbox.refused(&[escalation(1)], &busy, begin), "the same words again are none");
        assert_eq!(outbox.next(begin), Next::Wait(Some(sec(7))));
        outbox.refused(&[escalation(1)], &Refusal { retry_after: Some(sec(999_999)), ..busy }, begin);
        assert_eq!(outbox.next(begin), Next::Wait(Some(LONGEST)));
    }

    #[test]
    fn a_mail_that_is_refused_for_itself_does_not_hold_the_others() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        for n in 1..=3 {
            outbox.post(due(MailKind::Escalation, &format!("p{n}"), n), begin);
        }
        let spam = Refusal { of_mail: true, permanent: true, ..refusal(true) };
        let sent = sends(&mut outbox, begin, begin + sec(1200), |mails| {
            if mails[0].about == "n1" { Err(spam.clone()) } else { Ok(()) }
        });
        let others = sent.iter().filter(|(at, mails)| mails[0].about != "n1" && *at < sec(180)).count();
        assert_eq!(others, 2, "{sent:?}");
        assert_eq!(outbox.standing().unaccepted, 1);
    }

    #[test]
    fn what_is_withdrawn_is_not_sent_and_the_oldest_is_shown() {
        let (mut outbox, begin) = (Outbox::default(), ossci_base::clock::monotonic());
        outbox.post(escalation(4), begin);
        outbox.post(escalation(9), begin);
        assert_eq!(outbox.standing(), Standing { unaccepted: 2, oldest: Timestamp::from_second(4).ok() });
        outbox.withdraw("<4@gpu>");
        assert_eq!(outbox.next(begin), Next::Send(vec![escalation(9)]));
        outbox.clear();
        assert_eq!((outbox.next(begin), outbox.standing()), (Next::Wait(None), Standing::default()));
    }
}
