//! Vonage SMS API: one form post per message (`providers.md` section 5).
//!
//! Owns the request. What an answer means is `verdict`'s, what a setting may be is `settings`'s. Signs in by Basic, so
//! that the secret is in no body. Never repeats a request: Vonage has no key to drop duplicates by.

pub(super) mod receipt;
mod settings;
mod verdict;

use std::fmt;

use async_trait::async_trait;
use reqwest::{Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use self::settings::Checked;
pub(super) use self::settings::is_sender;
pub use self::{
    receipt::{Hash, Signature},
    settings::VonageSettings,
};
use super::{
    Accepted, Gateway, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest},
    segments,
};

/// Its name in configuration, metrics and errors.
const NAME: &str = "vonage";

/// What Vonage takes as `ttl`, in milliseconds.
const TTL_MS: (u64, u64) = (20_000, 604_800_000);

/// Sends through Vonage's SMS API.
pub struct Vonage {
    outbound: Outbound,
    send: Url,
    api_key: String,
    api_secret: SecretString,
    from: String,
    receipts_url: Option<Url>,
    signature: Option<Signature>,
}

impl Vonage {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: VonageSettings) -> Result<Self, SettingError> {
        let Checked { send, api_key, api_secret, from, receipts_url, signature, limits } = settings::check(settings)?;
        let outbound = Outbound::new(NAME, &send, &limits)?;
        Ok(Self { outbound, send, api_key, api_secret, from, receipts_url, signature })
    }
}

impl fmt::Debug for Vonage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vonage").field("host", &self.send.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Vonage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let form = Form {
            from: &self.from,
            to: &sms.to.as_u64().to_string(),
            text: &sms.text,
            kind: if segments::is_gsm(&sms.text) { "text" } else { "unicode" },
            ttl: (u64::from(sms.valid_s) * 1_000).clamp(TTL_MS.0, TTL_MS.1),
            client_ref: (!sms.reference.is_empty()).then_some(sms.reference.as_str()),
            callback: self.receipts_url.as_ref().map(Url::as_str),
        };
        let request = self.outbound.post(self.send.clone()).header(header::ACCEPT, "application/json");
        let request = request.basic_auth(&self.api_key, Some(self.api_secret.expose_secret())).form(&form);
        self.outbound.ask(request, verdict::judge).await
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        receipt::read(self.signature.as_ref(), request)
    }
}

/// Parameters of a message.
#[derive(Serialize)]
struct Form<'a> {
    from: &'a str,
    /// Country code and number, digits only.
    to: &'a str,
    text: &'a str,
    /// `unicode` for whatever GSM-7 has no letter for: those would arrive as question marks.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Milliseconds after which the message is dropped.
    ttl: u64,
    /// Comes back in the receipt; drops no duplicates.
    #[serde(rename = "client-ref", skip_serializing_if = "Option::is_none")]
    client_ref: Option<&'a str>,
    /// In place of the URL that the account has for receipts.
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<&'a str>,
}
