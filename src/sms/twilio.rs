//! Twilio Programmable Messaging: one form post per message (`providers.md` section 1).
//!
//! Owns the request. What an answer means is `verdict`'s, what a setting may be is `settings`'s. Never
//! repeats a request: Twilio has no key to drop duplicates by.

pub(super) mod receipt;
mod settings;
mod verdict;

use std::fmt;

use async_trait::async_trait;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

pub use self::settings::TwilioSettings;
use self::settings::{Checked, Sender};
use super::{
    Accepted, Gateway, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest},
};

/// Its name in configuration, metrics and errors.
const NAME: &str = "twilio";

/// What Twilio takes as `ValidityPeriod`, in seconds. It takes 1 and up but advises more than 5.
const VALIDITY_S: (u32, u32) = (6, 36_000);

/// Sends through Twilio's Messages API.
pub struct Twilio {
    outbound: Outbound,
    messages: Url,
    user: String,
    password: SecretString,
    sender: Sender,
    receipts_url: Option<Url>,
    receipts_token: Option<SecretString>,
}

impl Twilio {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: TwilioSettings) -> Result<Self, SettingError> {
        let Checked { messages, user, password, sender, receipts_url, receipts_token, limits } =
            settings::check(settings)?;
        let outbound = Outbound::new(NAME, &messages, &limits)?;
        Ok(Self { outbound, messages, user, password, sender, receipts_url, receipts_token })
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
        NAME
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let (from, messaging_service_sid) = match &self.sender {
            Sender::From(from) => (Some(from.as_str()), None),
            Sender::MessagingService(sid) => (None, Some(sid.as_str())),
        };
        let form = Form {
            to: &sms.to.to_e164(),
            from,
            messaging_service_sid,
            body: &sms.text,
            status_callback: self.receipts_url.as_ref().and_then(|url| status_callback(url, &sms.reference)),
            validity_period: sms.valid_s.clamp(VALIDITY_S.0, VALIDITY_S.1),
        };
        let request = self.outbound.post(self.messages.clone());
        let request = request.basic_auth(&self.user, Some(self.password.expose_secret())).form(&form);
        let answer = self.outbound.exchange(request).await?;
        verdict::judge(answer.status, answer.body.as_deref())
            .map_err(|error| SendError { retry_after: answer.retry_after, ..error })
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        receipt::read(self.receipts_token.as_ref(), request)
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
    #[serde(skip_serializing_if = "Option::is_none")]
    status_callback: Option<String>,
    validity_period: u32,
}

/// Where Twilio reports on this message: it gives no reference of ours back, but keeps the query of the URL.
fn status_callback(receipts_url: &Url, reference: &str) -> Option<String> {
    (!reference.is_empty()).then(|| format!("{receipts_url}?ref={reference}"))
}
