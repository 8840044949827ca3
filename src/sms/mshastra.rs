//! mShastra (MobiShastra): one JSON post per message (`providers.md` section 4).
//!
//! Owns the request. What an answer means is `verdict`'s, what a setting may be is `settings`'s. User and password are
//! part of the body, so no body is ever shown (security 110). Never repeats a request: there is no key to drop
//! duplicates by.

mod receipt;
mod settings;
mod verdict;

use std::fmt;

use async_trait::async_trait;
use reqwest::{Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use self::settings::Checked;
pub use self::settings::MshastraSettings;
use super::{
    Accepted, Gateway, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest, secret_path::UnsignedReceipts},
};

/// Its name in configuration, metrics and errors.
const NAME: &str = "mshastra";

/// Sends through mShastra's JSON API.
pub struct Mshastra {
    outbound: Outbound,
    send: Url,
    user: String,
    password: SecretString,
    sender: String,
    receipts: UnsignedReceipts,
}

impl Mshastra {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: MshastraSettings) -> Result<Self, SettingError> {
        let Checked { send, user, password, sender, receipts, limits } = settings::check(settings)?;
        Ok(Self { outbound: Outbound::new(NAME, &send, &limits)?, send, user, password, sender, receipts })
    }
}

impl fmt::Debug for Mshastra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mshastra").field("host", &self.send.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Mshastra {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let message = Message {
            user: &self.user,
            pwd: self.password.expose_secret(),
            number: &sms.to.as_u64().to_string(),
            msg: &sms.text,
            sender: &self.sender,
            language: language(&sms.text),
        };
        let request = self.outbound.post(self.send.clone()).header(header::ACCEPT, "application/json");
        self.outbound.ask(request.json(&[message]), verdict::judge).await
    }

    fn receipts_by_provider_id(&self) -> bool {
        true
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        self.receipts.admit(request)?;
        receipt::read(request)
    }
}

/// The only element of the list that is posted.
#[derive(Serialize)]
struct Message<'a> {
    user: &'a str,
    pwd: &'a str,
    /// Country code and number, digits only: a comma would make it a list.
    number: &'a str,
    msg: &'a str,
    sender: &'a str,
    language: &'static str,
}

/// Which alphabet the provider is to send in. How much of GSM-7 its "English" is, is not documented: ASCII surely, and
/// for the rest the costlier alphabet is the one that arrives whole.
fn language(text: &str) -> &'static str {
    if text.is_ascii() { "English" } else { "Unicode" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_goes_as_unicode() {
        for (text, expected) in [("482913 is your code.\n@a.example #482913", "English"), ("کد: 482913", "Unicode")] {
            assert_eq!(language(text), expected);
        }
        assert_eq!(language("caf\u{e9} 482913"), "Unicode");
    }
}
