//! The mails: composed from the records, sealed as MIME, sent by one of three ways.

pub mod compose;
pub mod examples;
mod mime;
mod templates;
mod transport;

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use lettre::message::Mailbox;

pub use self::mime::Thread;
pub use self::transport::Say;

use self::compose::{Case, Letter, Line, Machine, Many};
use self::mime::Envelope;
use self::templates::Templates;
use self::transport::{Transport, is_too_large};
use crate::core::notices::Notice;
use crate::core::outbox::{Accepted, Refusal};
use crate::core::policy::Mode;
use crate::core::taint::TaintKey;
use crate::wire::policy_file::{MailFile, PolicyFile};
use crate::wire::slim_node::TaintNames;

/// Composes and sends the mails of one site.
pub struct Mailer {
    settings: MailFile,
    envelope: Envelope,
    transport: Transport,
    cluster: Option<String>,
    names: TaintNames,
    modes: BTreeMap<String, Mode>,
    bmc: Option<String>,
    templates: Option<Templates>,
}

impl Mailer {
    /// Returns the mailer of a policy; `None` if it names no mail.
    ///
    /// # Errors
    /// An address cannot be read, or a CA file.
    pub fn of(file: &PolicyFile) -> anyhow::Result<Option<Self>> {
        let Some(settings) = file.mail.clone() else { return Ok(None) };
        let mailbox = |address: &String| -> anyhow::Result<Mailbox> {
            address.parse().with_context(|| format!("mail: {address:?} is not an address like \"Name <user@host>\""))
        };
        let envelope =
            Envelope { from: mailbox(&settings.from)?, to: settings.to.iter().map(mailbox).collect::<Result<_, _>>()? };
        Self {
            transport: Transport::new(&settings)?,
            envelope,
            settings,
            cluster: file.cluster.clone(),
            names: file.taint_names(),
            modes: file.policy().pools.into_iter().map(|pool| (pool.name, pool.mode)).collect(),
            bmc: file.bmc.as_ref().map(|bmc| bmc.url.clone()),
            templates: None,
        }
        .with_templates()
        .map(Some)
    }

    /// Reads the site's templates, if the policy names some.
    fn with_templates(mut self) -> anyhow::Result<Self> {
        let Some(folder) = &self.settings.templates else { return Ok(self) };
        let record = examples::missing();
        let case = Case { node: "gpu-0417", machine: None, record: &record, pods: &[], evidence: &[] };
        let example = self.about_node(&case).and_then(|letter| self.values(&case, &letter));
        let example = example.context("composing the example for the templates")?;
        self.templates = Some(Templates::read(folder, &example)?);
        Ok(self)
    }

    /// Returns what a template may name.
    fn values(&self, case: &Case<'_>, letter: &Letter) -> Option<serde_json::Value> {
        let fact = compose::fact(case.record)?;
        Some(templates::values(case, &fact, letter, self.cluster.as_deref()))
    }

    /// Calls `compose` with what mails say about the site.
    fn with_site<T>(&self, compose: impl FnOnce(&compose::Site<'_>) -> T) -> T {
        let spell = |key: TaintKey| self.names.spell(key);
        compose(&compose::Site {
            cluster: self.cluster.as_deref(),
            spell: &spell,
            modes: self.modes.iter().map(|(pool, mode)| (pool.as_str(), *mode)).collect(),
            bmc: self.bmc.as_deref(),
            links: &self.settings.links,
            labels: &self.settings.labels,
        })
    }

    /// Returns the mail about one node; `None` when its record has no episode.
    pub fn about_node(&self, case: &Case<'_>) -> Option<Letter> {
        let letter = self.with_site(|site| compose::about_node(case, site, compose::MOST))?;
        Some(match (&self.templates, self.values(case, &letter)) {
            (Some(templates), Some(values)) => templates.apply(letter, &values),
            _ => letter,
        })
    }

    /// Returns the answer in the thread of a mail about a node; `None` while its episode is open.
    pub fn ended(&self, case: &Case<'_>, about: Option<&str>) -> Option<Letter> {
        self.with_site(|site| compose::ended(case, site, about))
    }

    /// Returns the mail about many nodes.
    pub fn many(&self, what: Many, pool: Option<&str>, lines: &[Line], now: Timestamp) -> Letter {
        self.with_site(|site| compose::many(what, pool, lines, site, now))
    }

    /// Returns the mail of a notice about a pool.
    pub fn notice(&self, notice: &Notice) -> Letter {
        self.with_site(|site| compose::notice(notice, site))
    }

    /// Returns a mail that only shows that mails arrive.
    pub fn test(&self) -> Letter {
        self.with_site(compose::test)
    }

    /// Returns the mail as bytes.
    ///
    /// # Errors
    /// A header cannot be written.
    pub fn eml(&self, thread: &Thread, letter: &Letter, now: Timestamp) -> anyhow::Result<Vec<u8>> {
        Ok(mime::seal(&self.envelope, thread, letter, now)?.mime)
    }

    /// Sends a mail; a server that finds it too large gets it once more with less attached.
    ///
    /// # Errors
    /// No recipient was accepted, or no answer came in time.
    pub async fn send(
        &self,
        thread: &Thread,
        letter: &Letter,
        now: Timestamp,
        say: Say<'_>,
    ) -> Result<Accepted, Refusal> {
        let sealed = |letter: &Letter| {
            mime::seal(&self.envelope, thread, letter, now).map_err(|error| Refusal {
                words: format!("{error:#}"),
                permanent: true,
                of_mail: true,
                retry_after: None,
            })
        };
        let refused = match self.transport.deliver(&sealed(letter)?, say).await {
            Err(refusal) if is_too_large(&refusal) && !letter.attached.is_empty() => {
                say("too large: once more with less attached");
                self.transport.deliver(&sealed(&lighter(letter))?, say).await?
            }
            outcome => outcome?,
        };
        Ok(Accepted { subject: letter.subject.clone(), sent_as: None, refused })
    }
}

/// Returns the letter with less attached, which its text says.
fn lighter(letter: &Letter) -> Letter {
    let files = compose::Files { attached: letter.attached.clone(), notes: Vec::new() }.within(compose::FEW);
    let note = "The mail server refused a larger mail: of the files that are named above, some are cut or left out.\n";
    Letter { text: format!("{}\n{note}", letter.text), attached: files.attached, ..letter.clone() }
}

/// Returns what mails say of a machine, from its Node object.
pub fn machine(node: &Node) -> Machine {
    let status = node.status.as_ref();
    let info = status.and_then(|status| status.node_info.as_ref());
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let system = info.map(|info| {
        [
            ("kernel", &info.kernel_version),
            ("system", &info.os_image),
            ("kubelet", &info.kubelet_version),
            ("runtime", &info.container_runtime_version),
            ("system UUID", &info.system_uuid),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
    });
    Machine {
        addresses: addresses.map(|address| (address.type_.clone(), address.address.clone())).collect(),
        labels: node.metadata.labels.clone().unwrap_or_default(),
        boot_id: info.map(|info| info.boot_id.clone()).unwrap_or_default(),
        system: system.into_iter().flatten().filter(|(_, value)| !value.is_empty()).collect(),
    }
}
