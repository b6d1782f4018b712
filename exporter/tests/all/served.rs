//! Tests of what the program serves and to whom: configuration files and their reload, users, TLS,
//! gzip, one-shot mode.
#![allow(clippy::disallowed_methods, reason = "these tests start the program")]

use crate::node::{Exporter, FAST, Node, STRIKES, wait_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};
use std::sync::Arc;

const RELOADED: &str = "ossci_exporter_config_last_reload_successful";
const INTERVAL: &str = "ossci_check_interval_seconds{check=\"rocm-smi\"}";

fn hang_up(exporter: &Exporter) {
    kill_process(Pid::from_child(&exporter.child), Signal::HUP).unwrap();
}

#[test]
fn a_reload_applies_a_valid_file_and_keeps_the_strikes() {
    let node = Node::new("reload");
    node.does("rocm-smi", "exit 9");
    let file = node.path.join("exporter.yaml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("check:\n  interval: 500ms\n");
    let exporter = node.start(&[&format!("--config.file={}", file.display()), "--gpus.expected=8"]);
    let strikes = exporter.wait_for(STRIKES, |strikes| strikes >= 2.0);
    write("check:\n  interval: soon\n");
    hang_up(&exporter);
    exporter.wait_for(RELOADED, |successful| successful == 0.0);
    assert_eq!(exporter.value(INTERVAL), Some(0.5));
    write("check:\n  interval: 700ms\ncollector.network: false\n");
    hang_up(&exporter);
    exporter.wait_for(RELOADED, |successful| successful == 1.0);
    assert_eq!(exporter.value(INTERVAL), Some(0.7));
    assert_eq!(exporter.value("ossci_check_interval_seconds{check=\"network\"}"), None);
    assert!(exporter.value(STRIKES) >= Some(strikes));
}

#[test]
fn amd_smi_runs_alone_until_rocm_smi_is_installed() {
    let node = Node::new("amd-smi");
    std::fs::remove_file(node.path.join("rocm-smi")).unwrap();
    // Each of the three calls prints its own document.
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/amd-smi/healthy.json");
    node.does("amd-smi", &format!("case $1 in static) exec cat '{sample}';; metric) echo '[]';; *) exit 2;; esac"));
    let tool = format!("--tool.amd-smi={}", node.path.join("amd-smi").display());
    let exporter = node.start(&["--check.interval=500ms", &tool]);
    exporter.wait_for(AMD_SMI, |value| value == 1.0);
    assert_eq!(exporter.value(STRIKES), None);
    assert!(exporter.metrics().contains("ossci_gpu_info{gpu=\"0\",pci_bus=\"0000:05:00.0\""));
    node.prints("rocm-smi", "rocm-smi/healthy.json");
    hang_up(&exporter);
    exporter.wait_for("ossci_check_success{check=\"rocm-smi\"}", |value| value == 1.0);
    // It stays, beside the other one, at its own pace.
    assert_eq!(exporter.value("ossci_check_interval_seconds{check=\"amd-smi\"}"), Some(300.0));
}

/// Flags of an exporter that runs amd-smi often, also beside rocm-smi.
fn with_amd_smi(node: &Node) -> [String; 3] {
    let tool = format!("--tool.amd-smi={}", node.path.join("amd-smi").display());
    ["--check.interval=500ms".to_string(), "--check.amd-smi.interval=500ms".to_string(), tool]
}

const AMD_SMI: &str = "ossci_check_success{check=\"amd-smi\"}";
const AMD_SMI_STRIKES: &str = "ossci_check_consecutive_failures{check=\"amd-smi\"}";

#[test]
fn amd_smi_alone_reads_wear_and_links_now_and_then() {
    let node = Node::new("details");
    std::fs::remove_file(node.path.join("rocm-smi")).unwrap();
    let sample = |name: &str| format!("{}/testdata/amd-smi/{name}", env!("CARGO_MANIFEST_DIR"));
    let calls = node.path.join("calls");
    let script = format!(
        "case \"$*\" in 'metric --json') echo x >>'{}'; exec cat '{}';; static*) exec cat '{}';; metric*) echo '[]';; *) exit 2;; esac",
        calls.display(),
        sample("health.json"),
        sample("healthy.json")
    );
    node.does("amd-smi", &script);
    let [often, _, tool] = with_amd_smi(&node);
    let exporter = node.start(&[&often, &tool]);
    exporter.wait_for("ossci_check_runs_total{check=\"amd-smi\"}", |runs| runs >= 3.0);
    assert_eq!(exporter.value(AMD_SMI), Some(1.0));
    let gpu = "gpu=\"1\",pci_bus=\"0000:26:00.0\"";
    assert_eq!(exporter.value(&format!("ossci_gpu_throttled{{{gpu},cause=\"power\"}}")), Some(1.0));
    assert_eq!(exporter.value(&format!("ossci_gpu_pcie_lanes{{{gpu}}}")), Some(16.0));
    assert_eq!(std::fs::read_to_string(calls).unwrap().lines().count(), 1);
}

#[test]
fn lost_memory_fails_a_node_through_amd_smi_beside_rocm_smi() {
    let node = Node::new("beside");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/amd-smi/uncorrectable.json");
    let answers = |script: &str| node.does("amd-smi", &format!("case $1 in {script}; *) exit 2;; esac"));
    answers("metric) echo '[{\"gpu\": 0, \"bdf\": \"0000:05:00.0\", \"ecc\": \"N/A\"}]';");
    let [often, beside_often, tool] = with_amd_smi(&node);
    let exporter = node.start(&[&often, &beside_often, &tool]);
    // One of eight GPUs, without temperature and power: rocm-smi judges that.
    exporter.wait_for(AMD_SMI, |passed| passed == 1.0);
    answers(&format!("metric) exec cat '{sample}';"));
    exporter.wait_for(AMD_SMI_STRIKES, |strikes| strikes >= 3.0);
    let reason = "ossci_check_result_info{check=\"amd-smi\",verdict=\"failed\",reason=\"ecc-uncorrectable\"}";
    assert_eq!((exporter.value(reason), exporter.value(STRIKES)), (Some(1.0), Some(0.0)));
    // The count is shown although the check failed.
    assert!(exporter.metrics().contains("ossci_gpu_uncorrectable_errors{"));
    let checks = |answer: &serde_json::Value| -> Vec<String> {
        let results = answer["results"].as_array().unwrap().iter();
        results.map(|result| format!("{} {}", result["check"], result["verdict"]).replace('"', "")).collect()
    };
    assert_eq!(checks(&exporter.probe("check=gpu").1), ["rocm-smi passed", "amd-smi failed", "rocminfo passed"]);
    // Its word is what is asked for, so its silence is no pass.
    node.does("amd-smi", "exit 9");
    let silent = wait_for("a probe", || Some(exporter.probe("check=gpu")).filter(|(status, _)| *status == 200));
    assert_eq!(checks(&silent.1), ["rocm-smi passed", "amd-smi unknown", "rocminfo passed"]);
}

#[test]
fn a_broken_amd_smi_beside_rocm_smi_accuses_nobody_and_holds_no_proof_up() {
    let node = Node::new("beside-broken");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/amd-smi/health.json");
    node.does("amd-smi", &format!("case $1 in metric) exec cat '{sample}';; *) exit 2;; esac"));
    let [often, beside_often, tool] = with_amd_smi(&node);
    let exporter = node.start(&[&often, &beside_often, "--check.timeout=300ms", &tool]);
    exporter.wait_for(AMD_SMI, |passed| passed == 1.0);
    let unknown = "ossci_check_result_info{check=\"amd-smi\",verdict=\"unknown\",reason=\"own-trouble\"}";
    // The identity of the GPUs says nothing about their memory.
    let identity = r#"case $1 in metric) echo '[{"gpu": 0, "bdf": "0000:05:00.0"}]';; *) exit 2;; esac"#;
    let no_driver = "echo AMDSMI Tool: Unable to get devices, driver not initialized; exit 255";
    for trouble in ["exec sleep 60", "exit 9", no_driver, identity] {
        node.does("amd-smi", &format!("case $1 in metric) exec cat '{sample}';; *) exit 2;; esac"));
        exporter.wait_for(AMD_SMI, |passed| passed == 1.0);
        node.does("amd-smi", trouble);
        exporter.wait_for(unknown, |shown| shown == 1.0);
        assert_eq!(exporter.value(AMD_SMI_STRIKES), Some(0.0), "{trouble}");
    }
    let answer = exporter.probe("check=gpu").1;
    let checks: Vec<&str> =
        answer["results"].as_array().unwrap().iter().filter_map(|it| it["check"].as_str()).collect();
    assert_eq!(checks, ["rocm-smi", "rocminfo"]);
}

#[test]
fn a_failure_in_the_boot_grace_is_no_strike() {
    let node = Node::new("grace");
    std::fs::write(node.path.join("proc/uptime"), "5.00 9.00\n").unwrap();
    node.does("rocm-smi", "exit 9");
    let exporter = node.start(&[FAST[0], "--gpus.expected=8"]);
    exporter.wait_for("ossci_check_failures_total{check=\"rocm-smi\"}", |failures| failures >= 3.0);
    assert_eq!(exporter.value(STRIKES), Some(0.0));
    std::fs::write(node.path.join("proc/uptime"), "500.00 9.00\n").unwrap();
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
}

#[test]
fn a_node_without_gpus_is_no_broken_node() {
    let node = Node::new("no-gpus");
    node.prints("rocm-smi", "rocm-smi/zero-gpus.json");
    node.prints("rocminfo", "rocminfo/cpu-only.txt");
    let exporter = node.start(&[FAST[0]]);
    exporter.wait_for("ossci_check_runs_total{check=\"rocm-smi\"}", |runs| runs >= 4.0);
    for check in ["rocm-smi", "rocminfo"] {
        let unknown =
            format!("ossci_check_result_info{{check=\"{check}\",verdict=\"unknown\",reason=\"own-trouble\"}}");
        exporter.wait_for(&unknown, |shown| shown == 1.0);
        let strikes = format!("ossci_check_consecutive_failures{{check=\"{check}\"}}");
        assert_eq!(exporter.value(&strikes), Some(0.0));
    }
}

#[test]
fn a_driver_may_load_six_minutes_after_the_boot() {
    let node = Node::new("driver-late");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/rocm-smi/driver-not-loaded");
    node.does("rocm-smi", &format!("cat '{sample}.json'; cat '{sample}.stderr.txt' >&2; exit 1"));
    let up = |seconds: u32| std::fs::write(node.path.join("proc/uptime"), format!("{seconds}.00 9.00\n")).unwrap();
    up(360);
    let exporter = node.start(&[FAST[0], "--gpus.expected=8"]);
    exporter.wait_for("ossci_check_failures_total{check=\"rocm-smi\"}", |failures| failures >= 3.0);
    let reason = "ossci_check_result_info{check=\"rocm-smi\",verdict=\"failed\",reason=\"driver-not-loaded\"}";
    assert_eq!((exporter.value(reason), exporter.value(STRIKES)), (Some(1.0), Some(0.0)));
    // By then every other fault counts.
    node.does("rocm-smi", "exit 9");
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
    node.prints("rocm-smi", "rocm-smi/healthy.json");
    exporter.wait_for("ossci_check_success{check=\"rocm-smi\"}", |value| value == 1.0);
}

#[test]
fn a_full_disk_does_not_affect_the_running_exporter() {
    let node = Node::new("full");
    node.does("rocm-smi", "exit 9");
    // Every write to this device fails with ENOSPC.
    symlink("/dev/full", node.path.join("state/strikes.json.tmp")).unwrap();
    let exporter = node.start(&[FAST[0], "--gpus.expected=8"]);
    exporter.wait_for(STRIKES, |strikes| strikes >= 3.0);
    assert!(exporter.value("ossci_exporter_state_write_failures_total") >= Some(3.0));
}

fn run(node: &Node, flags: &[&str]) -> Output {
    let of = |flag: &str, name: &str| format!("--{flag}={}", node.path.join(name).display());
    Command::new(env!("CARGO_BIN_EXE_ossci-exporter"))
        .args([of("path.procfs", "proc"), of("path.run-dir", "run"), of("path.state-dir", "state")])
        .args([of("tool.rocm-smi", "rocm-smi"), of("tool.rocminfo", "rocminfo")])
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn once_prints_the_page_and_exits_with_1_after_a_failure() {
    let node = Node::new("once");
    let healthy = run(&node, &["--once"]);
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
    let page = String::from_utf8(healthy.stdout).unwrap();
    assert!(page.contains("ossci_check_success{check=\"rocminfo\"} 1"), "{page}");
    assert!(page.contains("ossci_check_last_run_age_seconds{"), "{page}");
    node.prints("rocm-smi", "rocm-smi/seven-of-eight.json");
    let file = node.path.join("ossci.prom");
    let failed = run(&node, &["--once", "--gpus.expected=8", &format!("--output={}", file.display())]);
    assert_eq!((failed.status.code(), failed.stdout.len()), (Some(1), 0));
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.contains("reason=\"gpu-missing\"") && !page.contains("# EOF"), "{page}");
    // It would not grow in a file, and the strikes in one would stay fresh for ever.
    assert!(!page.contains("ossci_check_last_run_age_seconds"), "{page}");
    let nowhere = run(&node, &["--once", "--output=/nonexistent/ossci.prom"]);
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("cannot write /nonexistent/ossci.prom"));
}

