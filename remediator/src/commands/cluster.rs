//! Which cluster a command asks, and how it reaches the controllers in it.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use http::{Request, header};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::api::{client, time};
use crate::core::kept_time::KeptTime;
use crate::core::words::when;
use crate::metrics::Calls;
use crate::outbound;
use ossci_base::clock;

/// Limit of one request to a controller.
const REQUEST: Duration = Duration::from_secs(5);
/// Limit of an answer, in bytes.
const BODY: usize = 32 << 20;
/// The port of a controller's metrics and answers.
const PORT: u16 = 19401;
/// How long a command waits before it says so.
const PATIENCE: Duration = Duration::from_secs(2);
const CONTROLLERS: &str = "app.kubernetes.io/part-of=ossci-ops,app.kubernetes.io/name=ossci-remediator";

#[derive(Debug, Clone, clap::Args)]
pub struct Cluster {
    /// Context of KUBECONFIG. Absent: the current one, or the cluster of the pod that this runs in.
    #[arg(long)]
    pub context: Option<String>,
    /// Namespace of our pods.
    #[arg(short, long, env = "OSSCI_NAMESPACE", default_value = "ossci")]
    pub namespace: String,
}

impl Cluster {
    /// Returns a client.
    ///
    /// # Errors
    /// There is no such context, or no cluster to ask.
    pub async fn client(&self) -> anyhow::Result<Client> {
        match &self.context {
            Some(context) => client::requests_of(context).await.with_context(|| format!("context {context}")),
            None => client::requests(&Calls::default())
                .await
                .context("no cluster to ask: run it in a pod with a ServiceAccount, or set KUBECONFIG"),
        }
    }

    /// Returns a client and the cluster's time. A sentence says so when this machine's clock
    /// differs from it.
    ///
    /// # Errors
    /// There is no such context, no cluster to ask, or it does not answer.
    pub async fn connect(&self) -> anyhow::Result<Connected> {
        let client = self.client().await?;
        let reading = patient("the Kubernetes API", time::read(&client)).await;
        let reading = reading.context("the Kubernetes API does not answer")?;
        let time = KeptTime::begin(reading);
        if time.skewed() {
            let (here, there) = (when(reading.wall), when(reading.api));
            eprintln!("ossci-remediator: it is {there} in the cluster and {here} here; the cluster's time is used");
        }
        Ok(Connected { client, time })
    }
}

/// A cluster that answers, and its time.
pub struct Connected {
    pub client: Client,
    time: KeptTime,
}

impl Connected {
    /// Returns the API server's time now.
    pub fn now(&self) -> Timestamp {
        self.time.now(clock::monotonic())
    }
}

/// Says on standard error what is waited for, after 2 s and then every 10 s, until `work` ends.
pub async fn patient<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let begun = clock::monotonic();
    let mut pause = PATIENCE;
    loop {
        if let Ok(done) = tokio::time::timeout(pause, &mut work).await {
            return done;
        }
        eprintln!("ossci-remediator: {what}: no answer for {} s, still waiting", begun.elapsed().as_secs());
        pause = PATIENCE * 5;
    }
}

/// Asks every controller for a page; returns the answers, or why there is none, by address. `named`
/// are addresses like `http://host:port`; empty: the pods of the namespace are asked, through the
/// API server if it lets us, else directly.
///
/// # Errors
/// The pods cannot be listed.
pub async fn ask_controllers(
    client: &Client,
    namespace: &str,
    named: &[String],
    path: &str,
) -> anyhow::Result<Vec<(String, Result<String, String>)>> {
    let http = outbound::client(None)?.timeout(REQUEST).build().context("setting up HTTP")?;
    if !named.is_empty() {
        let asked = named.iter().map(|address| async {
            let url = format!("{}{path}", address.trim_end_matches('/'));
            (address.clone(), page(&http, &url).await)
        });
        return Ok(join_all(asked).await);
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods.list(&ListParams::default().labels(CONTROLLERS)).await;
    let pods = pods.with_context(|| format!("finding the controllers needs the verb list on pods in {namespace}"))?;
    let asked = pods.items.iter().map(|pod| {
        let http = &http;
        async move {
            let answer = match through_api_server(client, namespace, &pod.name_any(), path).await {
                Ok(page) => Ok(page),
                Err(refused) => match address(pod) {
                    Some(address) => page(http, &format!("{address}{path}")).await.map_err(|direct| {
                        format!("{direct}; through the API server, which needs the verb get on pods/proxy: {refused}")
                    }),
                    None => Err("the pod has no address yet".to_owned()),
                },
            };
            (pod.name_any(), answer)
        }
    });
    Ok(join_all(asked).await)
}

fn address(pod: &Pod) -> Option<String> {
    let address = pod.status.as_ref()?.pod_ip.as_ref()?;
    Some(if address.contains(':') { format!("http://[{address}]:{PORT}") } else { format!("http://{address}:{PORT}") })
}

async fn through_api_server(client: &Client, namespace: &str, pod: &str, path: &str) -> Result<String, String> {
    let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{PORT}/proxy{path}");
    let request = Request::get(url).header(header::ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(REQUEST, client.request_text(request)).await;
    answer.map_err(|_| "it did not answer in time".to_owned())?.map_err(|error| error.to_string())
}

/// Returns the body of an address; an error says the address and why there is none.
pub async fn page(http: &reqwest::Client, url: &str) -> Result<String, String> {
    let asked = async {
        let mut answer = http.get(url).header(header::ACCEPT, "application/json").send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, outbound::body(&mut answer, BODY).await?))
    };
    let (status, body) = asked.await.map_err(|error| format!("{url}: {}", outbound::deepest(&error)))?;
    let body = body.ok_or_else(|| format!("{url}: the answer is longer than {} MiB", BODY >> 20))?;
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(text) } else { Err(format!("{url}: {status}: {}", text.trim())) }
}
