//! Tests of the commands that people run, against the lab after the demo.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use ossci_lab::environment;
use ossci_lab::facts::Facts;
use ossci_lab::process::Program;
use ossci_lab::{parts, wait};

use crate::support::{TestLab, files, lab, part, tool};

/// Runs the remediator's program; returns its exit code, and what it printed.
async fn runs(facts: &Facts, args: &[&str], kubeconfig: &Path) -> (i32, String) {
    let program = Program::new("a command", environment::our_program("ossci-remediator").unwrap())
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", &facts.dir);
    let ended = program.finish(Duration::from_secs(60)).await.unwrap().expect("it ends");
    (ended.status.code().unwrap_or(-1), format!("{}{}", ended.stdout, ended.stderr))
}

/// Parses what a command printed as JSON.
fn data(said: &str) -> serde_json::Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Waits until every story of the lab has finished: what follows is for the whole cluster.
async fn after_all_stories(lab: &TestLab) {
    for folder in ["alerts", "repairs", "phases", "people", "machines"] {
        for story in files(&format!("tests/stories/{folder}"), ".story") {
            lab.result(&story.file_stem().unwrap().to_string_lossy()).await;
        }
    }
}

#[tokio::test]
async fn people_see_the_fleet_and_change_it_by_hand() {
    let _part = part("status, history and changes by hand");
    let lab = lab();
    after_all_stories(&lab).await;
    let facts = &lab.facts().await;
    let ours = &facts.kubeconfig;
    let controllers: Vec<String> =
        facts.remediator_metrics.iter().map(|address| format!("--controller=http://{address}")).collect();
    let with = |args: &[&str]| -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).chain(controllers.iter().cloned()).collect()
    };
    let run = async |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        runs(facts, &args, ours).await
    };
    let plain = async |args: &[&str]| runs(facts, args, ours).await;

    explain_says_why_a_node_is_where_it_is(facts).await;

    // Status: any replica may be asked, only the leader answers.
    let (code, said) = run(&with(&["status"])).await;
    assert!(code == 1 && said.contains("POOL") && said.contains("need a person"), "{said}");
    let (_, json) = run(&with(&["status", "--output=json"])).await;
    let fleet = data(&json);
    let node4 = fleet["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "node4").cloned();
    assert_eq!(node4.map(|node| node["phase"].clone()), Some("Escalated".into()), "{json}");
    let (code, said) = plain(&["status", "--controller=http://127.0.0.1:1"]).await;
    assert!(code == 3 && said.contains("no controller answers that leads"), "{code}: {said}");
    // In the lab the controllers are no pods.
    let (code, said) = plain(&["status", "--namespace=nowhere"]).await;
    assert!(code == 3 && said.contains("no controller runs in the namespace nowhere"), "{code}: {said}");
    let (code, said) = plain(&["status", "--context=nowhere"]).await;
    assert!(code == 3 && said.contains("context nowhere"), "{code}: {said}");

    // The same answers as pages.
    let http = parts::http().unwrap();
    let mut leaders = 0;
    for address in &facts.remediator_metrics {
        let page = http.get(format!("http://{address}/fleet")).send().await.unwrap();
        let leads = page.status().is_success();
        leaders += usize::from(leads);
        let text = page.text().await.unwrap();
        assert!(text.contains(if leads { "POOL" } else { "does not lead" }), "{text}");
        let page = parts::page(&http, &format!("http://{address}/nodes/node4")).await.unwrap();
        assert!(page.contains("manual: Escalated"), "{page}");
        let none = http.get(format!("http://{address}/nodes/node44")).send().await.unwrap();
        assert_eq!(none.status().as_u16(), 404);
    }
    assert_eq!(leaders, 1);

    // History and evidence.
    let (code, said) = plain(&["history", "node4", "--since=7d"]).await;
    assert!(code == 0 && said.contains("Complaint") && said.contains("Escalated"), "{said}");
    let (code, said) = plain(&["history", "--since=1h", "-o", "json"]).await;
    assert!(code == 0 && data(&said).as_array().unwrap().len() > 10, "{said}");
    let (code, said) = plain(&["history", "node44"]).await;
    assert!(code == 3 && said.contains("it never complained"), "{said}");
    let (code, said) = plain(&["evidence", "node4"]).await;
    assert!(code == 0 && said.contains("output of the reimage"), "the latest: {said}");
    let (code, said) = plain(&["evidence", "node4", "--list"]).await;
    assert!(code == 0 && said.lines().count() >= 2 && said.contains("ossci-evidence-"), "{said}");
    let (code, said) = plain(&["evidence", "node44"]).await;
    assert!(code == 3 && said.contains("there is no evidence"), "{said}");

    // A hold that ends by itself; the Event says who and why.
    let (code, said) = plain(&["hold", "node2", "--for=3s", "--reason=cable", "--by=ann"]).await;
    assert!(code == 0 && said.contains("node2 is on hold until"), "{said}");
    let (_, said) = plain(&["explain", "node2"]).await;
    assert!(said.contains("on hold: ann: cable"), "{said}");
    let ended = wait::until("the hold ends", Duration::from_secs(60), async || {
        let (_, said) = plain(&["explain", "node2"]).await;
        anyhow::ensure!(!said.contains("on hold"), "{said}");
        Ok(())
    });
    ended.await.unwrap();
    let (code, said) = plain(&["unhold", "node2", "--reason=done"]).await;
    assert!(code == 0 && said.contains("was not on hold"), "{said}");
    let (code, said) = plain(&["hold", "node2"]).await;
    assert!(code == 2 && said.contains("--reason"), "{said}");
    let (code, said) = plain(&["hold", "node2", "--reason= ", "--for=soon"]).await;
    assert!(code == 2 && said.contains("say why"), "{said}");
    let (code, said) = plain(&["hold", "node44", "--reason=x"]).await;
    assert!(code == 1 && said.contains("there is no Node node44"), "{said}");

    // A pause that ends by itself.
    let (code, said) = plain(&["pause", "--for=3s", "--reason=power works", "--by=ann"]).await;
    assert!(code == 0 && said.contains("nothing disruptive starts until"), "{said}");
    let ended = wait::until("the pause ends", Duration::from_secs(60), async || {
        let (_, said) = run(&with(&["status"])).await;
        anyhow::ensure!(!said.contains("paused by a person"), "{said}");
        Ok(())
    });
    ended.await.unwrap();
    let (code, said) = plain(&["resume", "--brakes", "--reason=done"]).await;
    assert!(code == 0 && said.contains("the pause and the brakes are ended"), "{said}");

    // A person asks for another attempt: released, then tainted, and the record says who.
    let (code, said) = plain(&["repair", "node4", "--reason=card replaced", "--by=ann"]).await;
    assert!(code == 0 && said.contains("node4 carries repair-reboot"), "{said}");
    let asked = wait::until("the record says who asked", Duration::from_secs(60), async || {
        let (_, said) = plain(&["history", "node4"]).await;
        anyhow::ensure!(
            said.contains("a person put the taint repair-reboot on the node (ann: card replaced)"),
            "{said}"
        );
        Ok(())
    });
    asked.await.unwrap();
    let (code, said) = plain(&["release", "node4", "--reason=taken out", "--by=ann"]).await;
    assert!(code == 0 && said.contains("node4 is released"), "{said}");
    let kubectl = Program::new("kubectl", tool("kubectl")).env("KUBECONFIG", ours);
    let events = kubectl.args(["get", "events", "--field-selector=involvedObject.name=node4"]);
    let events = events.output(Duration::from_secs(30)).await.unwrap();
    assert!(events.contains("ann: card replaced") && events.contains("ann: taken out"), "{events}");
}

