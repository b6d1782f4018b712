//! The errors of the agent's work: a request to the API server that failed, or the host.

use super::process::HostError;

/// Why an order was not carried on with just now; it is looked at again.
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
