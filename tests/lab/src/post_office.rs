//! A mail server that can be told how to misbehave: where it falls silent, what it refuses, how its
//! connection is encrypted. It keeps what it accepts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::pki::Pair;

/// A step of a delivery, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    Accept,
    Ehlo,
    StartTls,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    /// The final dot.
    End,
}

impl Point {
    pub const ALL: [Self; 8] =
        [Self::Accept, Self::Ehlo, Self::StartTls, Self::Auth, Self::MailFrom, Self::RcptTo, Self::Data, Self::End];
}

/// How the server behaves. Everything may change while it runs.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    /// It does not answer this step any more.
    pub silent_at: Option<Point>,
    /// It closes the connection at this step instead of an answer.
    pub cut_at: Option<Point>,
    /// The answer to a step, in place of the good one.
    pub answers: BTreeMap<Point, String>,
    /// The answer to a recipient.
    pub recipients: BTreeMap<String, String>,
    /// This number of attempts is answered 451 before one passes (greylisting).
    pub greylists: u32,
    /// It says why in a challenge before it refuses a token.
    pub challenges: bool,
    /// The token that XOAUTH2 needs, or the password of PLAIN.
    pub secret: Option<String>,
}

/// Is called when a step has come, before or after its answer; it may end the client.
pub type Watcher = Arc<dyn Fn(Point, bool) + Send + Sync>;

/// An accepted mail.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub recipients: Vec<String>,
    pub raw: String,
}

impl Accepted {
    /// Returns the value of a header on one line.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.raw.split("\r\n\r\n").next()?;
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// How its connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    None,
    StartTls,
    Implicit,
}

#[derive(Default)]
struct State {
    manners: Manners,
    accepted: Vec<Accepted>,
    connections: usize,
    /// Attempts that came as far as a sender.
    attempts: usize,
    watcher: Option<Watcher>,
}