/// A cluster that is silent, that does not serve our CRD, and one at another time.
#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_told_in_words() {
    let lab = lab();
    lab.result("demo").await;
    let facts = &lab.facts().await;
    let whole = fs::read_to_string(&facts.kubeconfig).unwrap();
    let server = &whole[whole.find("https://").unwrap()..];
    let server = server.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap();
    let at = |name: &str, url: &str| {
        let file = facts.dir.join(name);
        fs::write(&file, whole.replace(server, url)).unwrap();
        file
    };

    // It accepts connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = at("silent.kubeconfig", &format!("https://{}", listener.local_addr().unwrap()));
    let (code, said) = runs(facts, &["explain", "node4"], &silent).await;
    let waits =
        said.contains("the Kubernetes API: no answer for 2 s, still waiting") && said.contains("does not answer");
    assert!(code == 3 && waits, "{code}: {said}");

    // Every path is a 404, as those of a CRD are that is not there.
    let elsewhere = at("elsewhere.kubeconfig", &format!("{server}/elsewhere"));
    for (args, expected) in [
        (&["explain", "node4"][..], 3),
        (&["history", "node4"], 3),
        (&["history"], 3),
        (&["verify", "node4", "--reason=x", "--by=ann"], 1),
        (&["hold", "node4", "--reason=x", "--by=ann"], 1),
    ] {
        let (code, said) = runs(facts, args, &elsewhere).await;
        assert!(code == expected && said.contains("does not serve this kind of object"), "{args:?}: {code}: {said}");
    }

    // This machine is a day behind: a hold of an hour still ends in the future.
    let program = Program::new("a command", environment::our_program("ossci-remediator").unwrap());
    let program = program.env("KUBECONFIG", &facts.kubeconfig).env("HOME", &facts.dir);
    let program = program.env("LD_PRELOAD", tool("libfaketime")).env("FAKETIME", "-1d");
    let day = || (ossci_lab::clock::now() + jiff::SignedDuration::from_hours(1)).strftime("%Y-%m-%d").to_string();
    let before = day();
    let held = program.args(["hold", "node3", "--for=1h", "--reason=x", "--by=ann"]);
    let held = held.finish(Duration::from_secs(60)).await.unwrap().expect("it ends");
    let after = day();
    assert!(held.stderr.contains("the cluster's time is used"), "{}", held.stderr);
    let until = [before, after].map(|day| held.stdout.contains(&format!("node3 is on hold until {day}")));
    assert!(until.contains(&true), "{}", held.stdout);
    let (code, said) = runs(facts, &["unhold", "node3", "--reason=x", "--by=ann"], &facts.kubeconfig).await;
    assert!(code == 0 && said.contains("no longer on hold"), "{said}");
}

