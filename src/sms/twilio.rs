//! Twilio Programmable Messaging: one form post per message, by text or by WhatsApp (`providers.md` section 1).
//!
//! Owns the request. What an answer means is `verdict`'s, what a setting may be is `settings`'s, how one signs in is
//! `account`'s; the first and the last serve Twilio's other gateways too. Never repeats a request: Twilio has no key to
//! drop duplicates by.

pub(super) mod account;
pub(super) mod receipt;
mod settings;
pub(super) mod verdict;

use std::fmt;

use async_trait::async_trait;
use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;

pub use self::settings::TwilioSettings;
pub(super) use self::settings::{MAGIC, is_magic};
use self::{
    account::Account,
    settings::{Checked, Sender, Whatsapp},
};
use super::{
    Accepted, Channel, Gateway, SendClass, SendError, SettingError, Sms,
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
    account: Account,
    sender: Sender,
    whatsapp: Option<Whatsapp>,
    receipts_url: Option<Url>,
    receipts_token: Option<SecretString>,
}

impl Twilio {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: TwilioSettings) -> Result<Self, SettingError> {
        let Checked { messages, account, sender, whatsapp, receipts_url, receipts_token, limits } =
            settings::check(settings)?;
        let outbound = Outbound::new(NAME, &messages, &limits)?;
        Ok(Self { outbound, messages, account, sender, whatsapp, receipts_url, receipts_token })
    }

    /// A text with our words.
    fn text<'a>(&'a self, sms: &'a Sms) -> Form<'a> {
        let (from, messaging_service_sid) = match &self.sender {
            Sender::From(from) => (Some(from.as_str()), None),
            Sender::MessagingService(sid) => (None, Some(sid.as_str())),
        };
        Form {
            to: sms.to.to_e164(),
            from,
            messaging_service_sid,
            body: Some(&sms.text),
            validity_period: Some(sms.valid_s.clamp(VALIDITY_S.0, VALIDITY_S.1)),
            ..Form::default()
        }
    }

    /// A code in the words that WhatsApp approved: nobody may be written to first with others.
    fn whatsapp<'a>(&'a self, sms: &Sms) -> Result<Form<'a>, SendError> {
        let refuse = |reason| SendError::new(SendClass::BadConfig, format!("{NAME} {reason}"));
        let whatsapp = self.whatsapp.as_ref().ok_or_else(|| refuse("has no sender for whatsapp"))?;
        let code = sms.code.as_ref().ok_or_else(|| refuse("takes codes only by whatsapp, and this is none"))?;
        Ok(Form {
            to: format!("whatsapp:{}", sms.to.to_e164()),
            from: Some(&whatsapp.from),
            content_sid: Some(&whatsapp.content_sid),
            content_variables: Some(serde_json::json!({ "1": code.reveal() }).to_string()),
            ..Form::default()
        })
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

    fn channels(&self) -> &[Channel] {
        if self.whatsapp.is_some() { &[Channel::Sms, Channel::Whatsapp] } else { &[Channel::Sms] }
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let form = match sms.channel {
            Channel::Sms => self.text(sms),
            Channel::Whatsapp => self.whatsapp(sms)?,
            Channel::Voice => return Err(SendError::new(SendClass::BadConfig, "twilio does not call by this gateway")),
        };
        let form = Form { status_callback: status_callback(self.receipts_url.as_ref(), sms), ..form };
        let request = self.account.sign_in(self.outbound.post(self.messages.clone())).form(&form);
        self.outbound.ask(request, |status, body| verdict::judge(NAME, status, body)).await
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        receipt::read(self.receipts_token.as_ref(), request)
    }
}

/// Parameters of a message. What is not here has a reason: `ContentRetention` and `AddressRetention` are refused by
/// accounts without the paid feature, and `SmartEncoded` may change a text.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Form<'a> {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messaging_service_sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_sid: Option<&'a str>,
    /// JSON: what stands in the template's places.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_variables: Option<String>,
    /// Text messages only.
    #[serde(skip_serializing_if = "Option::is_none")]
    validity_period: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_callback: Option<String>,
}

/// Where Twilio reports on this message: it gives no reference of ours back, but keeps the query of the URL.
pub(super) fn status_callback(receipts_url: Option<&Url>, sms: &Sms) -> Option<String> {
    let url = receipts_url.filter(|_| !sms.reference.is_empty())?;
    Some(format!("{url}?ref={}", sms.reference))
}
