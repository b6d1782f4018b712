//! Tests of the HTTP servers of the running programs: idle connections at each of the four ports,
//! and certificate and token files that change while a controller runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ossci_lab::facts::Facts;
use ossci_lab::process::Program;
use ossci_lab::{environment, parts, ports, wait};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{lab, lab_to_flood, part};

/// Number of idle connections to one port.
const STRANGERS: usize = 400;
/// Bytes of the unfinished header that each of them sends.
const HEAD_BYTES: usize = 400 << 10;
/// Limit of the memory that idle connections may cost a program, in kB.
const MEMORY_KB: u64 = 20 << 10;

/// Accepts any certificate: these tests compare it themselves.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn connector() -> TlsConnector {
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate));
    TlsConnector::from(Arc::new(builder.with_no_client_auth()))
}

/// The process that listens on this port of the loopback.
fn listener(port: &str) -> u32 {
    let port: u16 = port.parse().unwrap();
    let table = fs::read_to_string("/proc/net/tcp").unwrap() + &fs::read_to_string("/proc/net/tcp6").unwrap();
    let inode = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, state) = (fields.get(1)?, fields.get(3)?);
        (address.ends_with(&format!(":{port:04X}")) && *state == "0A")
            .then(|| fields.get(9).map(ToString::to_string))?
    });
    let socket = format!("socket:[{}]", inode.unwrap_or_else(|| panic!("no process listens at port {port}")));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let holds = |entry: &fs::DirEntry| {
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket.as_str())
    };
    let process = processes.filter(holds).find_map(|entry| entry.file_name().to_str()?.parse().ok());
    process.unwrap_or_else(|| panic!("no process holds {socket}"))
}

/// Ports of the loopback on which the process listens.
fn ports_of(process: u32) -> BTreeSet<u16> {
    let links = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let sockets: BTreeSet<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let listens = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let of_it = fields[3] == "0A" && sockets.contains(fields[9]);
        of_it.then(|| u16::from_str_radix(fields[1].rsplit(':').next()?, 16).ok())?
    });
    listens.collect()
}

/// Resident memory, in kB.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(address: &str, tls: Option<&TlsConnector>) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
    })
}

/// Sends an unfinished header, then waits until the server closes the connection.
async fn stranger(address: String, tls: Option<TlsConnector>) {
    let Ok(mut stream) = connect(&address, tls.as_ref()).await else { return };
    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: ").await;
    for _ in 0..HEAD_BYTES / 4096 {
        if stream.write_all(&[b'x'; 4096]).await.is_err() {
            break;
        }
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Opens four hundred idle connections to a port: memory stays bounded, the health page answers,
/// and the server closes all of them after its header timeout.
async fn holds(what: &str, address: &str, tls: Option<TlsConnector>, health: &str) {
    let process = listener(address.rsplit(':').next().unwrap());
    let before = resident(process);
    let strangers: Vec<_> = (0..STRANGERS).map(|_| tokio::spawn(stranger(address.to_owned(), tls.clone()))).collect();
    let http = parts::http().unwrap();
    let mut most = before;
    for _ in 0..5 {
        let page = parts::page(&http, &format!("http://{health}/metrics")).await;
        page.unwrap_or_else(|error| panic!("{what} does not answer beside {STRANGERS} strangers: {error:#}"));
        most = most.max(resident(process));
    }
    let gone = tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(strangers)).await;
    assert!(gone.is_ok(), "{what}: a stranger is still connected after a minute");
    most = most.max(resident(process));
    println!("{what}: {before} kB before, {most} kB at most with {STRANGERS} strangers");
    assert!(most < before + MEMORY_KB, "{what}: {before} kB before, {most} kB at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_strangers_cost_no_port_more_than_20_mb() {
    let _part = part("strangers at four ports");
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let exporter = facts.exporters.get("node1").expect("node1 is gone");
    holds("exporter", exporter, None, exporter).await;
    let (metrics, webhook) = (&facts.remediator_metrics[0], &facts.remediator_webhooks[0]);
    holds("controller metrics", metrics, None, metrics).await;
    holds("webhook", webhook, Some(connector()), metrics).await;
    let agent = agent(&facts, "node1");
    holds("agent", &agent, None, &agent).await;
}

/// The metrics address of a node's agent.
fn agent(facts: &Facts, node: &str) -> String {
    let sign = format!("--node-name={node}\0");
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).into_owned();
        let ours = command.contains("\0agent\0") && command.contains(&sign);
        let here = command.contains(&facts.dir.display().to_string());
        (ours && here).then(|| entry.file_name().to_str()?.parse::<u32>().ok())?
    });
    let port = processes.flat_map(ports_of).next().expect("the agent listens at no port");
    format!("127.0.0.1:{port}")
}

/// A controller beside those of the lab, with files that this test changes.
struct Controller {
    dir: PathBuf,
    webhook: String,
    metrics: String,
    child: std::process::Child,
}

