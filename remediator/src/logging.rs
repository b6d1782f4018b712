//! How the programs log: lines that read alone, as text or JSON, to standard error.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Logging {
    /// What is logged: a level, or a filter like `info,kube=debug`.
    #[arg(long = "log.level", env = "OSSCI_LOG_LEVEL", default_value = "info", global = true)]
    pub level: String,
    #[arg(long = "log.format", env = "OSSCI_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub format: Format,
}

impl Logging {
    /// Starts logging for the whole process.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.level)
            .map_err(|error| anyhow::anyhow!("--log.level {:?} is not a level or filter: {error}", self.level))?;
        let start = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.format {
            Format::Text => start.with_ansi(false).init(),
            Format::Json => start.json().flatten_event(true).init(),
        }
        Ok(())
    }
}
