//! A fake BMC and its machine: a small HTTPS server with a state, which behaves like real vendors.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum_server::tls_rustls::RustlsConfig;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::controller::services::redfish::{Bmc, Patience};
use crate::wire::policy_file::BmcFile;

pub const USERNAME: &str = "repairs";
pub const PASSWORD: &str = "s3cret-of-all";
const TOKEN: &str = "t0ken-of-the-session";

const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
const INFO: &str = "/redfish/v1/Systems/1/ResetActionInfo";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const TASK: &str = "/redfish/v1/TaskService/TaskMonitors/7";

/// What the BMC does with an allowed reset.
#[derive(Debug, Clone, PartialEq)]
pub enum Takes {
    /// 204, done immediately.
    AtOnce,
    /// 202, and a task that has this state after this number of reads.
    Task { looks: u32, ends: &'static str },
    /// This number of answers of this kind first, then done immediately. ForceOff always is.
    Then { times: u32, status: u16, retry_after: Option<u64> },
    /// Done, and never answered.
    Silently,
}

/// The behaviour of one vendor.
#[derive(Debug, Clone)]
pub struct Vendor {
    pub sessions: bool,
    pub basic: bool,
    pub allowed: &'static [&'static str],
    /// The allowed types are listed in an ActionInfo.
    pub info: bool,
    /// Listed, but answered with 501.
    pub refused: &'static [&'static str],
    pub takes: Takes,
    /// Number of reads of the system until ForceOff shows.
    pub looks_until_off: u32,
    /// The system redirects to the same address with a slash.
    pub slash: bool,
    /// Further properties of the system.
    pub system: Value,
    /// The correct password.
    pub password: &'static str,
    /// No request is answered.
    pub hangs: bool,
}

impl Default for Vendor {
    fn default() -> Self {
        Self {
            sessions: true,
            basic: false,
            allowed: &["On", "ForceOff", "GracefulRestart", "ForceRestart", "PowerCycle"],
            info: false,
            refused: &[],
            takes: Takes::AtOnce,
            looks_until_off: 0,
            slash: false,
            system: json!({ "PowerState": "On" }),
            password: PASSWORD,
            hangs: false,
        }
    }
}

impl Vendor {
    /// Short only for an answer that never comes: everything else may take as long as a busy
    /// machine needs.
    fn patience(&self) -> Patience {
        let until = |never: bool, short| if never { short } else { Duration::from_secs(30) };
        let never_ends = self.looks_until_off == u32::MAX || matches!(self.takes, Takes::Task { looks: u32::MAX, .. });
        Patience {
            read: until(self.hangs, Duration::from_millis(400)),
            post: until(self.takes == Takes::Silently, Duration::from_millis(400)),
            follow: until(never_ends, Duration::from_secs(1)),
            every: Duration::from_millis(5),
        }
    }
}

#[derive(Debug, Default)]
struct Machine {
    off: bool,
    turning_off: Option<u32>,
    boots: u32,
    open_sessions: u32,
    answered: u32,
    task_looks: u32,
    asked: Vec<String>,
}

#[derive(Clone)]
struct Shared(Vendor, Arc<Mutex<Machine>>);

pub struct World {
    address: String,
    folder: PathBuf,
    machine: Arc<Mutex<Machine>>,
    patience: Patience,
    pub fingerprint: String,
}