impl Controller {
    fn start(facts: &Facts) -> Self {
        let dir = environment::temp_dir().join(format!("ossci-door-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let address = || format!("127.0.0.1:{}", ports::free().unwrap());
        let (webhook, metrics) = (address(), address());
        write_certificate(&dir);
        fs::write(dir.join("token"), "old-token\n").unwrap();
        let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
        let program = Program::new("controller", environment::our_program("ossci-remediator").unwrap())
            .args(["controller".to_owned(), format!("--policy={}", facts.dir.join("remediator/policy.yaml").display())])
            .args([format!("--webhook.listen-address={webhook}"), format!("--metrics.listen-address={metrics}")])
            .args([file("webhook.tls-cert", "tls.crt"), file("webhook.tls-key", "tls.key")])
            .arg(file("webhook.token-file", "token"))
            .env("KUBECONFIG", facts.dir.join("nodes/infra1/secrets/controller.kubeconfig"));
        let child = program.hold(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("door.log")).unwrap();
        Self { dir, webhook, metrics, child }
    }

    /// The certificate that the webhook presents.
    async fn certificate(&self) -> Result<Vec<u8>> {
        let stream = TcpStream::connect(&self.webhook).await?;
        let stream = connector().connect(ServerName::try_from("localhost")?, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().context("no certificate")?;
        Ok(shown[0].as_ref().to_vec())
    }

    /// The status of a delivery without alerts.
    async fn status(&self, token: &str) -> Result<String> {
        let mut stream = connect(&self.webhook, Some(&connector())).await?;
        answer(&mut stream, token).await
    }

    async fn metric(&self, name: &str) -> Result<f64> {
        let page = parts::page(&parts::http()?, &format!("http://{}/metrics", self.metrics)).await?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().parse()?)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const DELIVERY: &str = r#"{"version":"4","alerts":[]}"#;

fn request(token: &str) -> String {
    let length = DELIVERY.len();
    format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{DELIVERY}"
    )
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), token: &str) -> Result<String> {
    stream.write_all(request(token).as_bytes()).await?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    line.split(' ').nth(1).map(str::to_owned).with_context(|| format!("no status in {line:?}"))
}

fn write_certificate(dir: &Path) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
    fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
    certificate.der().to_vec()
}

const WITHIN: Duration = Duration::from_secs(60);
const IN_FORCE: &str = "ossci_remediator_webhook_files_last_reload_successful ";

#[tokio::test(flavor = "multi_thread")]
async fn a_running_controller_takes_a_new_token_certificate_and_key() {
    let _part = part("files of the webhook change");
    let lab = lab_to_flood().await;
    let controller = &Controller::start(&lab.facts().await);
    let status = |token: &'static str, wanted: &'static str| {
        wait::until(format!("{token} is answered {wanted}"), WITHIN, move || async move {
            let status = controller.status(token).await?;
            ensure!(status == wanted, "{status}");
            Ok(())
        })
    };
    status("old-token", "200").await.unwrap();
    status("new-token", "401").await.unwrap();

    // A request that began with the old certificate and token finishes.
    let mut before = connect(&controller.webhook, Some(&connector())).await.unwrap();
    let whole = request("old-token");
    let (head, rest) = whole.split_at(40);
    before.write_all(head.as_bytes()).await.unwrap();

    // Two tokens during the rotation.
    fs::write(controller.dir.join("token"), "old-token\nnew-token\n").unwrap();
    status("new-token", "200").await.unwrap();
    status("old-token", "200").await.unwrap();
    before.write_all(rest.as_bytes()).await.unwrap();
    let mut answered = Vec::new();
    let _ = before.read_to_end(&mut answered).await;
    assert!(answered.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answered));
    fs::write(controller.dir.join("token"), "new-token\n").unwrap();
    status("old-token", "401").await.unwrap();

    // Another certificate and key.
    let renewed = &write_certificate(&controller.dir);
    let shown = wait::until("the new certificate is shown", WITHIN, || async {
        ensure!(controller.certificate().await? == *renewed, "another one");
        Ok(())
    });
    shown.await.unwrap();

    // Invalid files change nothing, and a metric reports them.
    fs::write(controller.dir.join("tls.crt"), "rubbish").unwrap();
    let refused = wait::until("the metric is 0", WITHIN, || async {
        ensure!(controller.metric(IN_FORCE).await? == 0.0, "it is 1");
        Ok(())
    });
    refused.await.unwrap();
    assert_eq!(controller.certificate().await.unwrap(), *renewed);
    status("new-token", "200").await.unwrap();
    let again = &write_certificate(&controller.dir);
    let shown = wait::until("the files are in force again", WITHIN, || async {
        ensure!(controller.certificate().await? == *again, "another one");
        ensure!(controller.metric(IN_FORCE).await? == 1.0, "it is 0");
        Ok(())
    });
    shown.await.unwrap();
}
