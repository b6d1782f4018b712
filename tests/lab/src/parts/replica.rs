//! A part that a site runs twice, so that one can fail: a story kills it and starts it again.

use std::path::PathBuf;

use anyhow::Result;

use super::{START, http, page};
use crate::process::{Process, Program};

#[derive(Debug)]
pub struct Replica {
    pub name: String,
    pub url: String,
    program: Program,
    log: PathBuf,
    process: Option<Process>,
}

impl Replica {
    /// `address` (host:port) is where it listens and reports that it is ready.
    pub fn new(name: String, address: &str, program: Program, log: PathBuf) -> Self {
        Self { name, url: format!("http://{address}"), program, log, process: None }
    }

    pub fn lives(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it and waits until it is ready; does nothing if it runs.
    pub async fn start(&mut self) -> Result<()> {
        if self.lives() {
            return Ok(());
        }
        let mut process = self.program.clone().start(&self.log)?;
        let client = http()?;
        let url = format!("{}/-/ready", self.url);
        process.ready(START, || async { page(&client, &url).await.map(drop) }).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
    }
}