#[test]
fn a_configuration_is_checked_without_being_run() {
    let node = Node::new("check");
    assert_eq!(run(&node, &["--config.check"]).status.code(), Some(0));
    let file = node.path.join("exporter.yaml");
    std::fs::write(&file, "# mine\nnetwork:\n  max-loss: 5\n").unwrap();
    let wrong = run(&node, &["--config.check", &format!("--config.file={}", file.display())]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("exporter.yaml: line 3: network.max-loss: write a share between 0 and 1"), "{said}");
    std::fs::write(&file, "basic_auth_users:\n  prometheus: plain\n").unwrap();
    let wrong = run(&node, &["--config.check", &format!("--web.config.file={}", file.display())]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("must be a bcrypt hash"));
}

fn ask(stream: impl Read + Write, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut stream = stream;
    // A server that requires a certificate may have closed the connection before the request.
    if write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\n{headers}Connection: close\r\n\r\n").is_err() {
        return (0, String::new(), Vec::new());
    }
    let mut answer = Vec::new();
    // Closing TLS without close_notify is an error to the library, but not here.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head, answer.split_off((end + 4).min(answer.len())))
}

#[test]
fn gzip_is_sent_when_asked_for() {
    let node = Node::new("gzip");
    let exporter = node.start(&["--check.interval=24h", "--web.telemetry-path=/data"]);
    let get = |headers| ask(TcpStream::connect(&exporter.address).unwrap(), "/data", headers);
    let (status, head, packed) = get("Accept-Encoding: gzip\r\n");
    assert_eq!(status, 200);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert_eq!(packed[..2], [0x1f, 0x8b]);
    assert!(!get("").1.contains("content-encoding"));
    assert_eq!(exporter.get("/metrics", "*/*").0, 404);
    assert!(exporter.get("/", "*/*").2.contains("href=\"/data\""));
}

