//! Two Alertmanagers that gossip. Both run the shipped file of `alerts/` with one change, the
//! webhook's address. A story may also shorten the three times of its route.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::replica::Replica;
use super::{Site, flag, http};
use crate::pki::write_secret;
use crate::ports;
use crate::process::Program;

/// The webhook's address in a real cluster, as `alerts/alertmanager.yml` has it.
const SHIPPED_WEBHOOK: &str = "ossci-remediator.ossci.svc:19402";

/// The times of our route, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routes {
    pub group_wait: u64,
    pub group_interval: u64,
    pub repeat_interval: u64,
}

/// The times in the shipped file; the lab checks that they are still there.
const SHIPPED: [(&str, &str); 3] = [
    ("group_wait", "group_wait: 10s"),
    ("group_interval", "group_interval: 1m"),
    ("repeat_interval", "repeat_interval: 10m"),
];

#[derive(Debug)]
pub struct Alertmanager {
    pub replicas: [Replica; 2],
    file: PathBuf,
    /// The shipped text with the lab's webhook.
    text: String,
}

/// Starts both on their addresses (host:port). They post to `webhook` (host:port) with the token
/// that the remediator expects.
pub async fn start(
    site: &Site,
    config: &Path,
    addresses: &[String; 2],
    webhook: &str,
    token: &str,
    ca_pem: &str,
) -> Result<Alertmanager> {
    let folder = site.folder("alertmanager")?;
    let secrets = site.folder("alertmanager/ossci")?;
    write_secret(&secrets.join("token"), token)?;
    write_secret(&secrets.join("ca.crt"), ca_pem)?;
    let shipped = fs::read_to_string(config).with_context(|| format!("reading {}", config.display()))?;
    let text = point_at(&shipped, webhook)?;
    let file = folder.join("alertmanager.yml");
    fs::write(&file, &text).with_context(|| format!("writing {}", file.display()))?;

    let gossip = [format!("127.0.0.1:{}", ports::free()?), format!("127.0.0.1:{}", ports::free()?)];
    let replica = |at: usize| -> Result<Replica> {
        let name = format!("alertmanager-{}", at + 1);
        let (own, peer, address) = (&gossip[at], &gossip[1 - at], &addresses[at]);
        let program = Program::new(&name, site.tools.get("alertmanager")?)
            .args([flag("config.file", &file), flag("storage.path", &folder.join(format!("data-{name}")))])
            .args([format!("--web.listen-address={address}"), format!("--cluster.listen-address={own}")])
            .args([format!("--cluster.advertise-address={own}"), format!("--cluster.peer={peer}")])
            // Shortened: the time for which both wait until the gossip settles, and the second
            // one's wait for the first. It stays below every group_interval of a story: otherwise
            // the second could send `firing` after the first one's `resolved`.
            .args(["--cluster.peer-timeout=1s", "--cluster.gossip-interval=100ms", "--cluster.reconnect-interval=2s"]);
        Ok(Replica::new(name.clone(), address, program, site.log(&name)))
    };
    let (mut one, mut two) = (replica(0)?, replica(1)?);
    tokio::try_join!(one.start(), two.start())?;
    Ok(Alertmanager { replicas: [one, two], file, text })
}

impl Alertmanager {
    /// Shortens the route's times, or restores the shipped ones.
    pub async fn route(&self, routes: Option<Routes>) -> Result<()> {
        let text = match routes {
            Some(routes) => routes.shorten(&self.text)?,
            None => self.text.clone(),
        };
        fs::write(&self.file, text).with_context(|| format!("writing {}", self.file.display()))?;
        self.reload().await
    }

    /// Has each running replica read its configuration again.
    pub async fn reload(&self) -> Result<()> {
        let client = http()?;
        for replica in self.replicas.iter().filter(|replica| replica.lives()) {
            let url = format!("{}/-/reload", replica.url);
            let answer = client.post(&url).send().await.with_context(|| format!("asking {url}"))?;
            let status = answer.status();
            if !status.is_success() {
                bail!("{url} answered {status}: {}", answer.text().await.unwrap_or_default());
            }
        }
        Ok(())
    }
}

impl Routes {
    fn shorten(self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        let times = [self.group_wait, self.group_interval, self.repeat_interval];
        for ((key, shipped), seconds) in SHIPPED.into_iter().zip(times) {
            if text.matches(shipped).count() != 1 {
                bail!("alerts/alertmanager.yml does not contain {shipped:?} exactly once");
            }
            text = text.replace(shipped, &format!("{key}: {seconds}s"));
        }
        Ok(text)
    }
}

/// Returns the shipped text with another webhook address, and no other change.
fn point_at(shipped: &str, webhook: &str) -> Result<String> {
    if shipped.matches(SHIPPED_WEBHOOK).count() != 1 {
        bail!("alerts/alertmanager.yml does not contain {SHIPPED_WEBHOOK} exactly once");
    }
    Ok(shipped.replace(SHIPPED_WEBHOOK, webhook))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment;

    #[test]
    fn only_the_webhook_address_changes() {
        let shipped = format!("a: 1\nurl: https://{SHIPPED_WEBHOOK}/webhook\nb: 2\n");
        assert_eq!(point_at(&shipped, "127.0.0.1:9").unwrap(), "a: 1\nurl: https://127.0.0.1:9/webhook\nb: 2\n");
        assert!(point_at("url: elsewhere", "127.0.0.1:9").is_err());
    }

    #[test]
    fn shortened_routes_differ_in_three_lines() {
        let shipped = fs::read_to_string(environment::repository().join("alerts/alertmanager.yml")).unwrap();
        let short = Routes { group_wait: 2, group_interval: 4, repeat_interval: 8 }.shorten(&shipped).unwrap();
        let changed: Vec<&str> =
            shipped.lines().zip(short.lines()).filter(|(a, b)| a != b).map(|(_, b)| b.trim()).collect();
        assert_eq!(changed, ["group_wait: 2s", "group_interval: 4s", "repeat_interval: 8s"]);
    }
}