/// A running server; it ends with its runtime.
#[derive(Clone)]
pub struct PostOffice {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl PostOffice {
    pub async fn open(encryption: Encryption, pair: &Pair, manners: Manners) -> Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_file_iter(&pair.cert)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&pair.key)?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for mail")?;
        let port = listener.local_addr()?.port();
        let office = Self { port, state: Arc::new(Mutex::new(State { manners, ..State::default() })) };
        let serving = office.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (office, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    office.lock().connections += 1;
                    // A client that leaves is no news.
                    let _ = office.connection(stream, encryption, tls).await;
                });
            }
        });
        Ok(office)
    }

    pub fn accepted(&self) -> Vec<Accepted> {
        self.lock().accepted.clone()
    }

    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    pub fn attempts(&self) -> usize {
        self.lock().attempts
    }

    /// Calls this at each step, with whether its answer has been sent.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.lock().watcher = watcher;
    }

    fn at(&self, point: Point, answered: bool) {
        let watcher = self.lock().watcher.clone();
        if let Some(watcher) = watcher {
            watcher(point, answered);
        }
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.lock().manners);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self, stream: TcpStream, encryption: Encryption, tls: TlsAcceptor) -> Result<()> {
        match encryption {
            Encryption::Implicit => {
                let stream = tls.accept(stream).await?;
                self.talk(BufReader::new(stream), false).await.map(drop)
            }
            Encryption::None => self.talk(BufReader::new(stream), false).await.map(drop),
            Encryption::StartTls => {
                let Some(plain) = self.talk(BufReader::new(stream), true).await? else { return Ok(()) };
                let stream = tls.accept(plain.into_inner()).await?;
                self.talk_on(BufReader::new(stream)).await
            }
        }
    }

    /// Greets and talks; returns the connection if it has to become encrypted.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: BufReader<S>,
        offers: bool,
    ) -> Result<Option<BufReader<S>>> {
        if !self.say(&mut stream, Point::Accept, "220 post.office ESMTP").await? {
            return Ok(None);
        }
        if !offers {
            self.talk_on(stream).await?;
            return Ok(None);
        }
        loop {
            let Some(line) = read_line(&mut stream).await? else { return Ok(None) };
            let upper = line.to_ascii_uppercase();
            if upper.starts_with("EHLO") {
                if !self.say(&mut stream, Point::Ehlo, "250-post.office\r\n250 STARTTLS").await? {
                    return Ok(None);
                }
            } else if upper == "STARTTLS" {
                let goes = self.say(&mut stream, Point::StartTls, "220 go ahead").await?;
                return Ok(goes.then_some(stream));
            } else {
                stream.write_all(b"530 5.7.0 Must issue a STARTTLS command first\r\n").await?;
            }
        }
    }

    /// Talks from the first EHLO that may be followed by a mail.
    async fn talk_on<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: BufReader<S>) -> Result<()> {
        let (mut recipients, mut signed_in) = (Vec::new(), false);
        let needs_secret = self.lock().manners.secret.is_some();
        while let Some(line) = read_line(&mut stream).await? {
            let upper = line.to_ascii_uppercase();
            let goes = if upper.starts_with("EHLO") {
                let offers = if needs_secret { "\r\n250-AUTH PLAIN XOAUTH2" } else { "" };
                self.say(&mut stream, Point::Ehlo, &format!("250-post.office{offers}\r\n250 8BITMIME")).await?
            } else if let Some(initial) =
                upper.starts_with("AUTH ").then(|| line.rsplit(' ').next().unwrap_or_default())
            {
                signed_in = self.knows(initial);
                if !signed_in && upper.starts_with("AUTH XOAUTH2") && self.lock().manners.challenges {
                    let why = STANDARD.encode(r#"{"status":"401","schemes":"bearer"}"#);
                    stream.write_all(format!("334 {why}\r\n").as_bytes()).await?;
                    read_line(&mut stream).await?;
                }
                let answer = if signed_in { "235 2.7.0 welcome" } else { "535 5.7.3 Authentication unsuccessful" };
                self.say(&mut stream, Point::Auth, answer).await?
            } else if upper.starts_with("MAIL FROM:") {
                self.lock().attempts += 1;
                let answer = if needs_secret && !signed_in { "530 5.7.57 Client not authenticated" } else { "250 ok" };
                self.say(&mut stream, Point::MailFrom, answer).await?
            } else if upper.starts_with("RCPT TO:") {
                let address = line["RCPT TO:".len()..].trim_matches(['<', '>', ' ']).to_owned();
                let answer = self.answer_to(&address);
                if answer.starts_with('2') {
                    recipients.push(address);
                }
                self.say(&mut stream, Point::RcptTo, &answer).await?
            } else if upper == "DATA" {
                if !self.say(&mut stream, Point::Data, "354 go on").await? {
                    return Ok(());
                }
                let raw = content(&mut stream).await?;
                let takes = !self.lock().manners.answers.contains_key(&Point::End);
                let keeps = takes && self.lock().manners.cut_at != Some(Point::End);
                if keeps && self.lock().manners.silent_at != Some(Point::End) {
                    self.lock().accepted.push(Accepted { recipients: std::mem::take(&mut recipients), raw });
                }
                self.say(&mut stream, Point::End, "250 2.0.0 queued").await?
            } else if upper == "QUIT" {
                stream.write_all(b"221 bye\r\n").await?;
                false
            } else {
                stream.write_all(b"500 5.5.1 what?\r\n").await?;
                true
            };
            if !goes {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers a step as the manners have it; `false`: the connection ends.
    async fn say<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        point: Point,
        good: &str,
    ) -> Result<bool> {
        self.at(point, false);
        let manners = self.lock().manners.clone();
        if manners.cut_at == Some(point) {
            return Ok(false);
        }
        if manners.silent_at == Some(point) {
            // Until the client leaves.
            while read_line(stream).await?.is_some() {}
            return Ok(false);
        }
        let answer = manners.answers.get(&point).map_or(good, String::as_str);
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        stream.flush().await?;
        self.at(point, true);
        Ok(true)
    }

    fn knows(&self, initial: &str) -> bool {
        let given = STANDARD.decode(initial).unwrap_or_default();
        let given = String::from_utf8_lossy(&given).into_owned();
        let secret = self.lock().manners.secret.clone().unwrap_or_default();
        given.contains(&format!("auth=Bearer {secret}\u{1}")) || given.ends_with(&format!("\0{secret}"))
    }

    fn answer_to(&self, address: &str) -> String {
        let mut state = self.lock();
        if state.manners.greylists > 0 {
            state.manners.greylists -= 1;
            return "451 4.7.1 Greylisted, try again later".to_owned();
        }
        state.manners.recipients.get(address).cloned().unwrap_or_else(|| "250 ok".to_owned())
    }
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Result<Option<String>> {
    let mut line = Vec::new();
    let read = stream.read_until(b'\n', &mut line).await?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
}

async fn content<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Result<String> {
    let mut content = Vec::new();
    while !content.ends_with(b"\r\n.\r\n") {
        if stream.read_until(b'\n', &mut content).await? == 0 {
            anyhow::bail!("the client left in the middle of a mail");
        }
    }
    content.truncate(content.len() - 3);
    Ok(String::from_utf8_lossy(&content).replace("\r\n..", "\r\n."))
}
