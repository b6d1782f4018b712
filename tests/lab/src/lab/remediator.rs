//! The remediator of a lab: its policy, and its replicas, of which one leads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use rustix::process::Signal;

use super::{INFRA, Lab, UP};
use crate::bmc::{self, Bmcs};
use crate::pace::Pace;
use crate::parts::{self, Site};
use crate::pki::{Pki, write_secret};
use crate::pods::App;
use crate::programs::{Addresses, Controller};
use crate::site_policy::SitePolicy;
use crate::{ports, process, wait};

const POLICY_READ_AT: &str = "ossci_remediator_policy_last_reload_success_timestamp_seconds ";

impl Lab {
    /// Returns the metrics pages of all replicas, one after the other: only the leader has the
    /// states of nodes and pools.
    pub async fn metrics_of_all(&self) -> Result<String> {
        let (http, mut all) = (&parts::http()?, String::new());
        for replica in self.controller.replicas.values() {
            all += &parts::page(http, &format!("http://{}/metrics", replica.metrics)).await?;
        }
        Ok(all)
    }

    /// Waits until every replica of the remediator has read the current policy file.
    pub(super) async fn await_policy(&self) -> Result<()> {
        let written = fs::metadata(self.policy.file()).and_then(|file| file.modified()).context("the policy file")?;
        let written =
            jiff::Timestamp::try_from(written).context("the policy file's time")?.as_microsecond() as f64 / 1e6;
        let http = &parts::http()?;
        for replica in self.controller.replicas.values() {
            let url = &format!("http://{}/metrics", replica.metrics);
            wait::until("the remediator reads the policy", UP, || async move {
                let page = parts::page(http, url).await?;
                let line = page.lines().find_map(|line| line.strip_prefix(POLICY_READ_AT)).context("no such metric")?;
                let read: f64 = line.trim().parse().context("a time")?;
                if read >= written { Ok(()) } else { bail!("it has not") }
            })
            .await?;
        }
        Ok(())
    }

    /// The webhook address of the leading remediator, host:port.
    pub async fn leading_webhook(&self) -> Result<&str> {
        let leader = self.leader().await?;
        let replica = self.controller.replicas.get(&leader).with_context(|| format!("no replica runs on {leader}"))?;
        Ok(&replica.webhook)
    }

    /// The node of the leading remediator.
    pub(super) async fn leader(&self) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.admin.clone(), "ossci");
        let lease = leases.get("ossci-remediator").await.context("reading the remediator's Lease")?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        Ok(holder.split('_').next().unwrap_or_default().to_owned())
    }

    /// Stops the leading remediator with SIGSTOP: when it continues, it still believes that it
    /// leads.
    pub async fn freeze_leader(&mut self) -> Result<()> {
        self.frozen = Some(self.leader().await?);
        self.signal_frozen(Signal::STOP)
    }

    /// Sets the remediator's own clock `seconds` ahead. The first call restarts it with a clock
    /// that can be set.
    pub async fn set_clock(&self, seconds: i64) -> Result<()> {
        let file = &self.controller.clock;
        let settable = file.exists();
        let new = file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, file).with_context(|| format!("writing {}", file.display()))?;
        if settable { Ok(()) } else { self.kill(App::Controller, None).await }
    }

    /// Gives the remediator the right time again.
    pub async fn restore_clock(&self) -> Result<()> {
        if !self.controller.clock.exists() {
            return Ok(());
        }
        fs::remove_file(&self.controller.clock).context("deleting the remediator's clock file")?;
        self.kill(App::Controller, None).await
    }

    pub fn thaw(&mut self) -> Result<()> {
        self.signal_frozen(Signal::CONT)?;
        self.frozen = None;
        Ok(())
    }

    fn signal_frozen(&self, signal: Signal) -> Result<()> {
        let node = self.frozen.as_deref().context("no remediator is frozen")?;
        let sign = App::Controller.sign_on(&self.node_dir(node));
        match process::signal_all(signal, |text| text.contains(&sign)) {
            0 => bail!("the remediator on {node} does not run"),
            _ => Ok(()),
        }
    }

    pub(super) async fn await_remediator(&self) -> Result<()> {
        for (node, replica) in &self.controller.replicas {
            let log = self.node_dir(node).log(App::Controller.word());
            let webhook = &replica.webhook;
            let listens = wait::until("the remediator's webhook listens", UP, || async move {
                tokio::net::TcpStream::connect(webhook).await.map(drop).context("connecting")
            });
            if let Err(error) = listens.await {
                let pods = self.kubectl.run(&["get", "pods,events", "--namespace=ossci", "--output=wide"]).await;
                let pods = pods.unwrap_or_else(|error| format!("{error:#}"));
                let log = format!("its log {} ends:\n{}", log.display(), process::tail(&log, 15));
                return Err(error.context(format!("{log}\nthe pods of ossci and their Events:\n{pods}")));
            }
        }
        Ok(())
    }
}

pub(super) fn policy(site: &Site, pki: &Pki, smtp: &str, alertmanagers: &[String], bmcs: &Bmcs) -> Result<SitePolicy> {
    let smtp_port = smtp.rsplit(':').next().unwrap_or_default();
    let base = include_str!("../policy.yaml")
        .replace("ALERTMANAGERS", &alertmanagers.join(", "))
        .replace("SMTP_PORT", smtp_port)
        .replace("BMCS", &bmcs.address)
        .replace("BMC_USERNAME", bmc::USERNAME)
        .replace("BMC_PASSWORD", &bmcs.password_file.display().to_string())
        .replace("CA_FILE", &pki.ca_file().display().to_string());
    SitePolicy::write(site.folder("remediator")?.join("policy.yaml"), &base)
}

pub(super) fn controller(site: &Site, pki: &Pki, policy: &Path, token: &str, pace: Pace) -> Result<Controller> {
    let folder: PathBuf = site.folder("remediator")?;
    let token_file = folder.join("token");
    write_secret(&token_file, token)?;
    Ok(Controller {
        policy: policy.to_owned(),
        replicas: INFRA
            .iter()
            .map(|node| {
                let address = || ports::free().map(|port| format!("127.0.0.1:{port}"));
                Ok(((*node).to_owned(), Addresses { webhook: address()?, metrics: address()? }))
            })
            .collect::<Result<_>>()?,
        tls: pki.server("webhook")?,
        token_file,
        clock: folder.join("clock"),
        faketime: site.tools.get("libfaketime")?,
        lease_seconds: pace.lease_seconds,
    })
}
