//! Twilio Programmable Voice: a call that says the code twice, digit by digit.
//!
//! Owns the request. What is said is `script`'s, what a setting may be is `settings`'s, what an answer means is
//! `twilio::verdict`'s. Only a code can be called: a notice is refused here. Never repeats a request: a second one would
//! ring twice.

mod script;
mod settings;
mod twiml;

use std::fmt;

use async_trait::async_trait;
use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;

use self::settings::Checked;
pub use self::settings::TwilioVoiceSettings;
use super::{
    Accepted, Channel, Gateway, SendClass, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest},
    twilio::{self, account::Account, status_callback, verdict},
};

/// Its name in configuration, metrics and errors.
const NAME: &str = "twilio_voice";

/// Calls by Twilio's Calls API.
pub struct TwilioVoice {
    outbound: Outbound,
    calls: Url,
    account: Account,
    from: String,
    app: String,
    ring_timeout_s: u16,
    receipts_url: Option<Url>,
    receipts_token: Option<SecretString>,
}

impl TwilioVoice {
    /// Checks the settings and builds the client. Does not connect.
    pub fn new(settings: TwilioVoiceSettings) -> Result<Self, SettingError> {
        let Checked { calls, account, from, app, ring_timeout_s, receipts_url, receipts_token, limits } =
            settings::check(settings)?;
        let outbound = Outbound::new(NAME, &calls, &limits)?;
        Ok(Self { outbound, calls, account, from, app, ring_timeout_s, receipts_url, receipts_token })
    }
}

impl fmt::Debug for TwilioVoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioVoice").field("host", &self.calls.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for TwilioVoice {
    fn name(&self) -> &'static str {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Voice]
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let Some(code) = &sms.code else {
            return Err(SendError::new(SendClass::BadConfig, "twilio_voice calls with codes only, and this is none"));
        };
        let call = Call {
            to: &sms.to.to_e164(),
            from: &self.from,
            twiml: script::twiml(&sms.locale, &self.app, code.reveal()),
            timeout: self.ring_timeout_s,
            status_callback: status_callback(self.receipts_url.as_ref(), sms),
        };
        let request = self.account.sign_in(self.outbound.post(self.calls.clone())).form(&call);
        self.outbound.ask(request, |status, body| verdict::judge(NAME, status, body)).await
    }

    /// The end of a call: taken up or not.
    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        twilio::receipt::read(self.receipts_token.as_ref(), request)
    }
}

/// Parameters of a call. Not here: `StatusCallbackEvent`, because the default, the end of the call, tells all that
/// matters; `MachineDetection`, which costs and would keep a person waiting.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Call<'a> {
    to: &'a str,
    from: &'a str,
    /// What is said, in the request itself: no URL of ours has to hold a code.
    twiml: String,
    /// Seconds that it rings.
    timeout: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_callback: Option<String>,
}
