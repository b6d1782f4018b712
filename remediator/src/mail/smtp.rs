//! The SMTP client: STARTTLS or no encryption, with or without a password.

use std::time::Duration;

use anyhow::Context as _;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as LettreTls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::compose::Letter;
use crate::wire::policy_file::{MailFile, Tls};

/// Limit of the connection, and of each wait for the server.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Limit of a whole delivery: a server may answer each command just in time.
const DELIVERY: Duration = Duration::from_secs(60);

pub struct Smtp {
    from: Mailbox,
    to: Vec<Mailbox>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    pub fn new(settings: &MailFile) -> anyhow::Result<Self> {
        let mailbox = |address: &String| -> anyhow::Result<Mailbox> {
            address.parse().with_context(|| format!("mail: {address:?} is not an address like \"Name <user@host>\""))
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.server)
            .port(settings.port)
            .timeout(Some(TIMEOUT));
        if settings.tls == Tls::StartTls {
            builder = builder.tls(LettreTls::Required(tls(settings)?));
        }
        if let Some(username) = &settings.username {
            let file = settings.password_file.as_ref().context("mail.username needs mail.passwordFile")?;
            let password = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            builder = builder.credentials(Credentials::new(username.clone(), password.trim().to_owned()));
        }
        Ok(Self {
            from: mailbox(&settings.from)?,
            to: settings.to.iter().map(mailbox).collect::<Result<_, _>>()?,
            transport: builder.build(),
        })
    }

    /// Returns when the server has accepted the mail for all recipients.
    pub async fn send(&self, message_id: &str, letter: &Letter) -> anyhow::Result<()> {
        let mut message =
            Message::builder().from(self.from.clone()).subject(&letter.subject).message_id(Some(message_id.to_owned()));
        for reader in &self.to {
            message = message.to(reader.clone());
        }
        let body = MultiPart::alternative()
            .singlepart(SinglePart::plain(letter.text.clone()))
            .singlepart(SinglePart::html(letter.html.clone()));
        let mut parts = MultiPart::mixed().multipart(body);
        for (name, content) in &letter.attached {
            let gzip = name.ends_with(".gz").then(|| ContentType::parse("application/gzip")).transpose();
            let kind = gzip.context("parsing the media type of an attachment")?.unwrap_or(ContentType::TEXT_PLAIN);
            parts = parts.singlepart(Attachment::new(name.clone()).body(content.clone(), kind));
        }
        let message = message.multipart(parts).context("building the mail")?;
        let sent = tokio::time::timeout(DELIVERY, self.transport.send(message)).await;
        sent.context("the SMTP server did not take the mail within 60 s")?
            .map(drop)
            .context("sending the mail to the SMTP server")
    }
}

fn tls(settings: &MailFile) -> anyhow::Result<TlsParameters> {
    let mut parameters = TlsParameters::builder(settings.server.clone());
    if let Some(file) = &settings.ca_file {
        let pem = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let certificate =
            Certificate::from_pem(&pem).with_context(|| format!("{} is not a PEM file", file.display()))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().context("setting up TLS for mail")
}
