//! Reload of the configuration at run time: all of it on SIGHUP, and the web configuration with its
//! files every 5 s, because certificates are renewed by programs that send no signal. An error is
//! logged, shown in a metric, and changes nothing.

use crate::config::Config;
use crate::door::Door;
use crate::state::errand::Errand;
use crate::state::ledger::Ledger;
use ossci_base::clock;
use std::sync::Arc;
use tracing::error;

/// Reads the configuration again: flags, environment and file.
pub type Reread = fn() -> Result<Config, String>;

/// Results of the reloads so far.
#[derive(Debug, Default)]
pub struct Reading {
    errand: Errand<Result<Option<Config>, String>>,
    /// The latest SIGHUP failed: only another SIGHUP can clear this.
    refused: bool,
    /// The last error of the web configuration, so that it is logged once and not every 5 s.
    wrong: Option<String>,
}

impl Reading {
    /// Reloads everything. `None`: the old configuration stays active. The caller reports when the
    /// new one is active.
    pub async fn all(&mut self, reread: Reread, door: &Arc<Door>, ledger: &Ledger) -> Option<Config> {
        let theirs = Arc::clone(door);
        let read = self.ask(move || {
            let config = reread()?;
            theirs.reload().map_err(|error| error.to_string())?;
            Ok(Some(config))
        });
        let read = read.await;
        (self.refused, self.wrong) = (read.is_err(), None);
        if let Err(error) = &read {
            error!(error, "reload failed, the old configuration stays active");
            ledger.set_reload(false, clock::now());
        }
        read.ok().flatten()
    }

    /// Reloads only the web configuration.
    pub async fn door(&mut self, door: &Arc<Door>, ledger: &Ledger) {
        let theirs = Arc::clone(door);
        let read = self.ask(move || theirs.reload().map(|()| None).map_err(|error| error.to_string())).await;
        let wrong = read.err();
        if self.wrong == wrong {
            return;
        }
        if let Some(error) = &wrong {
            error!(error, "reload failed, the old web configuration stays active");
        }
        ledger.set_reload(wrong.is_none() && !self.refused, clock::now());
        self.wrong = wrong;
    }

    async fn ask(
        &self,
        question: impl FnOnce() -> Result<Option<Config>, String> + Send + 'static,
    ) -> Result<Option<Config>, String> {
        self.errand.ask(question).await.unwrap_or_else(|| Err("the disk does not respond".to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::web_config;
    use crate::scratch::scratch;

    #[tokio::test]
    async fn a_renewed_file_is_applied_without_a_signal() {
        let directory = scratch("reload");
        let path = directory.join("web.yml");
        let users = |names: &[&str]| {
            let lines: Vec<String> =
                names.iter().map(|name| format!("  {name}: {}\n", bcrypt::hash("x", 4).unwrap())).collect();
            std::fs::write(&path, format!("basic_auth_users:\n{}", lines.concat())).unwrap();
        };
        users(&["one"]);
        let door = Arc::new(Door::new(Some(path.clone()), web_config::load(&path).unwrap()));
        let (ledger, mut reading) = (Ledger::new(clock::now(), []), Reading::default());
        let successful = || ledger.snapshot(clock::now(), 0).reload.successful;
        let before = door.guard();
        reading.door(&door, &ledger).await;
        assert!(Arc::ptr_eq(&before, &door.guard()), "nothing had changed");
        std::fs::write(&path, "basic_auth_users: [").unwrap();
        reading.door(&door, &ledger).await;
        assert!(!successful() && Arc::ptr_eq(&before, &door.guard()));
        users(&["one", "two"]);
        reading.door(&door, &ledger).await;
        assert!(successful() && !Arc::ptr_eq(&before, &door.guard()));
        // A failed reload by SIGHUP stays failed until another SIGHUP.
        assert!(reading.all(|| Err("wrong".to_string()), &door, &ledger).await.is_none());
        users(&["three"]);
        reading.door(&door, &ledger).await;
        assert!(!successful());
    }
}
