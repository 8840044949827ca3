//! Twilio Programmable Messaging: one form post per message (`providers.md` section 1).
//!
//! Owns the request and what a broken connection means. What an answer means is `verdict`'s, what a
//! setting may be is `settings`'s. Never repeats a request: Twilio has no key to drop duplicates by.

mod settings;
mod verdict;

use std::{error::Error, fmt, time::Duration};

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

pub use self::settings::TwilioSettings;
use self::settings::{Checked, Sender};
use super::{Accepted, Gateway, SendClass, SendError, SettingError, Sms};

/// What Twilio takes as `ValidityPeriod`, in seconds. It takes 1 and up but advises more than 5.
const VALIDITY_S: (u32, u32) = (6, 36_000);

/// How long an idle connection is kept, in seconds. Below the idle limit of common load balancers (60),
/// because a request sent into a connection that closes at that moment has an unknown outcome.
const POOL_IDLE_S: u64 = 30;

/// Sends through Twilio's Messages API.
pub struct Twilio {
    client: Client,
    messages: Url,
    user: String,
    password: SecretString,
    sender: Sender,
    response_bytes_max: usize,
}

impl Twilio {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: TwilioSettings) -> Result<Self, SettingError> {
        let checked = settings::check(settings)?;
        let client = client(&checked).map_err(|_| {
            SettingError::new("twilio", "no TLS client can be made: are the system's certificates there?")
        })?;
        let Checked { messages, user, password, sender, response_bytes_max, .. } = checked;
        Ok(Self { client, messages, user, password, sender, response_bytes_max })
    }

    async fn post(&self, sms: &Sms) -> Result<Response, SendError> {
        let (from, messaging_service_sid) = match &self.sender {
            Sender::From(from) => (Some(from.as_str()), None),
            Sender::MessagingService(sid) => (None, Some(sid.as_str())),
        };
        let form = Form {
            to: &sms.to.to_e164(),
            from,
            messaging_service_sid,
            body: &sms.text,
            validity_period: sms.valid_s.clamp(VALIDITY_S.0, VALIDITY_S.1),
        };
        self.client
            .post(self.messages.clone())
            .basic_auth(&self.user, Some(self.password.expose_secret()))
            .form(&form)
            .send()
            .await
            .map_err(|error| unanswered(&error))
    }

    /// Reads at most `response_bytes_max` bytes; `None` if there are more or the connection broke.
    async fn body(&self, mut response: Response) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if body.len() + chunk.len() > self.response_bytes_max {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body)
    }
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twilio").field("host", &self.messages.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let response = self.post(sms).await?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = self.body(response).await;
        verdict::judge(status, body.as_deref()).map_err(|error| SendError { retry_after, ..error })
    }
}

/// Parameters of a message. What is not here has a reason: `ContentRetention` and `AddressRetention`
/// are refused by accounts without the paid feature, and `SmartEncoded` may change a text.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Form<'a> {
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messaging_service_sid: Option<&'a str>,
    body: &'a str,
    validity_period: u32,
}

/// security 107: no redirects, no proxy from the environment, no repeats, TLS verified, bounded time.
fn client(checked: &Checked) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("otpd/", env!("CARGO_PKG_VERSION")))
        .https_only(checked.messages.scheme() == "https")
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(checked.connect_timeout)
        .timeout(checked.timeout)
        .pool_max_idle_per_host(checked.connections_idle_max)
        .pool_idle_timeout(Duration::from_secs(POOL_IDLE_S))
        .build()
}

/// What it means that no answer came. Only a failure to connect proves that nothing was sent.
fn unanswered(error: &reqwest::Error) -> SendError {
    if error.is_connect() {
        // Nothing of the request was written yet, so the cause cannot quote it.
        let detail = format!("twilio connect: {}", root_cause(error));
        return SendError::new(SendClass::ProviderDown, detail);
    }
    if error.is_builder() {
        return SendError::new(SendClass::BadConfig, "twilio request cannot be built");
    }
    let detail = if error.is_timeout() { "twilio timeout" } else { "twilio connection lost" };
    SendError::new(SendClass::UnknownOutcome, detail)
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.is::<reqwest::Error>() { "failed".to_owned() } else { cause.to_string() }
}

/// The wait asked for, if it is given in seconds; Twilio sends no dates.
fn retry_after(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS && !response.status().is_server_error() {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
