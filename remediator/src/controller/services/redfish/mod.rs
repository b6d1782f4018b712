//! The Redfish client, as far as a reset needs it: it reads the node's ComputerSystem, chooses an
//! allowed reset, posts it, and follows its task. Success is no proof that the machine was reset: a
//! new boot ID is, and `decide` waits for that.
//!
//! Source of names: DMTF DSP0266 and the schemas ComputerSystem, SessionService and Task.

mod account;
mod pace;
mod pinned;
mod system;
mod talk;
mod task;
#[cfg(test)]
mod tests;
mod trouble;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Client, Url};
use serde_json::json;

use self::account::Accounts;
pub use self::pace::Pace;
use self::system::{ActionInfo, System, Way};
use self::talk::{Limits, Talk};
use self::task::Ending;
use self::trouble::Trouble;
use crate::core::record::ResetState;
use crate::outbound;
use crate::wire::policy_file::{BmcFile, NODE};
use ossci_base::clock;

/// The timeouts of a BMC. A reconcile with a reset takes this long; other nodes are reconciled
/// meanwhile.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the answer to a read. BMCs are slow, but a reset decided more than 5 s ago is not sent
    /// anyway.
    read: Duration,
    /// For the answer to a reset.
    post: Duration,
    /// For a task to finish, and for the power to be off.
    follow: Duration,
    /// Between two reads of a task or of the power state.
    every: Duration,
}

const PATIENCE: Patience = Patience {
    read: Duration::from_secs(4),
    post: Duration::from_secs(20),
    follow: Duration::from_secs(60),
    every: Duration::from_secs(2),
};

/// The BMCs of a site.
pub struct Bmc {
    url: String,
    accounts: Accounts,
    ca_file: Option<std::path::PathBuf>,
    patience: Patience,
    dead: Duration,
    dump: Duration,
}

/// The outcome of a reset, with one sentence.
type Outcome = (ResetState, String);

impl Bmc {
    /// # Errors
    /// A file that the policy names cannot be read.
    pub fn new(file: &BmcFile) -> anyhow::Result<Self> {
        let _ = outbound::client(file.ca_file.as_deref())?;
        Ok(Self {
            url: file.url.clone(),
            accounts: Accounts::new(file)?,
            ca_file: file.ca_file.clone(),
            patience: PATIENCE,
            dead: Duration::from_secs(file.dead_seconds.into()),
            dump: Duration::from_secs(file.dump_seconds.into()),
        })
    }

    /// How long the kubelet of a dead node has not renewed its Lease. A kernel that panicked may
    /// still write its dump, if a crash kernel was loaded.
    pub fn dead_after(&self, crash_kernel: bool) -> Duration {
        if crash_kernel { self.dead.max(self.dump) } else { self.dead }
    }

    /// Resets a node and returns the outcome. The request has to begin before `begin_by`, and only
    /// while it `may`. `uuid`: of the machine that the Node is.
    pub async fn reset(
        &self,
        node: &str,
        uuid: Option<&str>,
        begin_by: Instant,
        may: impl Fn() -> bool + Send + Sync,
    ) -> Outcome {
        let not_asked = |error: anyhow::Error| (ResetState::Failed, format!("no reset was sent: {error:#}"));
        let (url, mut talk) = match self.talk(node) {
            Ok(both) => both,
            Err(error) => return not_asked(error),
        };
        let limits = Limits { begin_by, answer: self.patience.read, may: &may };
        let outcome = match talk.log_in(&limits).await {
            Ok(()) => self.ask(&talk, &url, uuid, &limits).await,
            Err(trouble) => not_asked(anyhow::anyhow!("at the log-in the BMC {trouble}")),
        };
        talk.log_out().await;
        outcome
    }

    /// Finishes a reset whose controller ended in the middle: a machine that it switched off is
    /// switched on. Returns what was found, in words.
    pub async fn finish(&self, node: &str, uuid: Option<&str>) -> anyhow::Result<String> {
        let (url, mut talk) = self.talk(node)?;
        let limits = self.afterwards();
        let said = |trouble: Trouble| anyhow::anyhow!("the BMC {trouble}");
        talk.log_in(&limits).await.map_err(said)?;
        let finished = self.switch_on(&talk, &url, uuid).await;
        talk.log_out().await;
        finished
    }

