//! The provisioning service out of two commands of the site: two shell scripts, over TLS, with a
//! process that is killed in between.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use ossci_lab::pki::{Pki, write_secret};
use ossci_lab::process::{Process, Program};
use ossci_lab::{environment, ports, wait};
use reqwest::{Certificate, Client, StatusCode};
use serde_json::{Value, json};

/// Timeout of a start and of each answer that is waited for, on a slow machine.
const WITHIN: Duration = Duration::from_secs(30);
const DEADLINE: &str = "2100-01-01T00:00:00Z";

struct Site {
    dir: PathBuf,
    client: Client,
    port: u16,
    process: Option<Process>,
}

impl Site {
    async fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = environment::temp_dir().join(format!("ossci-reimages-{name}-{}", std::process::id()));
        let pki = Pki::create(&dir).unwrap();
        pki.server("service").unwrap();
        write_secret(&dir.join("token"), "the-token").unwrap();
        let ca = Certificate::from_pem(pki.ca_pem().as_bytes()).unwrap();
        let client = Client::builder()
            // The server closes a connection whose body it refuses; none is used twice.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .timeout(WITHIN)
            .tls_certs_only([ca])
            .build()
            .unwrap();
        let mut site = Self { dir, client, port: ports::free().unwrap(), process: None };
        site.program("begin", "echo \"$1 $2 $(cat)\" >>begun; cat status >&2; exit $(cat status)");
        site.program("state", "cat \"state-$1\" 2>/dev/null || echo unknown");
        site.says("status", "0");
        site.starts().await;
        site
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        fs::write(&path, format!("#!/bin/bash\ncd '{}'\n{text}\n", self.dir.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn says(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).unwrap();
    }

    fn begun(&self) -> Vec<String> {
        fs::read_to_string(self.dir.join("begun")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn has_begun(&self, times: usize) -> anyhow::Result<()> {
        let begun = self.begun();
        anyhow::ensure!(begun.len() == times, "{begun:?}");
        Ok(())
    }

    fn arguments(&self) -> Program {
        let path = |name: &str| self.dir.join(name);
        Program::new("the service", environment::our_program("ossci-remediator").unwrap())
            .arg("reimage-service")
            .args(["--listen-address", &format!("127.0.0.1:{}", self.port)])
            .arg("--tls-cert")
            .arg(path("service.crt"))
            .arg("--tls-key")
            .arg(path("service.key"))
            .arg("--token-file")
            .arg(path("token"))
            .arg("--state-dir")
            .arg(path("reimages"))
    }

    async fn starts(&mut self) {
        let program = self.arguments().arg("--begin").arg(self.dir.join("begin"));
        let program = program.arg("--state").arg(self.dir.join("state"));
        self.process = Some(program.start(&self.dir.join("log")).unwrap());
        wait::until("the service answers", WITHIN, || async {
            Ok::<_, anyhow::Error>(self.client.get(self.url("a", "1")).send().await.map(drop)?)
        })
        .await
        .unwrap();
    }

    fn url(&self, node: &str, id: &str) -> String {
        format!("https://127.0.0.1:{}/reimages/{node}/{id}", self.port)
    }

    async fn get(&self, node: &str, id: &str) -> (StatusCode, Value) {
        answer(self.client.get(self.url(node, id)).bearer_auth("the-token")).await
    }

    async fn put(&self, node: &str, id: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.client.put(self.url(node, id)).bearer_auth("the-token").json(body)).await
    }

    async fn becomes(&self, node: &str, id: &str, state: &str, message: &str) {
        wait::until(format!("{node} {id} is {state}"), WITHIN, || async {
            let (_, said) = self.get(node, id).await;
            let right = said["state"] == state && said["message"].as_str().unwrap_or_default().contains(message);
            anyhow::ensure!(right, "{said}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = fs::remove_dir_all(&self.dir);
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

fn of(node: &str) -> Value {
    json!({"node": node, "bootID": "b", "addresses": [], "reason": "3 strikes", "deadline": DEADLINE})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reimage_begins_once_and_is_remembered() {
    let mut site = Site::new("once").await;
    assert_eq!(site.get("n1", "1-a").await.0, StatusCode::NOT_FOUND);
    let (status, said) = site.put("n1", "1-a", &of("n1")).await;
    assert_eq!((status, &said["state"]), (StatusCode::ACCEPTED, &json!("running")));
    site.says("state-n1", "running  copying the image");
    site.becomes("n1", "1-a", "running", "copying the image").await;
    for _ in 0..3 {
        assert_eq!(site.put("n1", "1-a", &of("n1")).await.0, StatusCode::OK);
    }
    // The process ends without a word, and so does the site's memory of it.
    site.process.take().unwrap().kill().await;
    site.starts().await;
    site.says("state-n1", "done");
    site.becomes("n1", "1-a", "done", "").await;
    fs::remove_file(site.dir.join("state-n1")).unwrap();
    assert_eq!(site.get("n1", "1-a").await.1["state"], "done");
    let begun = site.begun();
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert!(begun[0].starts_with("n1 1-a {") && begun[0].contains("3 strikes"), "{begun:?}");
    // Another id is another reimage.
    site.put("n1", "2-a", &of("n1")).await;
    wait::until("it begins", WITHIN, || async { site.has_begun(2) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reimage_that_was_being_begun_is_looked_for_before_it_is_begun_again() {
    let mut site = Site::new("killed").await;
    site.program("begin", "echo \"$1 $2\" >>begun; while [[ -e begin ]]; do sleep 0.2; done");
    for node in ["n1", "n2"] {
        site.put(node, "1", &of(node)).await;
    }
    wait::until("both begin", WITHIN, || async { site.has_begun(2) }).await.unwrap();
    site.process.take().unwrap().kill().await;
    // The site knows the first, and has never heard of the second.
    site.says("state-n1", "running at 5 %");
    site.program("begin", "echo \"$1 $2 again\" >>begun; echo running >state-$1");
    site.starts().await;
    site.becomes("n1", "1", "running", "at 5 %").await;
    site.becomes("n2", "1", "running", "").await;
    wait::until("the second begins again", WITHIN, || async {
        let again = site.begun().iter().filter(|line| *line == "n2 1 again").count();
        anyhow::ensure!(again == 1, "{:?}", site.begun());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(site.begun().iter().filter(|line| line.starts_with("n1 ")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_begins_nothing() {
    let site = Site::new("wrong").await;
    let url = site.url("n1", "1");
    assert_eq!(answer(site.client.put(&url).bearer_auth("other").json(&of("n1"))).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(site.client.get(&url)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(site.put("n1", "1", &of("n2")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    for (node, id) in [("..%2f..%2fetc", "1"), ("-rf", "1"), ("n1", "A"), ("n1", "1%0a2")] {
        assert_eq!(site.put(node, id, &of(node)).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{node} {id}");
    }
    let large = json!({"node": "n1", "reason": "x".repeat(100_000)});
    assert_eq!(site.put("n1", "1", &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(site.begun().is_empty());
    // The site's commands fail, or say what is no state.
    site.says("status", "3");
    site.put("n3", "1", &of("n3")).await;
    site.becomes("n3", "1", "failed", "exited with 3").await;
    site.says("status", "0");
    site.put("n4", "1", &of("n4")).await;
    wait::until("it begins", WITHIN, || async { site.has_begun(2) }).await.unwrap();
    for (said, expected) in [("Deployed", "printed \"Deployed\""), ("unknown", "the site does not know it")] {
        site.says("state-n4", said);
        wait::until(expected, WITHIN, || async {
            let (status, said) = site.get("n4", "1").await;
            let right =
                status == StatusCode::BAD_GATEWAY && said["message"].as_str().unwrap_or_default().contains(expected);
            anyhow::ensure!(right, "{status} {said}");
            Ok(())
        })
        .await
        .unwrap();
    }
    let refused = site.arguments().args(["--begin", "/nowhere", "--state", "/bin/true"]).output(WITHIN).await;
    assert!(format!("{:#}", refused.unwrap_err()).contains("--begin: /nowhere"));
}
