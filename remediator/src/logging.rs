//! The log output of both programs: self-contained lines, as text or JSON, on standard error.

use clap::ValueEnum;
use ossci_base::log;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Logging {
    /// The log level, or a filter like `info,kube=debug`.
    #[arg(long = "log.level", env = "OSSCI_LOG_LEVEL", default_value = "info", global = true)]
    pub level: String,
    #[arg(long = "log.format", env = "OSSCI_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub format: Format,
}

impl Logging {
    /// Starts logging for the whole process.
    pub fn start(&self) -> anyhow::Result<()> {
        let form = match self.format {
            Format::Text => log::Form::Text,
            Format::Json => log::Form::Json,
        };
        log::start(&self.level, form).map_err(|error| anyhow::anyhow!("--log.level: {error}"))
    }
}