    async fn switch_on(&self, talk: &Talk, url: &Url, uuid: Option<&str>) -> anyhow::Result<String> {
        // A machine that was switched off a moment ago shows it some seconds later.
        let off = self.is_off(talk, url, &self.afterwards()).await;
        let limits = self.afterwards();
        let said = |trouble: Trouble| anyhow::anyhow!("the BMC {trouble}");
        let answer = talk.get(url, &limits).await.map_err(said)?;
        let system: System = answer.is("the ComputerSystem").map_err(said)?;
        same_machine(&system, uuid)?;
        if !off {
            return Ok("the machine is not off".to_owned());
        }
        let action = system.reset().context("the ComputerSystem has no #ComputerSystem.Reset")?;
        let target = talk.own(&action.target).map_err(said)?;
        let (_, text) = self.send(talk, &target, "On", &limits).await.map_err(said)?;
        Ok(format!("the machine was off: {text}"))
    }

    /// Returns the address of the node's ComputerSystem, and the conversation with its BMC.
    fn talk(&self, node: &str) -> anyhow::Result<(Url, Talk)> {
        let url: Url = self.url.replace(NODE, node).parse().context("bmc.url")?;
        let http = match self.accounts.pins(node)? {
            Some(pins) => Client::builder().tls_backend_preconfigured(pinned::tls(pins)?),
            None => outbound::client(self.ca_file.as_deref())?,
        };
        let http = http.connect_timeout(self.patience.read).redirect(reqwest::redirect::Policy::none());
        let http = http.build().context("setting up HTTP")?;
        Ok((url.clone(), Talk::new(http, url, self.accounts.of(node)?)))
    }

    async fn ask(&self, talk: &Talk, url: &Url, uuid: Option<&str>, limits: &Limits<'_>) -> Outcome {
        let (target, ways) = match look(talk, url, uuid, limits).await {
            Ok(Look::Go(target, ways)) => (target, ways),
            Ok(Look::Starting(how)) => {
                let text =
                    format!("no reset was sent, the machine is starting already: {how}; that counts as the reset");
                return (ResetState::Unknown, text);
            }
            Err(error) => return (ResetState::Failed, format!("no reset was sent: {error:#}")),
        };
        let mut refused = Vec::new();
        for way in ways {
            let (kind, answered) = match way {
                Way::One(kind) => (kind, self.send(talk, &target, kind, limits).await),
                Way::OffAndOn => ("ForceOff", self.send(talk, &target, "ForceOff", limits).await),
            };
            match answered {
                // A listed reset may be refused all the same: try the next way.
                Err(trouble) if trouble.is_refusal() => refused.push(format!("to {kind} it {trouble}")),
                Err(trouble) if !trouble.may_be_done() => {
                    refused.push(format!("to {kind} it {trouble}"));
                    break;
                }
                answered => {
                    let went = match answered {
                        Ok(went) => went,
                        Err(trouble) => (ResetState::Unknown, format!("asked for the reset {kind} the BMC {trouble}")),
                    };
                    return if way == Way::OffAndOn { self.on_again(talk, url, &target, went).await } else { went };
                }
            }
        }
        (ResetState::Failed, format!("the BMC accepted no reset: {}", refused.join(", ")))
    }

    /// Posts once, and follows the task if there is one.
    async fn send(&self, talk: &Talk, target: &Url, kind: &str, limits: &Limits<'_>) -> Result<Outcome, Trouble> {
        let limits = Limits { answer: self.patience.post, ..*limits };
        let answer = talk.post(target, &json!({ "ResetType": kind }), &limits).await?;
        let text = format!("the BMC accepted the reset {kind} ({})", answer.status);
        Ok(match task::follow(talk, &answer, &self.afterwards(), self.patience.every).await {
            Ending::Done => (ResetState::Sent, text),
            Ending::Open(open) => (ResetState::Sent, format!("{text}, {open}")),
            // It is unknown how far it came.
            Ending::Wrong(wrong) => (ResetState::Unknown, format!("{text}, {wrong}")),
        })
    }

