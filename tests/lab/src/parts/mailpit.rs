//! mailpit: the mail server of the lab. STARTTLS with a certificate of the lab's CA, no password.

use anyhow::Result;

use super::{START, Site, flag, http, page};
use crate::pki::Pki;
use crate::ports;
use crate::process::{Process, Program};

/// A running mail server.
pub struct Mailpit {
    pub process: Process,
    /// host:port of SMTP.
    pub smtp: String,
    pub url: String,
}

pub async fn start(site: &Site, pki: &Pki) -> Result<Mailpit> {
    let folder = site.folder("mailpit")?;
    let pair = pki.server("mail")?;
    let smtp = format!("127.0.0.1:{}", ports::free()?);
    let web = format!("127.0.0.1:{}", ports::free()?);
    let mut process = Program::new("mailpit", site.tools.get("mailpit")?)
        .args([flag("database", &folder.join("mail.db")), format!("--listen={web}"), format!("--smtp={smtp}")])
        .args([flag("smtp-tls-cert", &pair.cert), flag("smtp-tls-key", &pair.key)])
        .args([
            "--smtp-require-starttls",
            "--smtp-disable-rdns",
            "--disable-version-check",
            "--max=0",
            "--enable-chaos",
        ])
        .start(&site.log("mailpit"))?;
    let url = format!("http://{web}");
    let client = http()?;
    process.ready(START, || async { page(&client, &format!("{url}/readyz")).await.map(drop) }).await?;
    Ok(Mailpit { process, smtp, url })
}
