//! Alertmanager: runs the real file of `alerts/`, changed in one thing: the webhook's address.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{START, Site, flag, http, page};
use crate::pki::write_secret;
use crate::process::{Process, Program};

/// The webhook's address in a real cluster, as `alerts/alertmanager.yml` has it.
const SHIPPED_WEBHOOK: &str = "ossci-remediator.ossci.svc:19402";

/// Starts it on `address`. It posts to `webhook` (host:port) with the token that the remediator expects.
pub async fn start(
    site: &Site,
    config: &Path,
    address: &str,
    webhook: &str,
    token: &str,
    ca_pem: &str,
) -> Result<Process> {
    let folder = site.folder("alertmanager")?;
    let secrets = site.folder("alertmanager/ossci")?;
    write_secret(&secrets.join("token"), token)?;
    write_secret(&secrets.join("ca.crt"), ca_pem)?;
    let shipped = fs::read_to_string(config).with_context(|| format!("reading {}", config.display()))?;
    let file = folder.join("alertmanager.yml");
    fs::write(&file, point_at(&shipped, webhook)?).with_context(|| format!("writing {}", file.display()))?;

    let mut process = Program::new("alertmanager", site.tools.get("alertmanager")?)
        .args([flag("config.file", &file), flag("storage.path", &folder.join("data"))])
        // No gossip: one instance, and its port would be open to the world.
        .args([format!("--web.listen-address={address}"), "--cluster.listen-address=".into()])
        .start(&site.log("alertmanager"))?;
    let client = http()?;
    let url = format!("http://{address}/-/ready");
    process.ready(START, || async { page(&client, &url).await.map(drop) }).await?;
    Ok(process)
}

/// The shipped text with another webhook address, and nothing else changed.
fn point_at(shipped: &str, webhook: &str) -> Result<String> {
    if shipped.matches(SHIPPED_WEBHOOK).count() != 1 {
        bail!("alerts/alertmanager.yml does not name {SHIPPED_WEBHOOK} exactly once");
    }
    Ok(shipped.replace(SHIPPED_WEBHOOK, webhook))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_webhook_address_changes() {
        let shipped = format!("a: 1\nurl: https://{SHIPPED_WEBHOOK}/webhook\nb: 2\n");
        assert_eq!(point_at(&shipped, "127.0.0.1:9").unwrap(), "a: 1\nurl: https://127.0.0.1:9/webhook\nb: 2\n");
        assert!(point_at("url: elsewhere", "127.0.0.1:9").is_err());
    }
}
