//! The BMCs of the lab's machines behind one address: the part of Redfish that a reset needs. A
//! reset really resets the simulated machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::pki::{Pki, write_secret};

pub const USERNAME: &str = "repairs";

/// The machines that have a BMC.
#[derive(Clone)]
pub struct Bmcs {
    /// host:port.
    pub address: String,
    pub password_file: PathBuf,
    authorization: String,
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
}

impl Bmcs {
    /// Listens while the lab runs. `folder` receives the password file.
    pub async fn start(folder: &std::path::Path, pki: &Pki) -> Result<Self> {
        let pair = pki.server("bmc")?;
        let tls = RustlsConfig::from_pem_file(&pair.cert, &pair.key).await.context("reading the BMCs' certificate")?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listening for the BMCs")?;
        listener.set_nonblocking(true).context("preparing the BMCs' socket")?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let password_file = folder.join("bmc-password");
        write_secret(&password_file, &password)?;
        let bmcs = Self {
            address: listener.local_addr()?.to_string(),
            password_file,
            authorization: basic(&password)?,
            machines: Arc::default(),
        };
        let routes = Router::new()
            .route("/redfish/v1/Systems/{node}", get(system))
            .route("/redfish/v1/Systems/{node}/Actions/ComputerSystem.Reset", post(reset))
            .with_state(bmcs.clone());
        let server = axum_server::from_tcp_rustls(listener, tls).context("preparing the BMCs")?;
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(bmcs)
    }

    pub fn plug(&self, node: &str, machine: Machine) {
        self.lock().insert(node.to_owned(), machine);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine(&self, headers: &HeaderMap, node: &str) -> Result<Machine, StatusCode> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(self.authorization.as_str()) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        self.lock().get(node).cloned().ok_or(StatusCode::NOT_FOUND)
    }
}

/// The Authorization header for this password, as the client library writes it.
fn basic(password: &str) -> Result<String> {
    let request = reqwest::Client::new().get("http://localhost").basic_auth(USERNAME, Some(password)).build()?;
    let value = request.headers().get(header::AUTHORIZATION).context("no credentials in the request")?;
    Ok(value.to_str().context("the credentials are not valid text")?.to_owned())
}

async fn system(
    State(bmcs): State<Bmcs>,
    headers: HeaderMap,
    Path(node): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    bmcs.machine(&headers, &node)?;
    let path = format!("/redfish/v1/Systems/{node}");
    // A machine that hangs during shutdown still has power.
    Ok(Json(json!({
        "@odata.id": path, "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem", "Id": node, "Name": node,
        "PowerState": "On",
        "Actions": { "#ComputerSystem.Reset": {
            "target": format!("{path}/Actions/ComputerSystem.Reset"),
            "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulRestart", "ForceRestart", "PowerCycle"],
        }},
    })))
}

async fn reset(
    State(bmcs): State<Bmcs>,
    headers: HeaderMap,
    Path(node): Path<String>,
    Json(body): Json<Value>,
) -> Result<StatusCode, StatusCode> {
    let machine = bmcs.machine(&headers, &node)?;
    if !matches!(body["ResetType"].as_str(), Some("ForceRestart" | "PowerCycle")) {
        return Err(StatusCode::BAD_REQUEST);
    }
    // A BMC answers before the machine is up again.
    tokio::spawn(async move {
        if let Err(error) = machine.force().await {
            tracing::error!("BMC of {node}: {error:#}");
        }
    });
    Ok(StatusCode::NO_CONTENT)
}
