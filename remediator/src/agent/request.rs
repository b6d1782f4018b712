//! The errors of the agent's work: a request to the API server, or the host.

use super::process::HostError;

/// Why the work on an order stopped; it is retried.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("{what}")]
    Api { what: &'static str, source: kube::Error },
    #[error(transparent)]
    Host(#[from] HostError),
}

pub fn api(what: &'static str) -> impl FnOnce(kube::Error) -> WorkError {
    move |source| WorkError::Api { what, source }
}