impl World {
    pub async fn start(vendor: Vendor) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let folder = std::env::temp_dir().join(format!("ossci-redfish-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("ca.crt"), &cert).unwrap();
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let machine = Arc::new(Mutex::new(Machine { off: vendor.system["PowerState"] == "Off", ..Machine::default() }));
        let patience = vendor.patience();
        let routes = Router::new().fallback(answer).with_state(Shared(vendor, machine.clone()));
        let tls = RustlsConfig::from_pem(cert.into_bytes(), key.into_bytes()).await.unwrap();
        tokio::spawn(axum_server::from_tcp_rustls(listener, tls).unwrap().serve(routes.into_make_service()));
        let fingerprint = Sha256::digest(made.cert.der()).iter().map(|byte| format!("{byte:02X}")).collect();
        Self { address, folder, machine, patience, fingerprint }
    }

    /// The policy's section for this BMC.
    pub fn file(&self) -> BmcFile {
        let file = |name: &str| self.folder.join(name);
        BmcFile {
            url: format!("https://{}{SYSTEM}?node={{node}}", self.address),
            username: USERNAME.to_owned(),
            password_file: Some(file("password")),
            node_username_file: Some(file("{node}.username").display().to_string()),
            node_password_file: Some(file("{node}.password").display().to_string()),
            ca_file: Some(file("ca.crt")),
            node_fingerprint_file: Some(file("{node}.sha256").display().to_string()),
            dead_seconds: 300,
            dump_seconds: 1800,
        }
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    pub fn bmc(&self, file: &BmcFile) -> Bmc {
        Bmc { patience: self.patience, ..Bmc::new(file).unwrap() }
    }

    /// The requests in order: method, last part of the path, kind of authentication, and the
    /// ResetType.
    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    pub fn boots(&self) -> u32 {
        self.lock().boots
    }

    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    pub fn open_sessions(&self) -> u32 {
        self.lock().open_sessions
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn answer(
    State(Shared(vendor, machine)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (path, proof) = (uri.path().to_owned(), proof(&headers, vendor.password));
    let answer = {
        let mut machine = machine.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = body["ResetType"].as_str().unwrap_or_default();
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        machine.asked.push(format!("{method} {name} {} {kind}", proof.unwrap_or("anonymous")).trim_end().to_owned());
        let known = proof == Some("token") && vendor.sessions || proof == Some("basic") && vendor.basic;
        match (method.as_str(), path.as_str()) {
            _ if vendor.hangs => None,
            ("POST", SESSIONS) => machine.log_in(&vendor, &body),
            _ if !known => Some(refusal(StatusCode::UNAUTHORIZED, "NoValidSession")),
            ("DELETE", "/redfish/v1/SessionService/Sessions/3") => {
                machine.open_sessions -= 1;
                Some(StatusCode::NO_CONTENT.into_response())
            }
            ("GET", SYSTEM) if vendor.slash => {
                let to = [(header::LOCATION, format!("{SYSTEM}/"))];
                Some((StatusCode::PERMANENT_REDIRECT, to).into_response())
            }
            ("GET", SYSTEM | "/redfish/v1/Systems/1/") => Some(machine.system(&vendor)),
            ("GET", INFO) => {
                let parameters = [
                    json!({ "Name": "Other", "AllowableValues": ["ForceRestart"] }),
                    json!({ "Name": "ResetType", "DataType": "String", "AllowableValues": vendor.allowed }),
                ];
                Some(axum::Json(json!({ "Parameters": parameters })).into_response())
            }
            ("GET", TASK) => Some(machine.task(&vendor)),
            ("POST", RESET) => machine.reset(&vendor, kind),
            _ => Some(refusal(StatusCode::NOT_FOUND, "ResourceMissingAtURI")),
        }
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn proof(headers: &HeaderMap, password: &str) -> Option<&'static str> {
    let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // As the client library writes it.
    let right = reqwest::Client::new().get("https://bmc").basic_auth(USERNAME, Some(password)).build().unwrap();
    match (given("x-auth-token"), given("authorization")) {
        (Some(TOKEN), None) => Some("token"),
        (None, Some(basic)) if right.headers()["authorization"] == *basic => Some("basic"),
        _ => None,
    }
}

/// A refusal by a BMC. Some repeat what they were sent.
fn refusal(status: StatusCode, id: &str) -> Response {
    let info = json!([{ "MessageId": format!("Base.1.8.{id}"), "Message": format!("not with {PASSWORD} or {TOKEN}") }]);
    (status, axum::Json(json!({ "error": { "@Message.ExtendedInfo": info } }))).into_response()
}

impl Machine {
    fn log_in(&mut self, vendor: &Vendor, body: &Value) -> Option<Response> {
        if !vendor.sessions {
            return Some(refusal(StatusCode::NOT_FOUND, "ResourceMissingAtURI"));
        }
        if body["UserName"] != USERNAME || body["Password"] != vendor.password {
            return Some(refusal(StatusCode::UNAUTHORIZED, "ResourceAtUriUnauthorized"));
        }
        self.open_sessions += 1;
        // The address uses the name that the BMC has for itself.
        let at = format!("https://bmc-17.internal{SESSIONS}/3");
        Some(
            (StatusCode::CREATED, [("X-Auth-Token", TOKEN), ("Location", at.as_str())], axum::Json(json!({})))
                .into_response(),
        )
    }

    fn system(&mut self, vendor: &Vendor) -> Response {
        match &mut self.turning_off {
            Some(0) => (self.off, self.turning_off) = (true, None),
            Some(looks) => *looks -= 1,
            None => {}
        }
        let listed = if vendor.info {
            json!({ "target": RESET, "@Redfish.ActionInfo": INFO })
        } else {
            json!({ "target": RESET, "ResetType@Redfish.AllowableValues": vendor.allowed })
        };
        let mut system = vendor.system.clone();
        system["Actions"] = json!({ "#ComputerSystem.Reset": listed });
        if system["PowerState"] == "On" && self.off {
            system["PowerState"] = json!("Off");
        }
        axum::Json(system).into_response()
    }

    fn reset(&mut self, vendor: &Vendor, kind: &str) -> Option<Response> {
        if vendor.refused.contains(&kind) {
            return Some(refusal(StatusCode::NOT_IMPLEMENTED, "ActionNotSupported"));
        }
        if !vendor.allowed.contains(&kind) {
            return Some(refusal(StatusCode::BAD_REQUEST, "ActionParameterValueNotInList"));
        }
        if let Takes::Then { times, status, retry_after } = vendor.takes
            && self.answered < times
            && kind != "ForceOff"
        {
            self.answered += 1;
            let mut answer = refusal(StatusCode::from_u16(status).unwrap(), "ServiceTemporarilyUnavailable");
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            return Some(answer);
        }
        match kind {
            "ForceOff" => self.turning_off = Some(vendor.looks_until_off),
            "On" if !self.off => {}
            _ => (self.boots, self.off) = (self.boots + 1, false),
        }
        match vendor.takes {
            Takes::Silently => None,
            Takes::Task { .. } => Some((StatusCode::ACCEPTED, [(header::LOCATION, TASK)]).into_response()),
            _ => Some(StatusCode::NO_CONTENT.into_response()),
        }
    }

    fn task(&mut self, vendor: &Vendor) -> Response {
        let Takes::Task { looks, ends } = vendor.takes else { return StatusCode::NOT_FOUND.into_response() };
        self.task_looks += 1;
        if self.task_looks < looks {
            return (StatusCode::ACCEPTED, axum::Json(json!({ "TaskState": "Running" }))).into_response();
        }
        axum::Json(json!({ "TaskState": ends })).into_response()
    }
}