    /// Limits for the rest of a reset that has begun. It continues even after leadership was lost:
    /// no other replica switches the machine on.
    fn afterwards(&self) -> Limits<'static> {
        Limits { begin_by: clock::monotonic() + self.patience.follow, answer: self.patience.read, may: &|| true }
    }

    /// Waits until the power is off, and switches it on again. It does so even if the power was not
    /// seen off: a running machine stays as it is.
    async fn on_again(&self, talk: &Talk, url: &Url, target: &Url, went: Outcome) -> Outcome {
        let (limits, (mut state, mut text)) = (self.afterwards(), went);
        if !self.is_off(talk, url, &limits).await {
            state = ResetState::Unknown;
            text += &format!(", the power was not seen off within {:?}", self.patience.follow);
        }
        let limits = self.afterwards();
        loop {
            let trouble = match self.send(talk, target, "On", &limits).await {
                Ok((on, said)) => {
                    let state = if on == ResetState::Sent { state } else { on };
                    return (state, format!("{text}; then {said}"));
                }
                Err(trouble) => trouble,
            };
            // On does nothing to a machine that is on, so it can be repeated.
            let again = trouble.may_be_done() || matches!(trouble, Trouble::Unreachable(_) | Trouble::Refused { .. });
            if !again || clock::monotonic() + self.patience.every >= limits.begin_by {
                let text = format!("{text}; asked for On the BMC {trouble}: the machine may be off");
                return (ResetState::Unknown, text);
            }
            tokio::time::sleep(self.patience.every).await;
        }
    }

    async fn is_off(&self, talk: &Talk, url: &Url, limits: &Limits<'_>) -> bool {
        loop {
            let system = talk.get(url, limits).await.and_then(|answer| answer.is::<System>("the ComputerSystem"));
            if system.is_ok_and(|system| system.is_off()) {
                return true;
            }
            if clock::monotonic() + self.patience.every >= limits.begin_by {
                return false;
            }
            tokio::time::sleep(self.patience.every).await;
        }
    }
}

/// What can be done with a machine.
enum Look {
    /// The address to post a reset to, and the possible ways.
    Go(Url, Vec<Way>),
    /// Nothing: it is starting.
    Starting(String),
}

/// # Errors
/// The BMC's system is another machine than the Node, whose UUID is `uuid`.
fn same_machine(system: &System, uuid: Option<&str>) -> anyhow::Result<()> {
    if let Some((own, wanted)) = uuid.and_then(|wanted| Some((system.of_another(wanted)?, wanted))) {
        anyhow::bail!("this BMC belongs to another machine: its system has the UUID {own}, the Node has {wanted}");
    }
    Ok(())
}

async fn look(talk: &Talk, url: &Url, uuid: Option<&str>, limits: &Limits<'_>) -> anyhow::Result<Look> {
    let said = |what: &str, trouble: Trouble| anyhow::anyhow!("asked for {what} the BMC {trouble}");
    let answer = talk.get(url, limits).await.map_err(|trouble| said("the ComputerSystem", trouble))?;
    let system: System = answer.is("the ComputerSystem").map_err(|trouble| said("the ComputerSystem", trouble))?;
    same_machine(&system, uuid)?;
    if let Some(how) = system.starting(answer.date()) {
        return Ok(Look::Starting(how));
    }
    let action = system.reset().context("the ComputerSystem has no #ComputerSystem.Reset")?;
    let target = talk.own(&action.target).map_err(|trouble| said("its reset", trouble))?;
    let allowed = match (&action.allowed, &action.info) {
        (Some(allowed), _) => allowed.clone(),
        (None, Some(info)) => {
            let info = talk.own(info).map_err(|trouble| said("what it allows", trouble))?;
            let answer = talk.get(&info, limits).await.map_err(|trouble| said("what it allows", trouble))?;
            answer.is::<ActionInfo>("the ActionInfo").map_err(|trouble| said("what it allows", trouble))?.allowed()
        }
        (None, None) => Vec::new(),
    };
    let ways = system.ways(&allowed);
    let power = if system.is_off() { "off" } else { "on" };
    anyhow::ensure!(!ways.is_empty(), "the machine is {power}, and its BMC allows only {}", allowed.join(", "));
    Ok(Look::Go(target, ways))
}