async fn explain_says_why_a_node_is_where_it_is(facts: &Facts) {
    let nowhere = facts.dir.join("no-such-file");
    for (args, kubeconfig, code, told) in [
        (
            &["explain", "node4"][..],
            &facts.kubeconfig,
            1,
            &["manual: Escalated", "MailAccepted", "taint repair-manual"][..],
        ),
        (&["explain", "node4"], &facts.kubeconfig, 1, &["kubectl taint node node4 repair-manual-", "(ProofFailed)"]),
        (&["explain", "node2"], &facts.kubeconfig, 0, &["no repair runs", "pool demo"]),
        (&["explain", "node44"], &facts.kubeconfig, 3, &["there is no Node node44", "near: node4, "]),
        (&["explain", "node4"], &nowhere, 3, &["no cluster to ask"]),
        (&["explain"], &facts.kubeconfig, 2, &["<NODE>"]),
    ] {
        let (found, said) = runs(facts, args, kubeconfig).await;
        assert_eq!(found, code, "{args:?}:\n{said}");
        for words in told {
            assert!(said.contains(words), "{args:?} does not say {words:?}:\n{said}");
        }
    }
    let (_, said) = runs(facts, &["explain", "node4", "--output=json"], &facts.kubeconfig).await;
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (json["states"][0]["why"].as_str(), json["open"].as_bool()),
        (Some("MailAccepted"), Some(true)),
        "{said}"
    );
    // The exporter's account may read nothing; the agent's may read Nodes and records.
    let agent = facts.dir.join("nodes/node2/secrets/agent.kubeconfig");
    assert_eq!(runs(facts, &["explain", "node4"], &agent).await.0, 1);
}
