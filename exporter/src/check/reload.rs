//! Reading the configuration again while it is in force: on SIGHUP all of it, each minute what the web configuration names, since
//! certificates are renewed by programs that send no signal. Whatever is wrong is said, shown in a metric, and changes nothing.

use crate::config::Config;
use crate::door::Door;
use crate::state::errand::Errand;
use crate::state::ledger::Ledger;
use ossci_base::clock;
use std::sync::Arc;
use tracing::error;

/// Reads the configuration again: flags, environment and file.
pub type Reread = fn() -> Result<Config, String>;

/// What came of the attempts so far.
#[derive(Debug, Default)]
pub struct Reading {
    errand: Errand<Result<Option<Config>, String>>,
    /// What the latest SIGHUP asked for was not right: only another one can be.
    refused: bool,
    /// What was wrong with the web configuration the last time, so that it is not said each minute.
    wrong: Option<String>,
}

impl Reading {
    /// All of it. `None`: the old configuration stays in force. The caller says when the new one is.
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
            error!(error, "the old configuration stays in force");
            ledger.set_reload(false, clock::now());
        }
        read.ok().flatten()
    }

    /// The web configuration alone.
    pub async fn door(&mut self, door: &Arc<Door>, ledger: &Ledger) {
        let theirs = Arc::clone(door);
        let read = self.ask(move || theirs.reload().map(|()| None).map_err(|error| error.to_string())).await;
        let wrong = read.err();
        if self.wrong == wrong {
            return;
        }
        if let Some(error) = &wrong {
            error!(error, "the old web configuration stays in force");
        }
        ledger.set_reload(wrong.is_none() && !self.refused, clock::now());
        self.wrong = wrong;
    }

    async fn ask(
        &self,
        question: impl FnOnce() -> Result<Option<Config>, String> + Send + 'static,
    ) -> Result<Option<Config>, String> {
        self.errand.ask(question).await.unwrap_or_else(|| Err("the disk does not answer".to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::web_config;
    use crate::scratch::scratch;

    #[tokio::test]
    async fn a_renewed_file_is_taken_without_a_signal_and_a_broken_one_is_not() {
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
        assert!(Arc::ptr_eq(&before, &door.guard()), "nothing new was in it");
        std::fs::write(&path, "basic_auth_users: [").unwrap();
        reading.door(&door, &ledger).await;
        assert!(!successful() && Arc::ptr_eq(&before, &door.guard()));
        users(&["one", "two"]);
        reading.door(&door, &ledger).await;
        assert!(successful() && !Arc::ptr_eq(&before, &door.guard()));
        // What a signal asked for stays refused until another signal.
        assert!(reading.all(|| Err("wrong".to_string()), &door, &ledger).await.is_none());
        users(&["three"]);
        reading.door(&door, &ledger).await;
        assert!(!successful());
    }
}
