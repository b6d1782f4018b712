//! The mail as it leaves: headers and parts, RFC 5322 and MIME.

use anyhow::Context as _;
use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use sha2::{Digest as _, Sha256};

use super::compose::Letter;
use super::transport::Sealed;

/// Who writes to whom.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
}

/// The place of a mail among the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thread {
    /// Chosen by us, so that a mail that is sent twice is one mail for the reader.
    pub message_id: String,
    /// The mails that it answers, oldest first.
    pub references: Vec<String>,
    /// No person has to act on it.
    pub calm: bool,
}

macro_rules! headers {
    ($($name:ident = $header:literal),+ $(,)?) => {$(
        #[derive(Clone)]
        struct $name(String);

        impl Header for $name {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($header)
            }
            fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self(text.to_owned()))
            }
            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), self.0.clone())
            }
        }
    )+};
}

headers! {
    AutoSubmitted = "Auto-Submitted",
    AutoResponseSuppress = "X-Auto-Response-Suppress",
    Importance = "Importance",
}

/// Returns the mail as bytes. The same letter, thread and time give the same bytes.
///
/// # Errors
/// An address or a header cannot be written.
pub fn seal(envelope: &Envelope, thread: &Thread, letter: &Letter, now: Timestamp) -> anyhow::Result<Sealed> {
    let mut message = Message::builder()
        .from(envelope.from.clone())
        .subject(one_line(&letter.subject))
        .date(now.into())
        .message_id(Some(thread.message_id.clone()))
        // No program answers it: RFC 3834, and Exchange's own header (MS-OXCMAIL).
        .header(AutoSubmitted("auto-generated".to_owned()))
        .header(AutoResponseSuppress("All".to_owned()));
    if !thread.calm {
        message = message.header(Importance("high".to_owned()));
    }
    for reader in &envelope.to {
        message = message.to(reader.clone());
    }
    if let Some(last) = thread.references.last() {
        message = message.in_reply_to(last.clone()).references(thread.references.join(" "));
    }
    let digest = format!("{:x}", Sha256::digest(&thread.message_id));
    let boundary = |part: &str| format!("ossci-{part}-{}", &digest[..24]);
    let body = MultiPart::alternative()
        .boundary(boundary("body"))
        .singlepart(SinglePart::plain(letter.text.clone()))
        .singlepart(SinglePart::html(letter.html.clone()));
    let mut parts = MultiPart::mixed().boundary(boundary("mail")).multipart(body);
    for file in &letter.attached {
        let kind = if file.packed { "application/gzip" } else { "text/plain; charset=utf-8" };
        let kind = ContentType::parse(kind).context("the media type of an attachment")?;
        parts = parts.singlepart(Attachment::new(file.name.clone()).body(file.content.clone(), kind));
    }
    let message = message.multipart(parts).context("building the mail")?;
    let addresses = envelope.to.iter().map(|reader| reader.email.clone()).collect();
    Ok(Sealed {
        message_id: thread.message_id.clone(),
        from: envelope.from.email.clone(),
        to: addresses,
        mime: message.formatted(),
    })
}

/// Returns a header's text: what came from a label or a tool breaks no line.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
