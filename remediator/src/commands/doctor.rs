//! `ossci-remediator doctor`: looks at an installation from outside, and prints one line for each
//! thing that can silently be wrong. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::cluster::{Cluster, Connected, ask_controllers, page, patient};
use super::crd;
use super::output::Output;
use crate::api::request;
use crate::controller::services::alertmanager::Replicas;
use crate::core::doctor::{self, Definition, Facts, Finding, Known, Level, Machine, Program, Scraped};
use crate::core::policy::POOL;
use crate::outbound;
use crate::wire::policy_file::{AlertmanagerFile, PolicyFile};
use crate::wire::slim_node::{self, SlimNode};

/// Limit of one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Our pods, by label.
const OURS: &str = "app.kubernetes.io/part-of=ossci-ops";
const NAME: &str = "app.kubernetes.io/name";

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Path of the policy file.
    #[arg(long, env = "OSSCI_POLICY", default_value = "/etc/ossci/policy.yaml")]
    policy: PathBuf,
    #[command(flatten)]
    cluster: Cluster,
    /// Address of Prometheus, to look at scrape and rules.
    #[arg(long, env = "OSSCI_PROMETHEUS")]
    prometheus: Option<String>,
    /// Address of a controller's metrics. Absent: port 19401 of each of its pods.
    #[arg(long = "controller")]
    controllers: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; `say` prints. Exit code 0: nothing fails, 1: something fails, 3: something
/// could not be looked at.
///
/// # Errors
/// There is no cluster to look at.
pub async fn run(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let cluster = arguments.cluster.connect().await?;
    let found = doctor::judge(&patient("the installation", facts(arguments, &cluster)).await?);
    let data: Vec<Value> = found.iter().map(as_json).collect();
    say(&arguments.output.render(&data, |_| found.iter().map(as_text).collect())?);
    Ok(match doctor::worst(&found) {
        Level::Ok | Level::Warn => ExitCode::SUCCESS,
        Level::Fail => ExitCode::FAILURE,
        Level::Unknown => ExitCode::from(3),
    })
}

fn as_text(finding: &Finding) -> String {
    let Finding { level, of, says, todo } = finding;
    let todo = if todo.is_empty() { String::new() } else { format!("\n{:24}-> {todo}", "") };
    format!("{level:<7}  {of:<15}{says}{todo}\n", level = level.to_string())
}

fn as_json(finding: &Finding) -> Value {
    let Finding { level, of, says, todo } = finding;
    json!({ "level": level.to_string(), "of": of, "says": says, "todo": todo })
}

async fn facts(arguments: &Arguments, cluster: &Connected) -> anyhow::Result<Facts> {
    let client = &cluster.client;
    let policy = super::policy(&arguments.policy).map_err(|error| format!("{error:#}"));
    let http = outbound::client(None)?.timeout(REQUEST).build().context("setting up HTTP")?;
    let Arguments { controllers: named, cluster: Cluster { namespace, .. }, .. } = arguments;
    let machines = async {
        match &policy {
            Ok(policy) => machines(client, policy).await,
            Err(_) => Err("the policy cannot be used, so no node is known to be in a pool".to_owned()),
        }
    };
    let alertmanagers = async {
        match policy.as_ref().ok().and_then(|policy| policy.alertmanager.as_ref()) {
            Some(file) => alertmanagers(file).await,
            None => BTreeMap::new(),
        }
    };
    let prometheus = async {
        match &arguments.prometheus {
            Some(url) => Some(scraped(&http, url.trim_end_matches('/')).await),
            None => None,
        }
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // All at once: what does not answer is waited for only once.
    let (kubernetes, definition, machines, pods, pages, alertmanagers, prometheus) = tokio::join!(
        kubernetes(client),
        definition(client),
        machines,
        list(pods, OURS),
        ask_controllers(client, namespace, named, "/metrics"),
        alertmanagers,
        prometheus
    );
    let pages = pages.unwrap_or_default().into_iter();
    Ok(Facts {
        now: cluster.now(),
        kubernetes,
        definition,
        machines,
        programs: pods.map(|pods| pods.iter().map(program).collect()),
        controllers: pages.map(|(of, page)| (of, page.map(|page| doctor::series(&page)))).collect(),
        alertmanagers,
        prometheus,
        policy: policy.map(|policy| policy.digest()),
    })
}

async fn kubernetes(client: &Client) -> Known<(u32, u32)> {
    let version = client.apiserver_version().await.map_err(|error| format!("asking for the version: {error}"))?;
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    number(&version.major).zip(number(&version.minor)).ok_or_else(|| format!("its version is {}", version.git_version))
}

async fn definition(client: &Client) -> Known<Definition> {
    let name = "noderepairs.ossci.amd.com";
    let known = request::found(Api::<CustomResourceDefinition>::all(client.clone()).get(name).await);
    let Some(known) = known.map_err(|error| format!("reading the CRD {name}: {error}"))? else {
        return Ok(Definition::Missing);
    };
    let ours: Value = crd::yaml().ok().and_then(|text| serde_saphyr::from_str(&text).ok()).unwrap_or_default();
    let theirs = fields(&json!(known));
    let lacks: Vec<String> = fields(&ours).difference(&theirs).cloned().collect();
    Ok(if lacks.is_empty() { Definition::Current } else { Definition::Lacks(lacks) })
}

/// Returns the paths of all properties of a CRD's schema.
fn fields(crd: &Value) -> BTreeSet<String> {
    fn below(schema: &Value, path: &str, all: &mut BTreeSet<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            below(property, &path, all);
            below(&property["items"], &path, all);
            all.insert(path);
        }
    }
    let mut all = BTreeSet::new();
    below(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut all);
    all
}