#[test]
fn a_probe_with_debug_shows_what_the_tools_printed() {
    let node = Node::new("debug");
    node.does("rocm-smi", "echo strange; echo stranger >&2; exit 3");
    let exporter = node.start(&["--check.interval=24h"]);
    let (status, answer) = exporter.probe("check=gpu&debug=true");
    assert_eq!(status, 200);
    let debug = &answer["results"][0]["debug"];
    assert_eq!(
        (&debug["stdout"], &debug["stderr"], &debug["exitStatus"]),
        (&"strange\n".into(), &"stranger\n".into(), &3.into())
    );
}

#[test]
fn only_users_with_a_password_may_probe_over_tcp() {
    let node = Node::new("users");
    let hash = bcrypt::hash("secret", 4).unwrap();
    let file = node.path.join("web.yml");
    std::fs::write(&file, format!("basic_auth_users:\n  prometheus: {hash}\n")).unwrap();
    let exporter = node.start(&["--check.interval=24h", &format!("--web.config.file={}", file.display())]);
    let get = |path: &str, pair: &str| {
        let headers = format!("Authorization: Basic {}\r\n", STANDARD.encode(pair));
        ask(TcpStream::connect(&exporter.address).unwrap(), path, &headers)
    };
    assert_eq!(exporter.get("/metrics", "*/*").0, 401);
    assert_eq!(exporter.get("/probe?check=gpu", "*/*").0, 401);
    assert_eq!(get("/metrics", "prometheus:wrong").0, 401);
    assert_eq!(get("/metrics", "prometheus:secret").0, 200);
    assert_eq!(get("/probe?check=gpu", "prometheus:secret").0, 200);
    assert_eq!(exporter.probe("check=gpu").0, 429, "the socket needs no password");

    // Another password is used without a restart and without a signal; a broken file changes
    // nothing.
    let users = |password: &str| format!("basic_auth_users:\n  prometheus: {}\n", bcrypt::hash(password, 4).unwrap());
    std::fs::write(&file, users("renewed")).unwrap();
    wait_for("the new password", || (get("/metrics", "prometheus:renewed").0 == 200).then_some(()));
    assert_eq!(get("/metrics", "prometheus:secret").0, 401);
    std::fs::write(&file, "basic_auth_users: [").unwrap();
    wait_for("the metric", || {
        let page = String::from_utf8(get("/metrics", "prometheus:renewed").2).unwrap();
        page.contains(&format!("\n{RELOADED} 0")).then_some(())
    });
}

