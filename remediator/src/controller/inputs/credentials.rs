//! The webhook's own certificate and token: kept in two Secrets that both replicas share and
//! Alertmanager reads, written to the files that the webhook serves from, and renewed in time.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::webhook::DoorFiles;
use crate::api::request;
use crate::certificate::webhook::{Pair, token};
use ossci_base::clock;

/// The Secret with ca.crt, ca.key, tls.crt and tls.key.
const TLS: &str = "ossci-webhook-tls";
/// The Secret with the token, in the key `token`.
const TOKEN: &str = "ossci-webhook-token";
/// How often the Secrets are read: another replica renews them, or a person rotates the token.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Wait after an error at the start.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Another replica may make them at the same moment.
const TRIES: u32 = 5;

/// Keeps both Secrets.
#[derive(Debug, Clone)]
pub struct Keeper {
    secrets: Api<Secret>,
    names: Vec<String>,
    files: DoorFiles,
}

impl Keeper {
    pub fn new(client: Client, namespace: &str, files: DoorFiles) -> Self {
        let service = format!("ossci-remediator.{namespace}.svc");
        let names = vec![service.clone(), format!("{service}.cluster.local"), format!("ossci-remediator.{namespace}")];
        Self { secrets: Api::namespaced(client, namespace), names, files }
    }

    /// Returns when the files are there: no webhook without them.
    pub async fn begin(&self) {
        while let Err(error) = self.look().await {
            tracing::error!(error = format!("{error:#}"), "no certificate and token for the webhook, retrying");
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }

    /// Renews for as long as the process runs.
    pub async fn follow(self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.look().await {
                tracing::warn!(error = format!("{error:#}"), "cannot look at the webhook's Secrets");
            }
        }
    }

    async fn look(&self) -> anyhow::Result<()> {
        let pair = self.pair().await.with_context(|| format!("Secret {TLS}"))?;
        let token = self.token().await.with_context(|| format!("Secret {TOKEN}"))?;
        let files = self.files.clone();
        let write = move || {
            write(&files.key, pair.key.as_bytes())?;
            write(&files.cert, pair.certificate.as_bytes())?;
            write(&files.token, token.as_bytes())
        };
        tokio::task::spawn_blocking(write).await?
    }

    /// Returns the certificate of the Secret, made or renewed if need be.
    async fn pair(&self) -> anyhow::Result<Pair> {
        for _ in 0..TRIES {
            let known = request::found(self.secrets.get(TLS).await)?;
            let now = clock::now();
            let next = match &known {
                None => Pair::new(&self.names, now)?,
                Some(secret) => {
                    let pair = read(secret);
                    match pair.next(&self.names, now)? {
                        None => return Ok(pair),
                        Some(next) => next,
                    }
                }
            };
            let fields = [
                ("ca.crt", &next.ca),
                ("ca.key", &next.ca_key),
                ("tls.crt", &next.certificate),
                ("tls.key", &next.key),
            ];
            if self.put(TLS, "kubernetes.io/tls", known.as_ref(), &fields).await? {
                tracing::info!(secret = TLS, names = self.names.join(","), "made a certificate for the webhook");
                return Ok(next);
            }
        }
        anyhow::bail!("it changed each time it was written")
    }

    /// Returns the tokens of the Secret, one per line; makes one if there is none.
    async fn token(&self) -> anyhow::Result<String> {
        for _ in 0..TRIES {
            let known = request::found(self.secrets.get(TOKEN).await)?;
            let text = known.as_ref().map(|secret| field(secret, "token")).unwrap_or_default();
            if !text.trim().is_empty() {
                return Ok(text);
            }
            let new = token();
            if self.put(TOKEN, "Opaque", known.as_ref(), &[("token", &new)]).await? {
                tracing::info!(secret = TOKEN, "made a token for the webhook");
                return Ok(new);
            }
        }
        anyhow::bail!("it changed each time it was written")
    }

    /// Creates the Secret, or changes it if it is still the known one. Returns false if another
    /// replica was faster.
    async fn put(
        &self,
        name: &str,
        kind: &str,
        known: Option<&Secret>,
        fields: &[(&str, &String)],
    ) -> kube::Result<bool> {
        let data: BTreeMap<String, ByteString> =
            fields.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
        let written = match known {
            None => {
                let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "ossci-ops".to_owned())]);
                let metadata =
                    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
                let secret = Secret { metadata, type_: Some(kind.to_owned()), data: Some(data), ..Secret::default() };
                self.secrets.create(&PostParams::default(), &secret).await
            }
            Some(known) => {
                let version = &known.metadata.resource_version;
                let change = json!({ "metadata": { "resourceVersion": version }, "data": data });
                self.secrets.patch(name, &PatchParams::default(), &Patch::Merge(change)).await
            }
        };
        match written {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            other => other.map(|_| true),
        }
    }
}

fn read(secret: &Secret) -> Pair {
    let field = |key| field(secret, key);
    Pair { ca: field("ca.crt"), ca_key: field("ca.key"), certificate: field("tls.crt"), key: field("tls.key") }
}

/// Returns a key of a Secret as text; a missing one is empty.
fn field(secret: &Secret, key: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Writes a file that only we can read, if it differs. It is renamed into place.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    if std::fs::read(path).is_ok_and(|known| known == content) {
        return Ok(());
    }
    let context = || format!("writing {}", path.display());
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new).and_then(|mut file| file.write_all(content)).with_context(context)?;
    std::fs::rename(&new, path).with_context(context)
}
