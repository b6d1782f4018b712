//! SMTP (RFC 5321): one connection for each mail. Every step has a limit of our own, because
//! lettre's covers only the TCP connection (lettre#1027).

use std::error::Error as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{self, AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use super::token::Tokens;
use super::{Say, Sealed, refusal};
use crate::certificate::Certificate;
use crate::core::outbox::Refusal;
use crate::outbound;
use crate::wire::policy_file::{MailFile, Tls};

/// Limit of the TCP connection, and of the look-up of the server's name.
const CONNECT: Duration = Duration::from_secs(10);
/// Limit of one command, and of the greeting.
const COMMAND: Duration = Duration::from_secs(30);
/// Limit of the answer to the mail itself, and for each megabyte in addition.
const CONTENT: Duration = Duration::from_secs(60);
/// After the mail is accepted, the rest is manners.
const FAREWELL: Duration = Duration::from_secs(2);

/// The status of a refused sign-in (RFC 4954, section 6).
const UNAUTHORISED: u16 = 535;
/// Too large, by RFC 1870.
const TOO_LARGE: u16 = 552;

pub struct Smtp {
    server: String,
    port: u16,
    tls: Tls,
    ca_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    tokens: Option<Tokens>,
}

/// Why an attempt failed, and whether the server refused the token.
struct Failed {
    refusal: Refusal,
    unauthorised: bool,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, unauthorised: false }
    }
}

impl Smtp {
    pub fn new(server: &str, file: &MailFile, tokens: Option<Tokens>) -> Self {
        Self {
            server: server.to_owned(),
            port: file.port(),
            tls: file.tls,
            ca_file: file.ca_file.clone(),
            username: file.username.clone(),
            password_file: file.password_file.clone(),
            tokens,
        }
    }

    /// Returns the recipients that the server refused, each with its words, when it has accepted
    /// the mail for at least one.
    pub async fn deliver(&self, mail: &Sealed, say: Say<'_>) -> Result<Vec<String>, Refusal> {
        match self.attempt(mail, say).await {
            Err(Failed { unauthorised: true, .. }) if self.tokens.is_some() => {
                // A token may have been withdrawn before its time.
                say("asking for a new token, once");
                self.tokens.as_ref().map(Tokens::forget);
                self.attempt(mail, say).await
            }
            outcome => outcome,
        }
        .map_err(|failed| failed.refusal)
    }

    async fn attempt(&self, mail: &Sealed, say: Say<'_>) -> Result<Vec<String>, Failed> {
        let mut connection = self.connect(say).await?;
        self.sign_in(&mut connection, say).await?;
        let wide = mail.has_wide_addresses() && connection.server_info().supports_feature(Extension::SmtpUtfEight);
        let parameters = if wide { vec![MailParameter::SmtpUtfEight] } else { vec![] };
        let from = Mail::new(Some(mail.from.clone()), parameters);
        step("MAIL FROM", COMMAND, connection.command(from)).await?;
        let refused = recipients(&mut connection, &mail.to, say).await?;
        step("DATA", COMMAND, connection.command(Data)).await?;
        let megabytes = u32::try_from(mail.mime.len() / 1_000_000).unwrap_or(u32::MAX);
        let limit = CONTENT + COMMAND.saturating_mul(megabytes);
        let taken = step("the mail itself", limit, connection.message(&mail.mime)).await;
        let answer = taken.map_err(of_content)?;
        say(&format!("accepted: {}", answer.message().collect::<Vec<_>>().join(" ")));
        // The mail is accepted, whatever the server says to our farewell.
        let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
        Ok(refused)
    }