#[test]
fn tls_requires_a_client_certificate_and_reloads_its_own() {
    let node = Node::new("tls");
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let leaf = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec![name.to_string()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate, key)
    };
    let (certificate, key) = leaf("node");
    let write = |name: &str, text: String| std::fs::write(node.path.join(name), text).unwrap();
    write("ca.pem", authority_certificate.pem());
    write("cert.pem", certificate.pem());
    write("key.pem", key.serialize_pem());
    let text = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_ca_file: ca.pem\n  \
                client_auth_type: RequireAndVerifyClientCert\n";
    write("web.yml", text.to_string());
    let file = format!("--web.config.file={}", node.path.join("web.yml").display());
    let exporter = node.start(&["--check.interval=24h", &file]);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority_certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = || {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
        builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots.clone())
    };
    let (own, own_key) = leaf("prometheus");
    let own_key = rustls::pki_types::PrivateKeyDer::try_from(own_key.serialize_der()).unwrap();
    let known = client().with_client_auth_cert(vec![own.der().clone()], own_key).unwrap();
    let stranger = client().with_no_client_auth();
    let get = |config: &rustls::ClientConfig, path: &str| {
        let name = ServerName::try_from("node").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config.clone()), name).unwrap();
        ask(rustls::StreamOwned::new(connection, TcpStream::connect(&exporter.address).unwrap()), path, "").0
    };
    wait_for("TLS", || (get(&known, "/metrics") == 200).then_some(()));
    assert_eq!(get(&known, "/probe?check=gpu"), 200);
    assert_eq!(get(&stranger, "/metrics"), 0, "a request without a certificate is refused");
    assert_ne!(ask(TcpStream::connect(&exporter.address).unwrap(), "/metrics", "").0, 200);

    // A new certificate is used without a restart. A broken one, or a change that needs a restart,
    // is reported and changes nothing.
    let shown = || {
        let name = ServerName::try_from("node").unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(known.clone()), name).unwrap();
        let mut stream = TcpStream::connect(&exporter.address).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        connection.peer_certificates().unwrap()[0].as_ref().to_vec()
    };
    let reloaded = |wanted: &str| {
        hang_up(&exporter);
        wait_for("reload", || {
            let name = ServerName::try_from("node").unwrap();
            let connection = rustls::ClientConnection::new(Arc::new(known.clone()), name).unwrap();
            let stream = rustls::StreamOwned::new(connection, TcpStream::connect(&exporter.address).unwrap());
            let page = String::from_utf8(ask(stream, "/metrics", "").2).unwrap();
            page.contains(&format!("\n{RELOADED} {wanted}")).then_some(())
        });
    };
    assert_eq!(shown(), certificate.der().as_ref());
    write("cert.pem", "rubbish".to_string());
    reloaded("0");
    assert_eq!(shown(), certificate.der().as_ref());
    let (renewed, renewed_key) = leaf("node");
    write("cert.pem", renewed.pem());
    write("key.pem", renewed_key.serialize_pem());
    reloaded("1");
    assert_eq!(shown(), renewed.der().as_ref());
    write("web.yml", text.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"));
    reloaded("0");
    assert_eq!(get(&stranger, "/metrics"), 0, "a certificate is still required");
}

