//! What can go wrong with one request to a BMC, each in a sentence without a secret in it.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::controller::services::outbound::deepest;

/// What one request came to, where that was no success. Completes the sentence "the BMC ..".
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nothing was asked.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing was asked: whoever answers is not known to be the BMC.
    #[error("is not the one that the policy knows: {0}")]
    Stranger(String),
    /// It was asked.
    #[error("did not answer within {0:?}")]
    Silent(Duration),
    /// It was asked, and the connection ended.
    #[error("ended the connection without an answer: {0}")]
    HungUp(String),
    #[error("answered {status}{}", .message.as_ref().map(|id| format!(" ({id})")).unwrap_or_default())]
    Refused {
        status: StatusCode,
        /// It wants basic auth.
        basic: bool,
        /// From its registry of messages.
        message: Option<String>,
    },
    #[error("is busy and wants to be asked again in {0:?}, which is too late")]
    Busy(Duration),
    #[error("sends us to another address; bmc.url has to be the one where it answers")]
    Redirected(Option<String>),
    #[error("says something that is not understood: {0}")]
    NotUnderstood(&'static str),
    /// Nothing was asked.
    #[error("is not asked any more: it is too late, or another replica leads")]
    TooLate,
}

impl Trouble {
    /// What was asked may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Silent(_) | Self::HungUp(_) | Self::NotUnderstood(_) => true,
            // Not implemented and not now say that it was not done; a fault or a gateway's word says nothing.
            Self::Refused { status, .. } => {
                status.is_server_error()
                    && !matches!(*status, StatusCode::NOT_IMPLEMENTED | StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => false,
        }
    }

    /// It was understood and is not done this way; another may be.
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

/// `limit`: how long the answer was waited for.
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

/// What TLS says, if it is TLS that went wrong.
fn tls(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&(dyn Error + 'static)> = error.is_connect().then(|| error.source()).flatten();
    while let Some(error) = next {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::General(text)) => return Some(text.clone()),
            Some(error) => return Some(error.to_string()),
            None => {}
        }
        // An io::Error hides what it carries, which may be another one.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// The first message's name in a Redfish error: its text may repeat what was sent.
pub fn message_id(body: &Value) -> Option<String> {
    let first = &body["error"]["@Message.ExtendedInfo"][0]["MessageId"];
    let id = first.as_str().or(body["error"]["code"].as_str())?.rsplit('.').next()?;
    let is_name = !id.is_empty() && id.len() <= 60 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| id.to_owned())
}
