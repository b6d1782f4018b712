//! Logging of both programs: one line per event, as text or JSON, to standard error.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `time level fields`, for people and logfmt parsers.
    Text,
    /// One JSON object per line.
    Json,
}

/// The filter is neither a level nor a list such as `info,kube=debug`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a log level or filter: write a level such as info, or a list such as info,kube=debug")]
pub struct FilterError(String);

/// Initialises logging for the whole process. `filter` is a level, or a list of levels per target.
///
/// # Errors
/// `filter` cannot be parsed.
pub fn start(filter: &str, form: Form) -> Result<(), FilterError> {
    let targets: Targets = filter.parse().map_err(|_| FilterError(filter.to_owned()))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(targets);
    match form {
        Form::Text => registry.with(lines.with_ansi(false)).init(),
        Form::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    Ok(())
}