#[test]
fn it_is_ready_when_each_check_has_come_to_a_verdict() {
    let node = Node::new("ready");
    let ready = |exporter: &Exporter| exporter.get("/-/ready", "*/*");
    node.does("rocminfo", "sleep 3");
    let exporter = node.start(&["--check.interval=5s", "--check.timeout=4s"]);
    let (status, _, said) = ready(&exporter);
    assert!(status == 503 && said.contains("rocminfo: has not finished a run yet"), "{said}");
    // A tool that never passed here holds no roll-out up.
    wait_for("the first runs", || (ready(&exporter).0 == 200).then_some(()));
    drop(exporter);
    std::fs::remove_file(node.path.join("rocm-smi")).unwrap();
    let broken = node.start(&FAST);
    let blind = || Some(ready(&broken).2).filter(|said| said.starts_with("rocm-smi: ") && said.contains("not a file"));
    wait_for("the tool is missed", blind);
    assert_eq!(ready(&broken).0, 503);
}

#[test]
fn what_a_tool_leaves_behind_is_reaped() {
    let node = Node::new("orphans");
    // The session of its own keeps it out of the process group that is ended after the run.
    node.does("rocm-smi", "setsid sh -c 'sleep 1' >/dev/null 2>&1 &\ncat /nonexistent");
    let mut exporter = node.start(&[FAST[0]]);
    exporter.wait_for("ossci_check_runs_total{check=\"rocm-smi\"}", |runs| runs >= 5.0);
    node.prints("rocm-smi", "rocm-smi/healthy.json");
    let zombies = || exporter.orphans().iter().filter(|state| state.as_str() == "Z").count();
    wait_for("some zombies", || (zombies() > 4).then_some(()));
    wait_for("end of the zombies", || (zombies() == 0).then_some(()));
    exporter.stop();
}

