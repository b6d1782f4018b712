//! A small API server for unit tests: objects in memory, resource versions, guarded writes, a log
//! of requests. The controller's own client sends requests to it, so the code under test is the
//! code that ships. It knows nothing of reconciling.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use ossci_base::clock;
use serde_json::{Value, json};

use super::context::Context;
use super::state::site::Site;
use super::state::time::ApiTime;
use super::state::{events, wakes};
use crate::core::kept_time::Reading;
use crate::metrics::Metrics;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node;

const RECORDS: &str = "/apis/ossci.amd.com/v1alpha1/noderepairs";
const NODES: &str = "/api/v1/nodes";
const BUDGET: &str = "/api/v1/namespaces/ossci/configmaps/ossci-budget";

#[derive(Default)]
struct Objects {
    version: u64,
    by_path: BTreeMap<String, Value>,
    /// `PATCH /api/v1/nodes/n1`, in the order of arrival.
    log: Vec<String>,
    /// Pods whose eviction is not accepted, with the answer.
    protected: BTreeMap<String, (StatusCode, String)>,
}

/// The API server; clones share it.
#[derive(Clone, Default)]
pub struct ApiServer(Arc<Mutex<Objects>>);

impl ApiServer {
    /// A client whose requests end here.
    pub fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        kube::Client::new(service, "ossci")
    }

    /// Creates or replaces an object; its path says its kind and name.
    pub fn put(&self, path: &str, mut object: Value) {
        self.with(|objects| {
            objects.version += 1;
            object["metadata"]["name"] = json!(path.rsplit('/').next());
            object["metadata"]["resourceVersion"] = json!(objects.version.to_string());
            if object["metadata"]["uid"].is_null() {
                object["metadata"]["uid"] = json!(format!("uid-of-{path}"));
            }
            objects.by_path.insert(path.to_owned(), object);
        });
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.with(|objects| objects.by_path.get(path).cloned())
    }

    pub fn record(&self, name: &str) -> Value {
        self.get(&format!("{RECORDS}/{name}")).unwrap_or_default()
    }

    pub fn node(&self, name: &str) -> Value {
        self.get(&format!("{NODES}/{name}")).unwrap_or_default()
    }

    pub fn budget(&self) -> Value {
        self.get(BUDGET).unwrap_or_default()
    }

    /// The requests so far, and none of them the next time.
    pub fn take_log(&self) -> Vec<String> {
        self.with(|objects| std::mem::take(&mut objects.log))
    }

    /// Puts a line among the requests.
    pub fn note(&self, line: &str) {
        self.with(|objects| objects.log.push(line.to_owned()));
    }

    /// The eviction of this pod is answered 429.
    pub fn protect(&self, pod: &str, status: StatusCode, answer: &str) {
        self.with(|objects| objects.protected.insert(pod.to_owned(), (status, answer.to_owned())));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Objects) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = parts.uri.path().trim_end_matches("/status").to_owned();
        let (status, answer) = self.with(|objects| {
            objects.log.push(format!("{} {}", parts.method, parts.uri.path()));
            objects.answer(&parts.method, &path, body)
        });
        let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
        *response.status_mut() = status;
        response
    }
}

fn refused(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let text = reason.to_owned();
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text, "reason": text, "code": code.as_u16()}),
    )
}

/// There is no such object: the API server names it.
fn absent(path: &str) -> (StatusCode, Value) {
    let (code, mut answer) = refused(StatusCode::NOT_FOUND, "NotFound");
    answer["details"] = json!({ "name": path.rsplit('/').next() });
    (code, answer)
}

impl Objects {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (StatusCode, Value) {
        if let Some(pod) = path.strip_suffix("/eviction") {
            let name = pod.rsplit('/').next().unwrap_or_default().to_owned();
            if let Some((status, answer)) = self.protected.get(&name) {
                return refused(*status, answer);
            }
            self.by_path.remove(pod);
            return (
                StatusCode::CREATED,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
            );
        }
        match *method {
            Method::GET => self.read(path),
            Method::POST => self.create(path, body),
            Method::PATCH | Method::PUT => self.change(path, body),
            Method::DELETE => match self.by_path.remove(path) {
                Some(object) => (StatusCode::OK, object),
                None => absent(path),
            },
            _ => refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn read(&self, path: &str) -> (StatusCode, Value) {
        if let Some(object) = self.by_path.get(path) {
            return (StatusCode::OK, object.clone());
        }
        if path.ends_with("s") && !path.starts_with(&format!("{NODES}/")) {
            let (group, kind) = path.rsplit_once('/').unwrap_or_default();
            let of_kind = self.by_path.iter().filter(|(known, _)| {
                let all_namespaces = known.starts_with(group) && known.contains(&format!("/{kind}/"));
                known.starts_with(&format!("{path}/")) || all_namespaces
            });
            let items: Vec<Value> = of_kind.map(|(_, object)| object.clone()).collect();
            return (StatusCode::OK, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}));
        }
        absent(path)
    }

