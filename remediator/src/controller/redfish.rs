//! Redfish, as much of it as a reset takes: read the node's ComputerSystem, choose a ResetType that it allows, post it.
//!
//! Source of names: DMTF DSP0266 and the schema ComputerSystem (`PowerState`, `#ComputerSystem.Reset`,
//! `ResetType@Redfish.AllowableValues`).

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Certificate, Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use crate::core::record::ResetState;
use crate::wire::policy_file::BmcFile;

/// BMCs are slow; what is older than this is not sent any more anyway.
const READ: Duration = Duration::from_secs(4);
const POST: Duration = Duration::from_secs(20);
/// What ends a boot whatever the machine does, the surest first.
const TYPES: [&str; 2] = ["ForceRestart", "PowerCycle"];

/// The BMCs of a site.
pub struct Bmc {
    http: Client,
    url: String,
    username: String,
    password: String,
    /// How long a kubelet is silent on a node that is dead.
    pub dead: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct System {
    #[serde(default)]
    power_state: Option<String>,
    #[serde(default)]
    actions: Actions,
}

#[derive(Debug, Default, Deserialize)]
struct Actions {
    #[serde(rename = "#ComputerSystem.Reset")]
    reset: Option<ResetAction>,
}

#[derive(Debug, Deserialize)]
struct ResetAction {
    target: String,
    #[serde(rename = "ResetType@Redfish.AllowableValues", default)]
    allowed: Vec<String>,
}

impl Bmc {
    /// # Errors
    /// A file that the policy names cannot be read.
    pub fn new(file: &BmcFile) -> anyhow::Result<Self> {
        let mut http = Client::builder().connect_timeout(READ).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &file.ca_file {
            let pem = std::fs::read(path).with_context(|| format!("reading caFile {}", path.display()))?;
            let ca = Certificate::from_pem_bundle(&pem).with_context(|| format!("caFile {}", path.display()))?;
            http = http.tls_certs_only(ca);
        }
        let password = std::fs::read_to_string(&file.password_file)
            .with_context(|| format!("reading passwordFile {}", file.password_file.display()))?;
        Ok(Self {
            http: http.build().context("setting up HTTP")?,
            url: file.url.clone(),
            username: file.username.clone(),
            password: password.trim().to_owned(),
            dead: Duration::from_secs(file.dead_seconds.into()),
        })
    }

    /// Resets a node, unless it `may` not be sent any more when the BMC has been read. What came of it, in words.
    pub async fn reset(&self, node: &str, may: impl Fn() -> bool) -> (ResetState, String) {
        let (url, wanted) = match self.read(node).await {
            Ok(read) => read,
            Err(error) => return (ResetState::Failed, format!("the BMC was not asked for a reset: {error:#}")),
        };
        if !may() {
            return (ResetState::Failed, "the BMC answered too late to be asked for a reset".to_owned());
        }
        let post = self.http.post(url).basic_auth(&self.username, Some(&self.password)).timeout(POST);
        match post.json(&json!({ "ResetType": wanted })).send().await {
            Ok(answer) if answer.status().is_success() => {
                (ResetState::Sent, format!("the BMC took the reset {wanted} ({})", answer.status()))
            }
            Ok(answer) => (ResetState::Failed, format!("the BMC refused the reset {wanted}: {}", answer.status())),
            Err(error) if error.is_connect() => {
                (ResetState::Failed, format!("the BMC could not be asked for the reset: {}", error.without_url()))
            }
            Err(error) => {
                (ResetState::Unknown, format!("the BMC did not answer the reset {wanted}: {}", error.without_url()))
            }
        }
    }

    /// Where a reset is posted, and which one.
    async fn read(&self, node: &str) -> anyhow::Result<(Url, &'static str)> {
        let url: Url = self.url.replace("{node}", node).parse().context("bmc.url")?;
        let get = self.http.get(url.clone()).basic_auth(&self.username, Some(&self.password)).timeout(READ);
        let answer = get.send().await.map_err(reqwest::Error::without_url).context("reading the ComputerSystem")?;
        if answer.status() != StatusCode::OK {
            bail!("reading the ComputerSystem: {}", answer.status());
        }
        let system: System = answer.json().await.context("the ComputerSystem is not understood")?;
        let action = system.actions.reset.context("the ComputerSystem knows no #ComputerSystem.Reset")?;
        let target = url.join(&action.target).context("the target of the reset")?;
        // Credentials go to the BMC that the policy names, and nowhere else.
        anyhow::ensure!(target.origin() == url.origin(), "the target of the reset is on another host");
        let is_off = system.power_state.as_deref() == Some("Off");
        Ok((target, choose(is_off, &action.allowed)?))
    }
}

/// The surest reset that is allowed; a machine that is off is switched on. A BMC that lists nothing allows all.
fn choose(is_off: bool, allowed: &[String]) -> anyhow::Result<&'static str> {
    let may = |wanted: &&str| allowed.is_empty() || allowed.iter().any(|kind| kind == wanted);
    if is_off {
        return Some("On").filter(may).context("the machine is off, and its BMC does not allow On");
    }
    let chosen = TYPES.into_iter().find(|wanted| may(wanted));
    chosen.with_context(|| format!("the BMC allows none of {}: {}", TYPES.join(", "), allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_surest_reset_that_is_allowed_is_chosen() {
        let allowed = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(false, &allowed(&["On", "PowerCycle", "ForceRestart"])).unwrap(), "ForceRestart");
        assert_eq!(choose(false, &allowed(&["On", "PowerCycle"])).unwrap(), "PowerCycle");
        assert_eq!(choose(false, &[]).unwrap(), "ForceRestart");
        assert_eq!(choose(true, &allowed(&["On", "ForceRestart"])).unwrap(), "On");
        assert!(choose(false, &allowed(&["On", "GracefulRestart"])).is_err());
    }
}
