//! Telegram Gateway: our code as a message of Telegram's own "Verification Codes" chat.
//!
//! Owns the request. What an answer means is `verdict`'s, what a setting may be is `settings`'s. Telegram writes the text,
//! so only the code goes out, and what has none is refused here. Never repeats a request, never asks Telegram to make or
//! to check a code.

mod receipt;
mod settings;
mod verdict;

use std::fmt;

use async_trait::async_trait;
use reqwest::{Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use self::settings::Checked;
pub use self::settings::TelegramSettings;
use super::{
    Accepted, Gateway, SendClass, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest},
};

/// Its name in configuration, metrics and errors.
const NAME: &str = "telegram";

/// What Telegram takes as `ttl`, in seconds. What was not delivered by then is refunded.
const TTL_S: (u32, u32) = (30, 3_600);
/// Digits of a code that Telegram takes.
const DIGITS: (usize, usize) = (4, 8);

/// Sends through the Telegram Gateway API.
pub struct Telegram {
    outbound: Outbound,
    send: Url,
    access_token: SecretString,
    sender_username: Option<String>,
    receipts_url: Option<Url>,
}

impl Telegram {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: TelegramSettings) -> Result<Self, SettingError> {
        let Checked { send, access_token, sender_username, receipts_url, limits } = settings::check(settings)?;
        let outbound = Outbound::new(NAME, &send, &limits)?;
        Ok(Self { outbound, send, access_token, sender_username, receipts_url })
    }
}

impl fmt::Debug for Telegram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telegram").field("host", &self.send.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Telegram {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let code = sms.code.as_ref().map(|code| code.reveal()).unwrap_or_default();
        if !(DIGITS.0..=DIGITS.1).contains(&code.len()) {
            return Err(SendError::new(SendClass::BadConfig, "telegram takes codes of 4 to 8 digits and nothing else"));
        }
        let message = Message {
            phone_number: &sms.to.to_e164(),
            code,
            ttl: sms.valid_s.clamp(TTL_S.0, TTL_S.1),
            sender_username: self.sender_username.as_deref(),
            payload: (!sms.reference.is_empty()).then_some(sms.reference.as_str()),
            callback_url: self.receipts_url.as_ref().map(Url::as_str),
        };
        let request = self.outbound.post(self.send.clone()).header(header::ACCEPT, "application/json");
        let request = request.bearer_auth(self.access_token.expose_secret()).json(&message);
        self.outbound.ask(request, verdict::judge).await
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        receipt::read(&self.access_token, request)
    }
}

/// Parameters of `sendVerificationMessage`. Not here: `request_id` belongs to a paid `checkSendAbility`, and
/// `code_length` to codes of Telegram's making.
#[derive(Serialize)]
struct Message<'a> {
    phone_number: &'a str,
    code: &'a str,
    ttl: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_username: Option<&'a str>,
    /// Comes back in the receipt, and is shown to nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<&'a str>,
}
