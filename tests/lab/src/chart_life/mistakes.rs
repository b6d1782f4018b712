//! Mistakes that a site makes with its installation; the doctor finds each with a sentence.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{NODE, PATIENCE};
use crate::lab::Lab;
use crate::parts::alertmanager::Routes;
use crate::pods::App;
use crate::process::Program;
use crate::setup::Tools;
use crate::{parts, wait};

/// Makes each mistake, and mends it.
pub async fn make(lab: &mut Lab, dir: &Path) -> Result<()> {
    of_the_site(lab, dir).await?;
    unheard(lab, dir).await?;
    second(lab).await?;
    println!("fourteen mistakes and a second release: each found with a sentence");
    Ok(())
}

/// Mistakes in the policy, the cluster and Prometheus.
async fn of_the_site(lab: &Lab, dir: &Path) -> Result<()> {
    let policy = std::fs::read_to_string(lab.policy_file()).context("reading the policy")?;
    let wrong = |from: &str, to: &str| -> Result<String> {
        ensure!(policy.contains(from), "the policy has no {from}");
        Ok(policy.replacen(from, to, 1))
    };
    let nowhere = lab.facts.alertmanager.clone();
    let kubeconfig = lab.facts.kubeconfig.clone();
    let agent = dir.join(format!("nodes/{NODE}/secrets/agent.kubeconfig"));
    let own = lab.facts.prometheus.as_str();
    for (policy, prometheus, kubeconfig, code, expected) in [
        (wrong("\"pools\"", "\"pool\"")?, own, &kubeconfig, 1, "fail     policy"),
        (wrong(&nowhere, "http://127.0.0.1:9")?, own, &kubeconfig, 1, "http://127.0.0.1:9 does not answer"),
        (wrong("\"pools\"", "\"adopt\": false, \"pools\"")?, own, &kubeconfig, 1, "runs with another policy than"),
        (policy.clone(), "http://127.0.0.1:9", &kubeconfig, 3, "unknown  prometheus"),
        (policy.clone(), own, &agent, 3, "unknown  pods"),
    ] {
        let file = dir.join("mistaken-policy.yaml");
        std::fs::write(&file, policy).context("writing a policy")?;
        let (found, said) = lab.doctor(&file, prometheus, kubeconfig).await?;
        ensure!(
            found == code && said.contains(expected),
            "exit code {found}, expected {code} and {expected:?}:\n{said}"
        );
    }
    // What only the cluster can get wrong: pods without tolerations, an older CRD.
    let never = r#"{"spec":{"template":{"spec":{"tolerations":[]}}}}"#;
    lab.kubectl.run(&["-n", "ossci", "patch", "daemonset", "ossci-agent", "--type=merge", "-p", never]).await?;
    says(lab, own, "do not tolerate every taint").await?;
    let crd = "noderepairs.ossci.amd.com";
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/network";
    let older = format!(r#"[{{"op":"remove","path":"{path}"}}]"#);
    lab.kubectl.run(&["patch", "crd", crd, "--type=json", "-p", &older]).await?;
    let (found, said) = lab.doctor(lab.policy_file(), own, &kubeconfig).await?;
    ensure!(found == 1 && said.contains("the CRD is older than this program, it lacks .status.network"), "{said}");
    // An upgrade mends both.
    lab.helm.upgrade(&["agent.priorityClass=system-node-critical"]).await?;
    let (_, said) = lab.doctor(lab.policy_file(), own, &kubeconfig).await?;
    ensure!(said.contains("the CRD of NodeRepair is this program's"), "an upgrade brings the CRD back:\n{said}");
    // No agent on a node.
    let select = async |value: Value| {
        let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {"no.such/label": value}}}}}).to_string();
        lab.kubectl.run(&["-n", "ossci", "patch", "daemonset", "ossci-agent", "--type=merge", "-p", &patch]).await
    };
    select(json!("x")).await?;
    says(lab, own, &format!("agents         none is ready on {NODE}")).await?;
    select(Value::Null).await?;
    // A Prometheus of the site that does not scrape, evaluate or label what it should.
    for (name, edit, expected) in [
        ("unscraped", json!({ "scrape_configs": [] }), "no exporter is scraped on"),
        ("ruleless", json!({ "rule_files": [] }), "are not loaded"),
        ("nameless", json!({ "relabels": "node" }), "have no label node"),
    ] {
        let (prometheus, _running) = mistaken(dir, name, &edit).await?;
        says(lab, &prometheus, expected).await.with_context(|| format!("Prometheus is {name}"))?;
    }
    Ok(())
}