async fn list<K>(api: Api<K>, labels: &str) -> Known<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let listed = api.list(&ListParams::default().labels(labels)).await;
    listed.map(|list| list.items).map_err(|error| format!("listing {}: {error}", K::plural(&())))
}

async fn machines(client: &Client, file: &PolicyFile) -> Known<Vec<Machine>> {
    let (policy, names) = (file.policy(), file.taint_names());
    let nodes: Vec<SlimNode> = list(Api::all(client.clone()), "").await?;
    let views = nodes.iter().map(|node| slim_node::view(node, &names));
    Ok(views
        .map(|view| Machine {
            labelled: view.labels.contains_key(POOL),
            pooled: policy.pool_of(&view).is_some(),
            ready: view.ready,
            name: view.name,
        })
        .collect())
}

fn name(pod: &Pod) -> &str {
    pod.labels().get(NAME).map_or("", String::as_str)
}

fn program(pod: &Pod) -> Program {
    let spec = pod.spec.as_ref();
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let any = |toleration: &k8s_openapi::api::core::v1::Toleration| {
        toleration.operator.as_deref() == Some("Exists") && toleration.key.is_none() && toleration.effect.is_none()
    };
    Program {
        name: name(pod).to_owned(),
        node: spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        ready: conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True"),
        tolerates: spec.and_then(|spec| spec.tolerations.as_ref()).is_some_and(|all| all.iter().any(any)),
    }
}

/// Asks each Alertmanager whether our heartbeat fires.
async fn alertmanagers(file: &AlertmanagerFile) -> BTreeMap<String, Known<bool>> {
    const HEARTBEAT: &str = "/api/v2/alerts?active=true&filter=remediation%3D%22heartbeat%22";
    let replicas = match Replicas::new(file) {
        Ok(replicas) => replicas,
        Err(error) => return file.urls.iter().map(|url| (url.clone(), Err(format!("{error:#}")))).collect(),
    };
    let asked = replicas.urls.iter().map(|url| async {
        let firing = replicas.get::<Vec<Value>>(url, HEARTBEAT).await;
        (url.clone(), firing.map(|firing| !firing.is_empty()).map_err(|error| format!("{error:#}")))
    });
    join_all(asked).await.into_iter().collect()
}

/// Asks Prometheus for our targets and rules.
async fn scraped(http: &reqwest::Client, url: &str) -> Known<Scraped> {
    let ask = async |path: &str| -> Known<Value> {
        let text = page(http, &format!("{url}{path}")).await?;
        serde_json::from_str(&text).map_err(|error| format!("{url}{path}: {error}"))
    };
    let mut known = Scraped::default();
    let checks = ask("/api/v1/query?query=count%20by%20(node,check)(ossci_check_interval_seconds)").await?;
    for one in checks["data"]["result"].as_array().into_iter().flatten() {
        let label = |key: &str| one["metric"][key].as_str().unwrap_or_default().to_owned();
        if label("node").is_empty() {
            known.nameless += 1;
            continue;
        }
        known.networked += usize::from(label("check") == "network");
        known.nodes.insert(label("node"));
    }
    let rules = ask("/api/v1/rules?type=alert").await?;
    let groups = rules["data"]["groups"].as_array().into_iter().flatten();
    let names = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    known.alerts = names.filter_map(|rule| rule["name"].as_str()).map(str::to_owned).collect();
    Ok(known)
}
