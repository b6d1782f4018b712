//! The BMCs of the virtual machines. sushy-emulator serves Redfish with TLS and a password, and
//! notifies the lab of every power change, which the lab applies to the virtual machine. The
//! emulator applies a pending change only when the system is read, so the lab polls it once a
//! second while a change is pending.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};
use serde_json::Value;

use super::power::PowerSwitch;
use super::sushy::Sushy;
use crate::bmc::USERNAME;
use crate::lab::Lab;
use crate::ports;
use crate::process::Process;

/// Timeout for the emulator's first answer: it is Python on a busy machine.
const STARTS: Duration = Duration::from_secs(60);
const LOOKS: Duration = Duration::from_secs(1);

/// The power state of one machine, as its BMC has it.
#[derive(Debug)]
struct Switch {
    power: PowerSwitch,
    off: bool,
    /// The emulator has a pending change, which it applies at the next read.
    pending: bool,
    resets: u32,
}

type Switches = Arc<Mutex<BTreeMap<String, Switch>>>;

/// A running emulator.
pub struct Bmcs {
    /// host:port.
    address: String,
    switches: Switches,
    _emulator: Process,
}

impl Bmcs {
    /// Starts the BMCs of machines with these names.
    pub async fn start(lab: &Lab, sushy: &Sushy, machines: &[String]) -> Result<Self> {
        let folder = lab.facts.dir.join("bmc");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let switches = Switches::default();
        let told = tell(Arc::clone(&switches)).await?;
        let (port, tls) = (ports::free()?, lab.server_identity("emulator")?);
        let password_file = lab.bmc_password();
        let accounts = folder.join("accounts");
        let account = format!("{USERNAME}:{}\n", sushy.hashed(password_file).await?);
        fs::write(&accounts, account).context("writing the BMCs' account")?;
        let systems: Vec<String> = machines.iter().map(|name| system(name)).collect();
        let config = folder.join("emulator.py");
        let text = format!(
            "SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n\
             SUSHY_EMULATOR_SSL_CERT = '{}'\nSUSHY_EMULATOR_SSL_KEY = '{}'\nSUSHY_EMULATOR_AUTH_FILE = '{}'\n\
             SUSHY_EMULATOR_STATE_DIR = '{}'\nEXTERNAL_NOTIFICATION_URL = 'http://{told}/'\n\
             SUSHY_EMULATOR_FAKE_SYSTEMS = [{}]\n",
            tls.cert.display(),
            tls.key.display(),
            accounts.display(),
            folder.display(),
            systems.join(", ")
        );
        fs::write(&config, text).context("writing the emulator's configuration")?;
        let mut emulator = sushy.emulator(&config).start(&folder.join("emulator.log"))?;
        let address = format!("127.0.0.1:{port}");
        let ca = reqwest::Certificate::from_pem(&fs::read(lab.ca_file()).context("reading the lab's CA")?)?;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).timeout(STARTS).build()?;
        let password = fs::read_to_string(password_file).context("reading the BMCs' password")?;
        let looks = Looks { client, password, url: format!("https://{address}/redfish/v1/Systems") };
        for name in machines {
            emulator.ready(STARTS, || looks.at(name)).await?;
        }
        tokio::spawn(looks.go_on(Arc::clone(&switches)));
        Ok(Self { address, switches, _emulator: emulator })
    }

    /// The URL pattern of a node's ComputerSystem, for the policy.
    pub fn url(&self) -> String {
        format!("https://{}/redfish/v1/Systems/{{node}}", self.address)
    }

    /// Connects this machine's power to its BMC.
    pub fn plug(&self, name: &str, power: PowerSwitch) {
        lock(&self.switches).insert(name.to_owned(), Switch { power, off: false, pending: false, resets: 0 });
    }

    /// Number of resets of a machine by its BMC.
    pub fn resets(&self, name: &str) -> u32 {
        lock(&self.switches).get(name).map_or(0, |switch| switch.resets)
    }
}

/// A system of the emulator's configuration, a Python file. Its ID is the name, because a reset
/// follows no redirect.
fn system(name: &str) -> String {
    format!("{{'uuid': '{name}', 'name': '{name}', 'power_state': 'On', 'external_notifier': True, 'nics': []}}")
}

fn lock(switches: &Switches) -> MutexGuard<'_, BTreeMap<String, Switch>> {
    switches.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The poller of the systems.
struct Looks {
    client: reqwest::Client,
    url: String,
    password: String,
}

impl Looks {
    async fn at(&self, name: &str) -> Result<()> {
        let asked = self.client.get(format!("{}/{name}", self.url)).basic_auth(USERNAME, Some(self.password.trim()));
        asked.send().await?.error_for_status().map(drop).with_context(|| format!("the system {name}"))
    }

    async fn go_on(self, switches: Switches) {
        loop {
            tokio::time::sleep(LOOKS).await;
            let pending = |(name, switch): (&String, &Switch)| switch.pending.then(|| name.clone());
            let names: Vec<String> = lock(&switches).iter().filter_map(pending).collect();
            for name in names {
                if let Err(error) = self.at(&name).await {
                    tracing::error!("the BMC of {name}: {error:#}");
                }
            }
        }
    }
}

/// Starts the server for the emulator's notifications; returns its address.
async fn tell(switches: Switches) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listening to the emulator")?;
    let address = listener.local_addr()?.to_string();
    let routes = Router::new().route("/", put(changed)).with_state(switches);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

/// Handles a notification, which contains the whole system: its power state and the pending change.
async fn changed(State(switches): State<Switches>, Json(system): Json<Value>) -> StatusCode {
    let name = system["name"].as_str().unwrap_or_default().to_owned();
    let (off, pending) = (system["power_state"] == "Off", !system["pending_power"].is_null());
    let (power, was_off) = {
        let mut switches = lock(&switches);
        let Some(switch) = switches.get_mut(&name) else { return StatusCode::NOT_FOUND };
        switch.pending = pending;
        let was_off = std::mem::replace(&mut switch.off, off);
        switch.resets += u32::from(was_off && !off);
        (switch.power.clone(), was_off)
    };
    let done = match (was_off, off) {
        (false, true) => power.stop().await,
        (true, false) => power.reset().await,
        _ => Ok(()),
    };
    match done {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            tracing::error!("the power of {name}: {error:#}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