/// Mistakes on the way from Alertmanager to a mail. The controllers start anew after each: what
/// they have seen before is no answer to whether it works now.
async fn unheard(lab: &mut Lab, dir: &Path) -> Result<()> {
    let nothing_but = json!({ "route": { "receiver": "site" }, "receivers": [{ "name": "site" }] }).to_string();
    let (token, routes) = (dir.join("alertmanager/ossci/token"), dir.join("alertmanager/alertmanager.yml"));
    lab.alerting.route(Routes { group_wait: 1, group_interval: 1, repeat_interval: 2 }).await?;
    for (file, mistake, expected) in [
        (&token, "another", "Alertmanager sends another token than the webhook's"),
        (&routes, nothing_but.as_str(), "no heartbeat has ever come"),
    ] {
        let right = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let put = async |text: &str| -> Result<()> {
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
            lab.alerting.alertmanager.reload().await
        };
        put(mistake).await?;
        lab.kill(App::Controller, None).await?;
        says(lab, &lab.facts.prometheus, expected).await?;
        put(&right).await?;
        says(lab, &lab.facts.prometheus, "the last heartbeat came").await?;
    }
    let mut silent = super::policy();
    silent["mail"] = Value::Null;
    lab.change_policy(&silent.to_string()).await?;
    says(lab, &lab.facts.prometheus, "warn     no-mail").await?;
    lab.change_policy(&super::policy().to_string()).await
}

/// Waits until the doctor says this.
async fn says(lab: &Lab, prometheus: &str, expected: &str) -> Result<()> {
    wait::until(format!("the doctor says {expected:?}"), PATIENCE, || async {
        let (_, said) = lab.doctor(lab.policy_file(), prometheus, &lab.facts.kubeconfig).await?;
        ensure!(said.contains(expected), "it says:\n{said}");
        Ok(())
    })
    .await
}

/// One more real Prometheus, with the configuration of the lab's but for `edit`: keys to replace,
/// or a target label that every job drops. Returns its address.
async fn mistaken(dir: &Path, name: &str, edit: &Value) -> Result<(String, crate::process::Process)> {
    let text = std::fs::read_to_string(dir.join("prometheus/prometheus-1.yml")).context("reading the configuration")?;
    let mut config: Value = serde_json::from_str(&text).context("parsing the configuration")?;
    config["alerting"] = json!({});
    for (key, value) in edit.as_object().context("an edit is an object")? {
        match key.as_str() {
            "relabels" => {
                for job in config["scrape_configs"].as_array_mut().context("the configuration has no jobs")? {
                    job["relabel_configs"] = json!([{ "action": "labeldrop", "regex": value }]);
                }
            }
            key => config[key] = value.clone(),
        }
    }
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config.to_string()).with_context(|| format!("writing {}", file.display()))?;
    let address = format!("127.0.0.1:{}", crate::ports::free()?);
    let process = Program::new(name, Tools::find()?.get("prometheus")?)
        .args([parts::flag("config.file", &file), parts::flag("storage.tsdb.path", &folder.join("data"))])
        .arg(format!("--web.listen-address={address}"))
        .start(&folder.join("log"))?;
    Ok((format!("http://{address}"), process))
}

/// A second release in the same cluster is refused, and the first stays as it is.
async fn second(lab: &Lab) -> Result<()> {
    let chart = crate::chart::folder().display().to_string();
    // The lab's cluster has no Prometheus operator.
    let args = ["--namespace", "second", "--create-namespace", "--set", "monitoring.operator=false"];
    let tried = lab.helm.run(&[&["install", "second", &chart][..], &args].concat()).await;
    let Err(refusal) = tried else { bail!("a second release was installed") };
    let refusal = format!("{refusal:#}");
    let expected = ["invalid ownership metadata", "current value is \"ossci\""];
    ensure!(expected.iter().all(|words| refusal.contains(words)), "{refusal}");
    let left = lab.helm.run(&["list", "--all-namespaces", "--short", "--deployed"]).await?;
    ensure!(left.trim() == "ossci", "releases: {left}");
    Ok(())
}

impl Lab {
    /// Runs the doctor by hand; returns its exit code and what it printed.
    async fn doctor(&self, policy: &Path, prometheus: &str, kubeconfig: &Path) -> Result<(i32, String)> {
        let program = Program::new("doctor", self.program("ossci-remediator"))
            .args(["doctor", "--prometheus", prometheus])
            .args(self.facts.remediator_metrics.iter().map(|address| format!("--controller=http://{address}")))
            .env("OSSCI_POLICY", policy)
            .env("KUBECONFIG", kubeconfig);
        let ended = program.finish(PATIENCE).await?.context("the doctor does not end")?;
        Ok((ended.status.code().unwrap_or(-1), ended.stdout))
    }
}