    async fn connect(&self, say: Say<'_>) -> Result<AsyncSmtpConnection, Refusal> {
        let (server, port) = (self.server.as_str(), self.port);
        let found = limited(&format!("looking up {server}"), CONNECT, tokio::net::lookup_host((server, port))).await?;
        let addresses: Vec<SocketAddr> = found
            .map_err(|error| {
                let text = error.to_string();
                refusal(!text.contains("Temporary"), format!("looking up {server}: {text}"))
            })?
            .collect();
        say(&format!("{server} is {}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
        let hello = ClientId::default();
        let implicit = if self.tls == Tls::Implicit { Some(self.tls_parameters()?) } else { None };
        let opening = AsyncSmtpConnection::connect_tokio1(&addresses[..], Some(CONNECT), &hello, implicit, None);
        let what = format!("connecting to {server}:{port}");
        let opened = limited(&what, CONNECT + COMMAND, opening).await.map_err(|mut silent| {
            if self.tls != Tls::Implicit {
                silent.words.push_str("; a server that waits for TLS at once needs tls: implicit");
            }
            silent
        })?;
        let mut connection = opened.map_err(|error| said(&what, &error))?;
        say(&format!("connected, and greeted with {}", hello));
        if self.tls == Tls::StartTls {
            if !connection.can_starttls() {
                let text = format!(
                    "{server}:{port} does not offer STARTTLS; tls: implicit is for servers that encrypt at once"
                );
                return Err(refusal(true, text));
            }
            step("STARTTLS", COMMAND, connection.starttls(self.tls_parameters()?, &hello)).await?;
        }
        if connection.is_encrypted() {
            let shown = connection.peer_certificate().ok().and_then(|der| Certificate::of_der(&der));
            let shown = shown.map_or_else(String::new, |certificate| format!(": {certificate}"));
            say(&format!("encrypted, and the certificate is the server's{shown}"));
        }
        Ok(connection)
    }

    async fn sign_in(&self, connection: &mut AsyncSmtpConnection, say: Say<'_>) -> Result<(), Failed> {
        let Some(username) = &self.username else { return Ok(()) };
        let what = format!("signing in as {username}");
        let answered = match (&self.tokens, &self.password_file) {
            (Some(tokens), _) => {
                let token = tokens.token(say).await?;
                limited(&what, COMMAND, with_token(connection, username, &token)).await?
            }
            (None, Some(file)) => {
                let password = outbound::secret("passwordFile", file);
                let password = password.map_err(|error| refusal(true, format!("{error:#}")))?;
                let credentials = Credentials::new(username.clone(), password);
                let mechanisms = [Mechanism::Plain, Mechanism::Login];
                limited(&what, COMMAND, connection.auth(&mechanisms, &credentials)).await?.map(drop)
            }
            (None, None) => return Ok(()),
        };
        if let Err(error) = answered {
            let unauthorised = error.status().is_some_and(|code| u16::from(code) == UNAUTHORISED);
            return Err(Failed { refusal: said(&what, &error), unauthorised });
        }
        say(&format!("signed in as {username}"));
        Ok(())
    }

    fn tls_parameters(&self) -> Result<TlsParameters, Refusal> {
        let wrong = |error: String| refusal(true, error);
        let mut parameters = TlsParameters::builder(self.server.clone());
        if let Some(file) = &self.ca_file {
            let pem =
                std::fs::read(file).map_err(|error| wrong(format!("reading caFile {}: {error}", file.display())))?;
            let certificate = client::Certificate::from_pem(&pem)
                .map_err(|error| wrong(format!("caFile {} is not a PEM file: {error}", file.display())))?;
            parameters = parameters.add_root_certificate(certificate);
        }
        parameters.build().map_err(|error| wrong(format!("setting up TLS: {error}")))
    }
}

/// Signs in by XOAUTH2. A server that refuses the token may say why in a challenge, and waits for
/// an empty answer before its status; lettre expects no challenge.
///
/// Source: learn.microsoft.com/exchange/client-developer/legacy-protocols, "SASL XOAUTH2".
async fn with_token(connection: &mut AsyncSmtpConnection, username: &str, token: &str) -> Result<(), Error> {
    const CHALLENGE: u16 = 334;
    let response = STANDARD.encode(format!("user={username}\u{1}auth=Bearer {token}\u{1}\u{1}"));
    let answer = connection.command(format!("AUTH XOAUTH2 {response}\r\n")).await?;
    if u16::from(answer.code()) == CHALLENGE {
        connection.command("\r\n").await?;
    }
    Ok(())
}

/// Names each recipient by itself: one that the server refuses does not take the mail from the
/// others. Returns the refused, unless it refused all.
async fn recipients(
    connection: &mut AsyncSmtpConnection,
    to: &[Address],
    say: Say<'_>,
) -> Result<Vec<String>, Refusal> {
    let (mut refused, mut last) = (Vec::new(), None);
    for address in to {
        let narrow = AsRef::<str>::as_ref(address).is_ascii();
        let named = if narrow || connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            step("RCPT TO", COMMAND, connection.command(Rcpt::new(address.clone(), vec![]))).await
        } else {
            Err(refusal(true, "RCPT TO: the server takes no address with letters beyond ASCII (SMTPUTF8)".to_owned()))
        };
        let Err(refusal) = named else {
            say(&format!("recipient {address}: accepted"));
            continue;
        };
        if connection.has_broken() || refusal.words.contains(SILENT) {
            return Err(refusal);
        }
        say(&format!("recipient {address}: {}", refusal.words));
        refused.push(format!("{address} ({})", refusal.words.trim_start_matches("RCPT TO: ")));
        last = last.filter(|known: &Refusal| !known.permanent).or(Some(refusal));
    }
    match last {
        Some(refusal) if refused.len() == to.len() => {
            let words = format!("no recipient was accepted: {}", refused.join(", "));
            Err(Refusal { words, ..refusal })
        }
        _ => Ok(refused),
    }
}

/// In the words of a step that a server left unanswered.
const SILENT: &str = "no answer within";

/// Runs one step; a server that stays silent for longer than the limit has refused it.
async fn limited<T>(what: &str, limit: Duration, step: impl Future<Output = T>) -> Result<T, Refusal> {
    let done = tokio::time::timeout(limit, step).await;
    done.map_err(|_| refusal(false, format!("{what}: {SILENT} {} s", limit.as_secs())))
}

async fn step<T>(what: &str, limit: Duration, step: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
    limited(what, limit, step).await?.map_err(|error| said(what, &error))
}

/// Returns a refusal in the server's words. A status of 5yz, a certificate and what the client
/// itself finds wrong are not mended by waiting.
fn said(what: &str, error: &Error) -> Refusal {
    let mut words = format!("{what}: {error}");
    let mut source = error.source();
    let mut certificate = false;
    while let Some(inner) = source {
        let text = inner.to_string();
        certificate |= text.contains("certificate");
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = inner.source();
    }
    if words.contains("InvalidContentType") {
        words.push_str("; the server does not speak TLS at once: tls: starttls");
    }
    refusal(error.is_permanent() || error.is_client() || error.is_tls() || certificate, words)
}

/// A mail that the server refuses after it has read it is refused for itself, others may pass: it
/// is too large, or looks like spam. A full mailbox (5.2.2) takes none.
fn of_content(refusal: Refusal) -> Refusal {
    let of_mail = refusal.permanent && !refusal.words.contains("5.2.2");
    Refusal { of_mail, ..refusal }
}

/// Whether a smaller mail may pass.
pub fn is_too_large(refusal: &Refusal) -> bool {
    refusal.words.contains(&format!("({TOO_LARGE})"))
}
