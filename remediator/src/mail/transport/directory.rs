//! A directory: each mail is a file, for a site whose mails another program fetches.

use std::path::Path;

use super::{Say, Sealed, refusal};
use crate::core::outbox::Refusal;

/// Writes the mail as `ID.eml`. The same mail is the same file.
pub async fn deliver(directory: &Path, mail: &Sealed, say: Say<'_>) -> Result<Vec<String>, Refusal> {
    let name: String = mail.message_id.chars().filter(|c| c.is_ascii_alphanumeric() || ".-@_".contains(*c)).collect();
    let (file, begun) = (directory.join(format!("{name}.eml")), directory.join(format!(".{name}.part")));
    let wrong = |error: std::io::Error| refusal(true, format!("writing {}: {error}", file.display()));
    tokio::fs::create_dir_all(directory).await.map_err(wrong)?;
    // A reader sees whole files only.
    tokio::fs::write(&begun, &mail.mime).await.map_err(wrong)?;
    tokio::fs::rename(&begun, &file).await.map_err(wrong)?;
    say(&format!("written: {}", file.display()));
    Ok(Vec::new())
}
