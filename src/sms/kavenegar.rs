//! Kavenegar: `verify/lookup` with a template of the account, as a text or as a call, or `sms/send` with our text
//! (`providers.md` section 3).
//!
//! Owns the request and the form of a number. What an answer means is `verdict`'s, what a setting may be is
//! `settings`'s. The key is part of the URL, so no URL is ever shown (security 110). Never repeats a request, and never
//! sends a code by template where there is none: a notice goes as plain text.

mod receipt;
mod settings;
mod verdict;

use std::fmt;

use async_trait::async_trait;
use reqwest::{Url, header};
use serde::Serialize;

pub use self::settings::KavenegarSettings;
use self::settings::{Checked, Lookup};
use super::{
    Accepted, Channel, Gateway, SendClass, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest, secret_path::UnsignedReceipts},
};
use crate::record::PhoneNumber;

/// Its name in configuration, metrics and errors.
const NAME: &str = "kavenegar";

/// Sends through Kavenegar's REST API.
pub struct Kavenegar {
    outbound: Outbound,
    send: Url,
    lookup: Option<Lookup>,
    sender: Option<String>,
    status: Url,
    receipts: UnsignedReceipts,
}

impl Kavenegar {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: &KavenegarSettings) -> Result<Self, SettingError> {
        let Checked { send, lookup, sender, status, receipts, limits } = settings::check(settings)?;
        Ok(Self { outbound: Outbound::new(NAME, &send, &limits)?, send, lookup, sender, status, receipts })
    }

    async fn post(&self, url: &Url, form: &impl Serialize) -> Result<Accepted, SendError> {
        let request = self.outbound.post(url.clone()).header(header::ACCEPT, "application/json").form(form);
        self.outbound.ask(request, verdict::judge).await
    }
}

impl fmt::Debug for Kavenegar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kavenegar").field("host", &self.send.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Kavenegar {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Calls go by template only.
    fn channels(&self) -> &[Channel] {
        if self.lookup.is_some() { &[Channel::Sms, Channel::Voice] } else { &[Channel::Sms] }
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let receptor = &receptor(sms.to);
        let is_call = sms.channel == Channel::Voice;
        if let (Some(Lookup { url, template }), Some(code)) = (&self.lookup, &sms.code) {
            let kind = is_call.then_some("call");
            return self.post(url, &LookupForm { receptor, template, token: code.reveal(), kind }).await;
        }
        if is_call {
            let reason = "kavenegar calls with codes only, and by a template";
            return Err(SendError::new(SendClass::BadConfig, reason));
        }
        let localid = local_id(sms.id);
        self.post(&self.send, &SendForm { receptor, message: &sms.text, sender: self.sender.as_deref(), localid }).await
    }

    fn receipts_by_provider_id(&self) -> bool {
        true
    }

    /// What was posted only says which messages to ask after: unsigned as it is, nothing of it is believed.
    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        self.receipts.admit(request)?;
        let ids = receipt::ids(request)?;
        let request = self.outbound.post(self.status.clone()).header(header::ACCEPT, "application/json");
        let answer = self.outbound.exchange(request.form(&[("messageid", ids.join(","))])).await;
        let answer = answer.map_err(|_| ReceiptRefused::Unconfirmed)?;
        receipt::states(&ids, answer.status, answer.body.as_deref())
    }
}

/// Parameters of `sms/send`. Not here: `date` and `type` are good as they are.
#[derive(Serialize)]
struct SendForm<'a> {
    receptor: &'a str,
    message: &'a str,
    /// Without it the account's own line sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    /// Our own id: the message can be asked for by it.
    localid: u64,
}

/// What Kavenegar takes as an id of ours: a whole number that fits 63 bits, the same in every try of a message.
fn local_id(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX >> 1)).unwrap_or_default()
}

/// Parameters of `verify/lookup`. Not here: other tokens, because a code is all there is to say.
#[derive(Serialize)]
struct LookupForm<'a> {
    receptor: &'a str,
    template: &'a str,
    token: &'a str,
    /// `call`, or left out for an SMS: the provider's own clients disagree about the spelling of that.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

/// The one recipient as Kavenegar wants it, digits only, so that it can never be read as a list: Iranian mobile numbers
/// in local form (`09…`), all others with two zeros before the country code.
fn receptor(to: PhoneNumber) -> String {
    let digits = to.as_u64().to_string();
    match digits.strip_prefix("98") {
        Some(national) if national.len() == 10 && national.starts_with('9') => format!("0{national}"),
        Some(_) | None => format!("00{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_local_or_begin_with_zeros() {
        for (to, expected) in [
            ("+989123456789", "09123456789"),
            ("+989923456789", "09923456789"),
            ("+982112345678", "00982112345678"),
            ("+98912345678", "0098912345678"),
            ("+9891234567890", "009891234567890"),
            ("+14155550123", "0014155550123"),
            ("+4915112345678", "004915112345678"),
        ] {
            assert_eq!(receptor(PhoneNumber::from_e164(to).unwrap()), expected);
        }
    }
}
