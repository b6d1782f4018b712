//! The provisioning service of the lab's site, with one address for each reimage. It installs a new
//! system on the simulated machine and boots it, and remembers every reimage. The fault
//! `reimage-hangs` of a machine keeps it from finishing; `reimage-fails` makes it fail.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::machine::Machine;
use crate::pki::{Pki, write_secret};

/// Time to install a machine's disk.
const INSTALLS: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct Provisioning {
    /// host:port.
    address: String,
    token_file: PathBuf,
    ca_file: PathBuf,
    authorization: String,
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
    /// The status of each reimage, by node and name.
    reimages: Arc<Mutex<BTreeMap<(String, String), Value>>>,
}

impl Provisioning {
    /// Listens while the lab runs. `folder` receives the token file.
    pub async fn start(folder: &std::path::Path, pki: &Pki) -> Result<Self> {
        let pair = pki.server("provisioning")?;
        let tls = RustlsConfig::from_pem_file(&pair.cert, &pair.key).await.context("reading its certificate")?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listening for reimages")?;
        listener.set_nonblocking(true).context("preparing its socket")?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let token_file = folder.join("provisioning-token");
        write_secret(&token_file, &token)?;
        let service = Self {
            address: listener.local_addr()?.to_string(),
            token_file,
            ca_file: pki.ca_file(),
            authorization: format!("Bearer {token}"),
            machines: Arc::default(),
            reimages: Arc::default(),
        };
        let routes = Router::new().route("/reimages/{node}/{id}", get(look).put(begin)).with_state(service.clone());
        let server = axum_server::from_tcp_rustls(listener, tls).context("preparing the provisioning service")?;
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(service)
    }

    /// The policy section with which the remediator finds the service.
    pub fn policy(&self) -> Value {
        let url = format!("https://{}/reimages/{{node}}/{{id}}", self.address);
        json!({"url": url, "tokenFile": self.token_file, "caFile": self.ca_file, "pollSeconds": 1})
    }

    pub fn rack(&self, node: &str, machine: Machine) {
        lock(&self.machines).insert(node.to_owned(), machine);
    }

    fn allows(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given == Some(self.authorization.as_str()) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
    }

    fn say(&self, key: &(String, String), state: &str, message: &str) {
        lock(&self.reimages).insert(key.clone(), json!({"state": state, "message": message}));
    }

    /// The new system is on the disk when the machine boots; the service does not check that it
    /// comes up.
    async fn carry_out(&self, key: &(String, String), machine: &Machine) -> Result<()> {
        tokio::time::sleep(INSTALLS).await;
        while machine.has(Fault::ReimageHangs)? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if machine.has(Fault::ReimageFails)? {
            self.say(key, "failed", "the image does not fit on the disk");
            return Ok(());
        }
        self.say(key, "done", "deployed");
        machine.install(&key.1).await
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer = Result<(StatusCode, Json<Value>), StatusCode>;

async fn look(State(service): State<Provisioning>, headers: HeaderMap, Path(key): Path<(String, String)>) -> Answer {
    service.allows(&headers)?;
    let said = lock(&service.reimages).get(&key).cloned().ok_or(StatusCode::NOT_FOUND)?;
    Ok((StatusCode::OK, Json(said)))
}

async fn begin(
    State(service): State<Provisioning>,
    headers: HeaderMap,
    Path(key): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    service.allows(&headers)?;
    if body["node"] != key.0.as_str() {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"message": "the body is about another node"}))));
    }
    let machine = lock(&service.machines).get(&key.0).cloned().ok_or(StatusCode::NOT_FOUND)?;
    let running = json!({"state": "running", "message": "installing"});
    match lock(&service.reimages).entry(key.clone()) {
        Entry::Occupied(known) => return Ok((StatusCode::OK, Json(known.get().clone()))),
        Entry::Vacant(place) => drop(place.insert(running.clone())),
    }
    let carries_out = service.clone();
    tokio::spawn(async move {
        if let Err(error) = carries_out.carry_out(&key, &machine).await {
            carries_out.say(&key, "failed", &format!("{error:#}"));
        }
    });
    Ok((StatusCode::ACCEPTED, Json(running)))
}
