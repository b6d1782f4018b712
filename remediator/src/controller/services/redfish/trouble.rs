//! The errors of one request to a BMC, each as a sentence without secrets.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::outbound::deepest;

/// Why a request failed. Completes the sentence "the BMC ..".
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nothing was sent.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing was sent: the other side is not known to be the BMC.
    #[error("could not be authenticated: {0}")]
    Stranger(String),
    /// The request was sent.
    #[error("did not answer within {0:?}")]
    Silent(Duration),
    /// The request was sent, and the connection was closed.
    #[error("closed the connection without an answer: {0}")]
    HungUp(String),
    #[error("answered {status}{}", .message.as_ref().map(|id| format!(" ({id})")).unwrap_or_default())]
    Refused {
        status: StatusCode,
        /// It asks for basic auth.
        basic: bool,
        /// The id from its message registry.
        message: Option<String>,
    },
    #[error("is busy and asks for a retry in {0:?}, which is too late")]
    Busy(Duration),
    #[error("redirects to another address; set bmc.url to the address where it answers")]
    Redirected(Option<String>),
    #[error("sent an answer that cannot be parsed: {0}")]
    NotUnderstood(&'static str),
    /// Nothing was sent.
    #[error("was not called: it is too late, or another replica leads")]
    TooLate,
}

impl Trouble {
    /// Whether the request may have been carried out despite the error.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Silent(_) | Self::HungUp(_) | Self::NotUnderstood(_) => true,
            // 501 and 503 mean that it was not carried out; another server error, or a gateway's,
            // does not tell.
            Self::Refused { status, .. } => {
                status.is_server_error()
                    && !matches!(*status, StatusCode::NOT_IMPLEMENTED | StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => false,
        }
    }

    /// Whether the BMC understood the request but refuses this form of it; another form may work.
    pub fn is_refusal(&self) -> bool {
        let statuses = [
            StatusCode::BAD_REQUEST,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::CONFLICT,
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::NOT_IMPLEMENTED,
        ];
        matches!(self, Self::Refused { status, .. } if statuses.contains(status))
    }
}

/// Returns the error of a failed transport. `limit`: how long the answer was waited for.
pub fn of_transport(error: &reqwest::Error, limit: Duration) -> Trouble {
    if let Some(error) = tls(error) {
        return Trouble::Stranger(error);
    }
    if error.is_connect() || error.is_builder() {
        Trouble::Unreachable(deepest(error))
    } else if error.is_timeout() {
        Trouble::Silent(limit)
    } else {
        Trouble::HungUp(deepest(error))
    }
}

/// Returns the TLS error, if it was one.
fn tls(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&(dyn Error + 'static)> = error.is_connect().then(|| error.source()).flatten();
    while let Some(error) = next {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::General(text)) => return Some(text.clone()),
            Some(error) => return Some(error.to_string()),
            None => {}
        }
        // An io::Error hides the error that it carries, which may be another one.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// Returns the id of the first message in a Redfish error. Its text may repeat what was sent, so it
/// is not used.
pub fn message_id(body: &Value) -> Option<String> {
    let first = &body["error"]["@Message.ExtendedInfo"][0]["MessageId"];
    let id = first.as_str().or(body["error"]["code"].as_str())?.rsplit('.').next()?;
    let is_name = !id.is_empty() && id.len() <= 60 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| id.to_owned())
}