#[test]
fn a_run_asks_the_next_server_when_one_does_not_answer() {
    let node = Node::new("targets");
    let fast = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/iperf3/fast.json");
    let gone = r#"{"error": "unable to connect to server: No route to host"}"#;
    let busy = r#"{"error": "the server is busy running a test. try again later"}"#;
    node.does("iperf3", &format!("case $2 in 192.0.2.1) echo '{gone}';; *) cat '{fast}';; esac"));
    let exporter = node.start(&["--check.interval=500ms", "--network.target=192.0.2.2"]);
    let runs = "ossci_check_runs_total{check=\"network\"}";
    let ran = exporter.wait_for(runs, |runs| runs >= 4.0);
    assert_eq!(exporter.value("ossci_check_failures_total{check=\"network\"}"), Some(0.0));
    // Of servers without a result one that refuses shows that there is a way to it.
    node.does("iperf3", &format!("case $2 in 192.0.2.1) echo '{gone}';; *) echo '{busy}';; esac"));
    exporter.wait_for(runs, |runs| runs >= ran + 4.0);
    assert!(exporter.metrics().contains("reason=\"target-trouble\""));
    node.does("iperf3", &format!("echo '{gone}'"));
    exporter.wait_for("ossci_check_consecutive_failures{check=\"network\"}", |strikes| strikes >= 3.0);
    assert!(exporter.metrics().contains("reason=\"network-unreachable\""));
}