    fn create(&mut self, collection: &str, mut body: Value) -> (StatusCode, Value) {
        let path = format!("{collection}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
        if self.by_path.contains_key(&path) {
            return refused(StatusCode::CONFLICT, "AlreadyExists");
        }
        self.version += 1;
        body["metadata"]["resourceVersion"] = json!(self.version.to_string());
        body["metadata"]["uid"] = json!(format!("uid-of-{path}"));
        self.by_path.insert(path, body.clone());
        (StatusCode::CREATED, body)
    }

    /// Merges. A resource version or UID in the body has to be that of the object.
    fn change(&mut self, path: &str, body: Value) -> (StatusCode, Value) {
        let Some(object) = self.by_path.get_mut(path) else { return absent(path) };
        for field in ["resourceVersion", "uid"] {
            let (given, known) = (&body["metadata"][field], &object["metadata"][field]);
            if !given.is_null() && given != known {
                return refused(StatusCode::CONFLICT, "Conflict");
            }
        }
        merge(object, &body);
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        (StatusCode::OK, object.clone())
    }
}

/// RFC 7386, but that conditions are a map by type.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        match value {
            Value::Null => drop(into.as_object_mut().and_then(|into| into.remove(key))),
            Value::Array(new) if key == "conditions" => {
                let mut all = into[key].as_array().cloned().unwrap_or_default();
                all.retain(|old| new.iter().all(|new| new["type"] != old["type"]));
                all.extend(new.iter().cloned());
                into[key] = Value::Array(all);
            }
            _ => merge(&mut into[key], value),
        }
    }
}

/// A controller that leads, over an API server with one budget object. `policy` is a policy file.
pub fn controller(api: &ApiServer, policy: &str) -> Context {
    api.put(BUDGET, json!({"metadata": {"namespace": "ossci"}}));
    let site = Site::of(policy).unwrap();
    let (wakes, _) = wakes::queue();
    let (events, _) = events::Events::new();
    let reading = Reading { api: clock::now(), wall: clock::now(), at: clock::monotonic() };
    let time = ApiTime::begin(reading);
    let context =
        Context::new(api.client(), "ossci".to_owned(), site, Arc::new(Metrics::default()), time, wakes, events);
    context.leadership.set(Some(clock::monotonic() + Duration::from_secs(3600)));
    context
}

/// What the watches of a real controller deliver: every object as it is now.
pub fn deliver(api: &ApiServer, context: &Context) {
    let objects = api.with(|objects| objects.by_path.clone());
    let site = context.site();
    let mut records = std::collections::BTreeSet::new();
    for (path, object) in objects {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if path.starts_with(&format!("{NODES}/")) {
            let node: slim_node::SlimNode = serde_json::from_value(object).unwrap();
            context.fleet.saw_node(&node, &slim_node::view(&node, &site.names), &site.policy, clock::monotonic());
        } else if path.starts_with(RECORDS) {
            if let Ok(repair) = serde_json::from_value::<NodeRepair>(object) {
                context.fleet.saw_record(&repair);
            } else {
                context.fleet.saw_unreadable(&name);
            }
            records.insert(name);
        } else if path == BUDGET {
            let map = serde_json::from_value(object).unwrap();
            context.fleet.saw_places(crate::wire::budget::read(&map));
            context.fleet.saw_switches(crate::wire::budget::switches(&map));
        }
    }
    context.fleet.listed_nodes();
    context.fleet.listed_records(&records);
}

/// A healthy GPU node of the pool `gpu`.
pub fn put_node(api: &ApiServer, name: &str, taints: &[&str]) {
    let taints: Vec<Value> = taints.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
    api.put(
        &format!("{NODES}/{name}"),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"labels": {"gpu": "true"}}, "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"bootID": "boot-1"}},
        }),
    );
}

/// A record whose board has one alert that asks for this remediation and fires.
pub fn put_complaint(api: &ApiServer, name: &str, remediation: &str) {
    let now = clock::now();
    api.put(
        &format!("{RECORDS}/{name}"),
        json!({
            "apiVersion": "ossci.amd.com/v1alpha1", "kind": "NodeRepair", "metadata": {}, "spec": {},
            "status": {"complaints": [{
                "fingerprint": "f1", "remediation": remediation, "check": "rocm-smi", "since": now, "seen": now,
                "firing": true, "summary": "three strikes",
            }]},
        }),
    );
}

/// A record with this content, whatever it is.
pub fn put_record(api: &ApiServer, name: &str, status: Value) {
    let object = json!({"apiVersion": "ossci.amd.com/v1alpha1", "kind": "NodeRepair", "metadata": {}, "spec": {}, "status": status});
    api.put(&format!("{RECORDS}/{name}"), object);
}

pub fn put_pod(api: &ApiServer, name: &str, node: &str) {
    api.put(&format!("/api/v1/namespaces/default/pods/{name}"), json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default"}, "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running"},
    }));
}
