//! One post and what its answer means.
//!
//! Never repeats a post and never follows a redirect; when to try again is the dispatcher's.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use reqwest::{Url, header};

use super::settings::{NAME, WebhooksSettings, check};
use crate::{
    sms::{SettingError, outbound::Outbound},
    standard_webhooks::{self, SigningKey},
};

/// A post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The event's id, the same in every try.
    pub id: String,
    /// Time of this try, in seconds since 1970.
    pub timestamp_s: u64,
    /// JSON.
    pub body: Vec<u8>,
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// Taken (2xx).
    Taken,
    /// The receiver wants no more posts (410).
    Gone,
    /// Anything else, no answer included.
    Failed {
        /// The wait that the receiver asked for.
        retry_after: Option<Duration>,
    },
}

/// Who carries posts to the receiver.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// Posts once, within a bounded time.
    async fn post(&self, letter: Letter) -> Posted;
}

/// Over HTTP, signed.
pub struct HttpCourier {
    outbound: Outbound,
    url: Url,
    /// Newest first; the receiver takes any.
    keys: Vec<SigningKey>,
}

impl HttpCourier {
    /// Checks the settings and builds the client. Does not connect.
    ///
    /// # Errors
    /// A setting is of no use; its name begins with `webhooks.`.
    pub fn new(settings: &WebhooksSettings) -> Result<Self, SettingError> {
        let (url, keys) = check(settings)?;
        let outbound = Outbound::new(NAME, &url, &settings.limits)?;
        Ok(Self { outbound, url, keys })
    }
}

impl fmt::Debug for HttpCourier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCourier").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn post(&self, letter: Letter) -> Posted {
        let Letter { id, timestamp_s, body } = letter;
        let signatures: Vec<String> = self.keys.iter().map(|key| key.sign(&id, timestamp_s, &body)).collect();
        let request = self
            .outbound
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(standard_webhooks::ID, &id)
            .header(standard_webhooks::TIMESTAMP, timestamp_s)
            .header(standard_webhooks::SIGNATURE, signatures.join(" "))
            .body(body);
        match self.outbound.exchange(request).await {
            Ok(answer) if answer.status.is_success() => Posted::Taken,
            Ok(answer) if answer.status == reqwest::StatusCode::GONE => Posted::Gone,
            Ok(answer) => {
                tracing::debug!(id, status = answer.status.as_u16(), "event not taken");
                Posted::Failed { retry_after: answer.retry_after }
            }
            Err(error) => {
                tracing::debug!(id, reason = %error.detail, "event not delivered");
                Posted::Failed { retry_after: None }
            }
        }
    }
}
