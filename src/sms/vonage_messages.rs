//! Vonage Messages API v1: one JSON post per message (`providers.md` section 5). Text messages only: its WhatsApp
//! templates are another form of message.
//!
//! Owns the request. Who signs in is `login`'s, what an answer means is `verdict`'s, what a setting may be is
//! `settings`'s. Never repeats a request: Vonage has no key to drop duplicates by.

mod login;
mod settings;
mod verdict;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use reqwest::{Url, header};
use secrecy::SecretString;
use serde::Serialize;

pub use self::settings::VonageMessagesSettings;
use self::{login::Login, settings::Checked};
use super::{
    Accepted, Gateway, SendClass, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest},
    vonage,
};
use crate::{clock::Clock, entropy::Entropy};

/// Its name in configuration, metrics and errors.
const NAME: &str = "vonage_messages";

/// What Vonage takes as `ttl`, in seconds.
const TTL_S: (u32, u32) = (20, 604_800);

/// Sends through Vonage's Messages API.
pub struct VonageMessages {
    outbound: Outbound,
    messages: Url,
    login: Login,
    from: String,
    receipts_url: Option<Url>,
    signature_secret: Option<SecretString>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl VonageMessages {
    /// Checks the settings and builds the client. Does not connect. Tokens tell the time by `clock` and are told apart by
    /// `entropy`.
    pub fn new(
        settings: VonageMessagesSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SettingError> {
        let Checked { messages, login, from, receipts_url, signature_secret, limits } = settings::check(settings)?;
        let outbound = Outbound::new(NAME, &messages, &limits)?;
        Ok(Self { outbound, messages, login, from, receipts_url, signature_secret, clock, entropy })
    }
}

impl fmt::Debug for VonageMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VonageMessages").field("host", &self.messages.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for VonageMessages {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let message = Message {
            message_type: "text",
            channel: "sms",
            to: &sms.to.as_u64().to_string(),
            from: &self.from,
            text: &sms.text,
            ttl: sms.valid_s.clamp(TTL_S.0, TTL_S.1),
            sms: Encoding { encoding_type: "auto" },
            client_ref: (!sms.reference.is_empty()).then_some(sms.reference.as_str()),
            webhook: self.receipts_url.as_ref().map(|url| Webhook { webhook_url: url.as_str(), webhook_version: "v1" }),
        };
        let request = self.outbound.post(self.messages.clone()).header(header::ACCEPT, "application/json");
        let request = self
            .login
            .sign_in(request, self.clock.now(), &*self.entropy)
            .ok_or_else(|| SendError::new(SendClass::BadConfig, "vonage_messages private key does not sign"))?;
        self.outbound.ask(request.json(&message), verdict::judge).await
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        vonage::receipt::read_message_status(self.signature_secret.as_ref(), request)
    }
}

/// Members of a message.
#[derive(Serialize)]
struct Message<'a> {
    message_type: &'static str,
    channel: &'static str,
    /// Country code and number, digits only.
    to: &'a str,
    from: &'a str,
    text: &'a str,
    /// Seconds after which the message is dropped.
    ttl: u32,
    sms: Encoding,
    /// Comes back in the receipt; drops no duplicates.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ref: Option<&'a str>,
    #[serde(flatten)]
    webhook: Option<Webhook<'a>>,
}

/// `auto`: Vonage takes the cheapest alphabet that has every letter.
#[derive(Serialize)]
struct Encoding {
    encoding_type: &'static str,
}

/// In place of the URL that the application has for receipts.
#[derive(Serialize)]
struct Webhook<'a> {
    webhook_url: &'a str,
    webhook_version: &'static str,
}
