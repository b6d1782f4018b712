//! Mails against servers that behave and that do not, by the command that a person tests mail with:
//! `ossci-remediator mail test` says each step, and why a mail was not accepted.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ossci_lab::cloud::{Cloud, graph_error};
use ossci_lab::pki::{Pki, write_secret};
use ossci_lab::post_office::{Encryption, Manners, Point, PostOffice};
use ossci_lab::process::Program;
use ossci_lab::{environment, npm, wait};

struct Site {
    dir: PathBuf,
    pki: Pki,
}

/// Limit of one command: a mail is given up after two minutes.
const WITHIN: Duration = Duration::from_secs(125);

/// What the command said, and whether it succeeded.
struct Said {
    well: bool,
    text: String,
}

impl Said {
    fn says(&self, well: bool, parts: &[&str]) {
        assert_eq!(self.well, well, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part:?} is missing in:\n{}", self.text);
        }
    }
}

impl Site {
    fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = environment::temp_dir().join(format!("ossci-mail-{name}-{}", std::process::id()));
        let pki = Pki::create(&dir).unwrap();
        write_secret(&dir.join("password"), "the-secret\n").unwrap();
        Self { dir, pki }
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    async fn office(&self, encryption: Encryption, manners: Manners) -> PostOffice {
        PostOffice::open(encryption, &self.pki.server("post").unwrap(), manners).await.unwrap()
    }

    /// Runs a command with a policy; `mail`: keys of the section beside sender and recipient.
    async fn runs(&self, arguments: &[&str], mail: &str) -> Said {
        let head =
            "cluster: lab\npools: [{name: gpu, nodeSelector: {gpu: 'true'}}]\nmail:\n  from: ossci@lab.example\n";
        let to = if mail.contains("to: ") { "" } else { "  to: [infra@lab.example]\n" };
        let lines: String = mail.split("; ").map(|line| format!("  {line}\n")).collect();
        let policy = self.dir.join(format!("policy-{}.yaml", uuid::Uuid::new_v4()));
        fs::write(&policy, format!("{head}{to}{lines}")).unwrap();
        let program = Program::new("ossci-remediator mail", environment::our_program("ossci-remediator").unwrap());
        let ran = program.arg("mail").arg("--policy").arg(policy).args(arguments).finish(WITHIN).await.unwrap();
        let ran = ran.unwrap_or_else(|| panic!("the command took longer than {WITHIN:?}"));
        Said { well: ran.status.success(), text: format!("{}{}", ran.stdout, ran.stderr) }
    }

    /// Runs a command line that has to succeed.
    async fn shell(&self, line: &str) {
        let bash = Program::new("bash", "/bin/bash").dir(&self.dir).args(["-c", line]);
        let ran = bash.finish(WITHIN).await.unwrap().unwrap();
        assert!(ran.status.success(), "{line}: {}; `apt-get install openssl` installs openssl", ran.said());
    }

    async fn test(&self, mail: &str) -> Said {
        self.runs(&["test"], mail).await
    }

    /// The keys of a server on this machine.
    fn server(&self, office: &PostOffice) -> String {
        format!("server: 127.0.0.1; port: {}; caFile: {}", office.port, self.path("ca.crt"))
    }

    fn with_password(&self, office: &PostOffice) -> String {
        format!("{}; username: ossci; passwordFile: {}", self.server(office), self.path("password"))
    }

    fn oauth(&self, cloud: &Cloud) -> String {
        let token_url = format!("https://{}/tenant/oauth2/v2.0/token", cloud.address);
        format!("oauth: {{tokenUrl: '{token_url}', clientId: the-client, secretFile: {}}}", self.path("password"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn secret() -> Manners {
    Manners { secret: Some("the-secret".into()), ..Manners::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_accepted_with_every_encryption_and_each_step_is_said() {
    let site = Site::new("good");
    let started = site.office(Encryption::StartTls, secret()).await;
    let said = site.test(&site.with_password(&started)).await;
    said.says(
        true,
        &[
            "connected",
            "encrypted, and the certificate is the server's: CN=post, issued by CN=OSSCI lab CA, valid until ",
            "signed in as ossci",
            "recipient infra@lab.example: accepted",
            "accepted: 2.0.0 queued",
        ],
    );
    assert!(!said.text.contains("the-secret"), "{}", said.text);
    let implicit = site.office(Encryption::Implicit, secret()).await;
    site.test(&format!("{}; tls: implicit", site.with_password(&implicit))).await.says(true, &["encrypted"]);
    let plain = site.office(Encryption::None, Manners::default()).await;
    site.test(&format!("{}; tls: none; insecure: true", site.server(&plain))).await.says(true, &["accepted"]);
    for office in [&started, &implicit, &plain] {
        let [mail] = &office.accepted()[..] else { panic!("{:?}", office.accepted()) };
        assert_eq!(mail.recipients, ["infra@lab.example"]);
        assert_eq!(mail.header("Subject"), Some("[ossci] lab a test: mails from OSSCI Ops arrive here"));
        assert_eq!(mail.header("Auto-Submitted"), Some("auto-generated"));
        assert!(mail.header("Message-ID").unwrap().ends_with("@lab.example>"), "{}", mail.raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left_at_every_point() {
    let site = Site::new("silent");
    let tests = Point::ALL.map(|point| {
        let site = &site;
        async move {
            let office = site.office(Encryption::StartTls, Manners { silent_at: Some(point), ..secret() }).await;
            let said = site.test(&site.with_password(&office)).await;
            (point, said, office.accepted().len())
        }
    });
    for (point, said, accepted) in futures::future::join_all(tests).await {
        said.says(false, &["no answer within", "this may pass by itself"]);
        assert_eq!(accepted, 0, "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_recipient_takes_the_mail_from_nobody() {
    let site = Site::new("recipients");
    let office = site.office(Encryption::StartTls, Manners::default()).await;
    let three = format!("to: [a@lab.example, gone@lab.example, c@lab.example]; {}", site.server(&office));
    office.behave(|manners| {
        manners.recipients.insert("gone@lab.example".into(), "550 5.1.1 no such person".into());
    });
    site.test(&three).await.says(false, &["accepted, but not for gone@lab.example", "no such person", "550"]);
    assert_eq!(office.accepted()[0].recipients, ["a@lab.example", "c@lab.example"]);
    office.behave(|manners| {
        for name in ["a", "c"] {
            manners.recipients.insert(format!("{name}@lab.example"), "550 5.1.1 unknown".into());
        }
    });
    site.test(&three).await.says(false, &["no recipient was accepted", "waiting does not mend this"]);
    assert_eq!(office.accepted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waiting_mends_is_told_from_what_it_does_not() {
    let site = Site::new("classes");
    let (passes, stays) = ("this may pass by itself", "waiting does not mend this");
    let answers = [
        (Point::Accept, "421 4.3.2 too busy", passes),
        (Point::MailFrom, "550 5.7.60 not allowed to send as this sender", stays),
        (Point::MailFrom, "432 4.3.2 Concurrent connections limit exceeded", passes),
        (Point::End, "554 5.2.2 mailbox full", stays),
        (Point::End, "451 4.7.500 Server busy", passes),
        (Point::Auth, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled", stays),
        (Point::Auth, "454 4.7.0 Temporary authentication failure", passes),
    ];
    for (point, answer, class) in answers {
        let manners = Manners { answers: [(point, answer.to_owned())].into(), ..secret() };
        let office = site.office(Encryption::StartTls, manners).await;
        let words = answer.split_once(' ').unwrap().1;
        site.test(&site.with_password(&office)).await.says(false, &[class, words]);
        assert!(office.accepted().is_empty());
    }
    let greylists = site.office(Encryption::StartTls, Manners { greylists: 1, ..Manners::default() }).await;
    site.test(&site.server(&greylists)).await.says(false, &[passes, "Greylisted"]);
    site.test(&site.server(&greylists)).await.says(true, &["accepted"]);
    for point in [Point::Ehlo, Point::Data, Point::End] {
        let office = site.office(Encryption::StartTls, Manners { cut_at: Some(point), ..Manners::default() }).await;
        site.test(&site.server(&office)).await.says(false, &[passes]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_the_servers_gets_no_secret() {
    let site = Site::new("tls");
    let other = Pki::create(&site.dir.join("other")).unwrap();
    let pairs = [
        ("expired", site.pki.bad_server("expired", &["127.0.0.1"], true).unwrap(), "Expired"),
        ("another name", site.pki.bad_server("name", &["mail.example"], false).unwrap(), "not valid for"),
        ("another CA", other.server("self").unwrap(), "invalid peer certificate"),
    ];
    for (what, pair, words) in pairs {
        for encryption in [Encryption::StartTls, Encryption::Implicit] {
            let office = PostOffice::open(encryption, &pair, secret()).await.unwrap();
            let tls = if encryption == Encryption::Implicit { "; tls: implicit" } else { "" };
            let said = site.test(&format!("{}{tls}", site.with_password(&office))).await;
            said.says(false, &["certificate", "waiting does not mend this"]);
            assert!(
                said.text.contains(words) || said.text.to_lowercase().contains(&words.to_lowercase()),
                "{what}: {}",
                said.text
            );
            assert_eq!(office.attempts(), 0);
        }
    }
    // Each way round of STARTTLS against TLS at once.
    let at_once = site.office(Encryption::Implicit, secret()).await;
    site.test(&site.with_password(&at_once)).await.says(false, &["needs tls: implicit"]);
    let later = site.office(Encryption::StartTls, secret()).await;
    let said = site.test(&format!("{}; tls: implicit", site.with_password(&later))).await;
    said.says(false, &["does not speak TLS at once"]);
    let never = site.office(Encryption::None, secret()).await;
    site.test(&site.with_password(&never)).await.says(false, &["does not offer STARTTLS"]);
    assert_eq!(never.attempts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_in_and_is_asked_for_once_more_when_it_was_withdrawn() {
    let site = Site::new("xoauth2");
    let cloud = Cloud::open(&site.pki).await.unwrap();
    let manners = || Manners { secret: Some(cloud.token()), ..Manners::default() };
    let office = site.office(Encryption::StartTls, manners()).await;
    let mail = format!("{}; username: ossci@lab.example; {}", site.server(&office), site.oauth(&cloud));
    let said = site.test(&mail).await;
    said.says(
        true,
        &["token: aud \"https://graph.microsoft.com\", roles [\"Mail.Send\"]", "valid for 3599 s", "signed in as"],
    );
    assert!(!said.text.contains(&cloud.token()) && !said.text.contains("the-secret"), "{}", said.text);
    let asked = &cloud.asked()[0];
    let form = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(form("scope"), Some("https://outlook.office365.com/.default"));
    assert_eq!((form("grant_type"), form("client_id")), (Some("client_credentials"), Some("the-client")));

    // The server knows only a newer token than the endpoint gives: one more question, then the
    // words.
    office.behave(|manners| manners.secret = Some("another".into()));
    // Some servers say why in a challenge first.
    for challenges in [false, true] {
        office.behave(|manners| manners.challenges = challenges);
        let questions = cloud.asked().len();
        site.test(&mail).await.says(false, &["535", "Authentication unsuccessful", "once"]);
        assert_eq!(cloud.asked().len(), questions + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_or_the_clusters_token_proves_the_application() {
    let site = Site::new("assertion");
    let cloud = Cloud::open(&site.pki).await.unwrap();
    let office = site.office(Encryption::StartTls, Manners { secret: Some(cloud.token()), ..Manners::default() }).await;
    let openssl = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ossci -days 30 -keyout app.key -out app.crt";
    site.shell(openssl).await;
    write_secret(&site.dir.join("projected"), "the-clusters-token").unwrap();
    let url = format!("https://{}/tenant/oauth2/v2.0/token", cloud.address);
    let of = |files: String| {
        let oauth = format!("oauth: {{tokenUrl: '{url}', clientId: the-client, {files}}}");
        format!("{}; username: ossci@lab.example; {oauth}", site.server(&office))
    };
    site.test(&of(format!("keyFile: {}, certificateFile: {}", site.path("app.key"), site.path("app.crt"))))
        .await
        .says(true, &[]);
    site.test(&of(format!("assertionFile: {}", site.path("projected")))).await.says(true, &[]);
    let asked = cloud.asked();
    let assertion = |n: usize| asked[n].iter().find(|(key, _)| key == "client_assertion").unwrap().1.clone();
    assert_eq!(assertion(1), "the-clusters-token");
    // Header and claims as the endpoint wants them; openssl checks the signature.
    let signed = assertion(0);
    let parts: Vec<&str> = signed.split('.').collect();
    let json = |part: &str| -> serde_json::Value {
        use base64::Engine as _;
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!((json(parts[0])["alg"].as_str(), json(parts[1])["aud"].as_str()), (Some("PS256"), Some(url.as_str())));
    assert!(json(parts[0])["x5t#S256"].is_string() && json(parts[1])["exp"].as_i64() > json(parts[1])["iat"].as_i64());
    let signature = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[2]).unwrap()
    };
    fs::write(site.dir.join("signature"), signature).unwrap();
    fs::write(site.dir.join("signed"), format!("{}.{}", parts[0], parts[1])).unwrap();
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32";
    let verify = format!("openssl dgst -sha256 {pss} -verify app.pub -signature signature signed");
    site.shell(&format!("openssl x509 -in app.crt -pubkey -noout >app.pub && {verify}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_is_none_is_said_in_one_sentence() {
    let site = Site::new("endpoint");
    let cloud = Cloud::open(&site.pki).await.unwrap();
    let office = site.office(Encryption::StartTls, Manners { secret: Some(cloud.token()), ..Manners::default() }).await;
    let mail = format!("{}; username: ossci@lab.example; {}", site.server(&office), site.oauth(&cloud));
    let html = |status| (status, vec![("content-type", "text/html".to_owned())], "<html>Sign in</html>".to_owned());
    let (passes, stays) = ("this may pass by itself", "waiting does not mend this");
    for (instead, words, class) in [
        (html(200), "is no token; check oauth.tokenUrl", passes),
        (html(404), "is no JSON; check oauth.tokenUrl", stays),
        ((200, vec![], "x".repeat(1 << 20)), "longer than 64 kB", passes),
        ((503, vec![("retry-after", "7".to_owned())], "{}".to_owned()), "503", passes),
        (
            (
                400,
                vec![],
                r#"{"error": "invalid_client", "error_description": "AADSTS7000222: expired\nTrace ID: 9"}"#.to_owned(),
            ),
            "invalid_client: AADSTS7000222: expired",
            stays,
        ),
    ] {
        cloud.tokens_answer(Some(instead));
        let said = site.test(&mail).await;
        said.says(false, &[words, class, "asking for a token"]);
        assert!(!said.text.contains("Trace ID"), "{}", said.text);
    }
    cloud.tokens_answer(None);
    cloud.tokens_last(0);
    site.test(&mail).await.says(false, &["a token that has expired"]);
    write_secret(&site.dir.join("password"), "another").unwrap();
    site.test(&mail).await.says(false, &["invalid_client: AADSTS7000215", stays]);
    fs::remove_file(site.dir.join("password")).unwrap();
    site.test(&mail).await.says(false, &["reading oauth.secretFile", stays]);
    assert!(office.accepted().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_takes_the_whole_message_and_its_errors_say_what_to_do() {
    let site = Site::new("graph");
    let cloud = Cloud::open(&site.pki).await.unwrap();
    let graph =
        format!("graph: {{url: 'https://{}'}}; caFile: {}; {}", cloud.address, site.path("ca.crt"), site.oauth(&cloud));
    site.test(&graph).await.says(true, &["POST https://", "/v1.0/users/ossci@lab.example/sendMail", "202: accepted"]);
    let (mailbox, mime) = cloud.sent().remove(0);
    assert_eq!(mailbox, "ossci@lab.example");
    assert!(mime.contains("\r\nMessage-ID: <") && mime.contains("\r\nTo: infra@lab.example\r\n"), "{mime}");
    let scope = cloud.asked()[0].iter().find(|(key, _)| key == "scope").unwrap().1.clone();
    assert_eq!(scope, format!("https://{}/.default", cloud.address));

    let (passes, stays) = ("this may pass by itself", "waiting does not mend this");
    let throttled = |status, seconds: &str| {
        let (status, mut headers, body) = graph_error(status, "ApplicationThrottled", "slow down");
        headers.push(("retry-after", seconds.to_owned()));
        (status, headers, body)
    };
    for (instead, words, class) in [
        (
            graph_error(400, "ErrorInvalidRecipients", "At least one recipient is not valid."),
            "ErrorInvalidRecipients",
            stays,
        ),
        (graph_error(403, "ErrorAccessDenied", "Access is denied."), "may not send from this mailbox", stays),
        (graph_error(404, "ErrorInvalidUser", "The requested user is invalid."), "check mail.from", stays),
        (graph_error(413, "ErrorMessageSizeExceeded", "Too large."), "too large", stays),
        (throttled(429, "30"), "ApplicationThrottled: slow down", passes),
        (throttled(503, "10"), "503", passes),
        ((502, vec![], "<html>Bad gateway</html>".to_owned()), "502", passes),
    ] {
        cloud.graph_answers(vec![instead]);
        site.test(&graph).await.says(false, &[words, class]);
    }
    // A token that was withdrawn is renewed once.
    let before = cloud.attempts();
    cloud.graph_answers(vec![graph_error(401, "InvalidAuthenticationToken", "expired")]);
    site.test(&graph).await.says(true, &["asking for a new token, once", "202: accepted"]);
    cloud.graph_answers(vec![graph_error(401, "X", "no"), graph_error(401, "X", "no"), graph_error(401, "X", "no")]);
    site.test(&graph).await.says(false, &["check oauth.scope"]);
    assert_eq!(cloud.attempts() - before, 4, "no more than twice a mail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_each_mail_as_one_file() {
    let site = Site::new("directory");
    let out = site.path("out");
    site.test(&format!("directory: {out}")).await.says(true, &["written: "]);
    let files: Vec<_> = fs::read_dir(&out).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(files.len() == 1 && files[0].extension().is_some_and(|kind| kind == "eml"), "{files:?}");
    assert!(fs::read_to_string(&files[0]).unwrap().contains("Subject: [ossci] lab a test"));
    fs::write(site.path("file"), "").unwrap();
    site.test(&format!("directory: {}", site.path("file")))
        .await
        .says(false, &["writing ", "waiting does not mend this"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_sent_is_refused_by_config_check() {
    let site = Site::new("check");
    for (mail, words) in [
        ("to: []; server: a", "mail.to is empty"),
        ("to: [infra]; server: a", "\"infra\" is not an address"),
        ("tls: starttls", "exactly one of server"),
        ("server: a; directory: /b", "exactly one of server"),
        ("server: 'a b'", "not a host name"),
        ("server: a; port: 0", "port 0 is none"),
        ("server: a; port: 465", "write tls: implicit"),
        ("server: a; port: 587; tls: implicit", "write tls: starttls, or port: 465"),
        ("server: a; tls: none", "insecure: true"),
        ("server: a; tls: none; insecure: true; username: u; passwordFile: /p", "everybody on the way can read"),
        ("server: a; username: u", "needs passwordFile or oauth"),
        ("server: a; passwordFile: /p", "passwordFile needs username"),
        ("graph: {}", "graph needs oauth"),
        ("server: a; username: u; oauth: {tokenUrl: 'https://t', clientId: c}", "exactly one of secretFile"),
        ("server: a; username: u; oauth: {tokenUrl: t, clientId: c, secretFile: /s}", "tokenUrl is no address"),
        ("server: a; username: u; oauth: {tokenUrl: 'https://t', clientId: c, keyFile: /k}", "belong together"),
    ] {
        let said = site.test(mail).await;
        said.says(false, &[words]);
        assert_eq!(said.text.lines().count(), 1, "{}", said.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_can_be_seen_before_it_comes() {
    let site = Site::new("preview");
    let out = site.path("out");
    site.runs(&["preview", "gpu-missing"], "directory: /tmp")
        .await
        .says(true, &["Subject: [ossci] lab gpu-0417 needs a person"]);
    let said = site.runs(&["preview", "gpu-missing", "--out", &out], "directory: /tmp").await;
    said.says(true, &["gpu-missing.eml", "gpu-missing.html"]);
    let html = fs::read_to_string(format!("{out}/gpu-missing.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("692251001124"));
}

/// What a program by others shows of each example, one JSON document a line.
async fn shown(program: &str, script: &str) -> Vec<serde_json::Value> {
    let folder = environment::repository().join("remediator/src/mail/examples");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 9);
    // Line ends as on the way.
    let ways = environment::temp_dir().join(format!("ossci-eml-{program}-{}", std::process::id()));
    fs::create_dir_all(&ways).unwrap();
    let sent = files.iter().map(|file| {
        let copy = ways.join(file.file_name().unwrap());
        fs::write(&copy, fs::read_to_string(file).unwrap().replace('\n', "\r\n")).unwrap();
        copy
    });
    let path = environment::on_path(program);
    let path = path.unwrap_or_else(|| panic!("{program} is missing: install it with `apt-get install {program}`"));
    let reads = Program::new(program, path).arg(npm::MAIL_PEERS.script(script).unwrap()).args(sent.collect::<Vec<_>>());
    let said = reads.output(WITHIN).await.unwrap();
    fs::remove_dir_all(&ways).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_two_languages_read_every_mail_alike() {
    let (python, node) = tokio::join!(shown("python3", "parse.py"), shown("node", "parse.js"));
    assert_eq!((python.len(), node.len()), (9, 9));
    for (python, node) in python.iter().zip(&node) {
        assert_eq!(python["defects"], serde_json::json!([]), "{python}");
        assert!(python["longest"].as_u64().unwrap() <= 998, "{python}");
        for field in ["subject", "id", "from", "automatic", "attached"] {
            assert_eq!(python[field], node[field], "{field}");
        }
        let text =
            |shown: &serde_json::Value| shown["text"].as_str().unwrap().replace("\r\n", "\n").trim_end().to_owned();
        assert_eq!(text(python), text(node));
        assert!(text(node).starts_with(['N', '1', '2', 'P']) && node["html"].as_u64() > Some(1_000), "{node}");
    }
    let answers: Vec<_> = node.iter().filter(|mail| !mail["references"].is_null()).collect();
    let [answer] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(answer["subject"].as_str().unwrap().starts_with("Re: [ossci] prod-atl gpu-0417 needs a person: GPU"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_by_others_takes_the_token_of_an_endpoint_by_others() {
    let site = Site::new("peers");
    let pair = site.pki.server("post").unwrap();
    let path = environment::on_path("node").expect("node is missing: install it with `apt-get install nodejs`");
    let log = site.dir.join("peers.log");
    let server =
        Program::new("peers", path).arg(npm::MAIL_PEERS.script("server.js").unwrap()).arg(&pair.cert).arg(&pair.key);
    let mut server = server.start(&log).unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let ports: serde_json::Value = wait::until("both listen", WITHIN, || async {
        let said = said();
        let line = said.lines().find(|line| line.starts_with('{')).ok_or_else(|| anyhow::anyhow!("not yet: {said}"))?;
        Ok(serde_json::from_str(line)?)
    })
    .await
    .unwrap();
    let oauth = |url: &str| format!("oauth: {{tokenUrl: '{url}', clientId: c, secretFile: {}}}", site.path("password"));
    let url = format!("http://127.0.0.1:{}/token", ports["tokens"]);
    let keys = format!(
        "server: 127.0.0.1; port: {}; caFile: {}; username: ossci@lab.example",
        ports["smtp"],
        site.path("ca.crt")
    );
    site.test(&format!("{keys}; {}", oauth(&url))).await.says(true, &["signed in as ossci@lab.example", "accepted"]);
    assert!(said().contains(r#""user":"ossci@lab.example","to":["infra@lab.example"]"#), "{}", said());
    // A token of another endpoint.
    let cloud = Cloud::open(&site.pki).await.unwrap();
    let other = format!("https://{}/tenant/oauth2/v2.0/token", cloud.address);
    site.test(&format!("{keys}; {}", oauth(&other))).await.says(false, &["535", "waiting does not mend this"]);
    server.stop(WITHIN).await;
}
