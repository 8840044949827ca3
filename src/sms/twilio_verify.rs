//! Twilio Verify v2 with our own code: Twilio writes the message and picks the sender (`providers.md` section 2).
//!
//! Owns the requests: one that starts a verification, one that says how it ended. Twilio wants the second, and refuses a
//! sixth start for a number within ten minutes without it. What an answer means is `twilio::verdict`'s, what a setting
//! may be is `settings`'s, which verification a reference belongs to is `pending`'s. Never lets Twilio make or check a
//! code, and never repeats a request.

mod pending;
mod settings;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use metrics::counter;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

pub use self::settings::TwilioVerifySettings;
use self::{pending::Pending, settings::Checked};
use super::{
    Accepted, Channel, Gateway, SendClass, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::Verdict,
    twilio::{
        account::{Account, is_sid},
        verdict,
    },
};
use crate::clock::Clock;

/// Its name in configuration, metrics and errors.
const NAME: &str = "twilio_verify";

/// Digits of a code that Verify takes.
const DIGITS: (u8, u8) = (4, 10);

/// Sends through Twilio's Verify API.
pub struct TwilioVerify {
    outbound: Outbound,
    verifications: Url,
    account: Account,
    channels: Vec<Channel>,
    pending: Pending,
    clock: Arc<dyn Clock>,
}

impl TwilioVerify {
    /// Checks the settings and builds the client. Does not connect. How long a verification is remembered goes by
    /// `clock`.
    pub fn new(settings: TwilioVerifySettings, clock: Arc<dyn Clock>) -> Result<Self, SettingError> {
        let Checked { verifications, account, channels, pending_max, limits } = settings::check(settings)?;
        let outbound = Outbound::new(NAME, &verifications, &limits)?;
        Ok(Self { outbound, verifications, account, channels, pending: Pending::new(pending_max), clock })
    }

    /// Says how a verification ended.
    async fn tell(&self, sid: &str, status: &'static str) -> Result<(), SendError> {
        let mut url = self.verifications.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(sid);
        }
        let request = self.account.sign_in(self.outbound.post(url)).form(&Feedback { status });
        let answer = self.outbound.exchange(request).await?;
        let told: Option<Told> = answer.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
        // Over already, so Twilio does not wait for it either.
        let gone = answer.status == StatusCode::NOT_FOUND;
        if gone || (answer.status.is_success() && told.is_some_and(|told| told.status == status)) {
            return Ok(());
        }
        verdict::judge(NAME, answer.status, answer.body.as_deref())?;
        Err(SendError::new(SendClass::UnknownOutcome, "twilio_verify took the feedback for something else"))
    }
}

impl fmt::Debug for TwilioVerify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioVerify").field("host", &self.verifications.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for TwilioVerify {
    fn name(&self) -> &'static str {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let Some(code) = sms.code.as_ref().filter(|code| (DIGITS.0..=DIGITS.1).contains(&code.digits())) else {
            let reason = "twilio_verify takes codes of 4 to 10 digits and nothing else";
            return Err(SendError::new(SendClass::BadConfig, reason));
        };
        let start = Start {
            to: &sms.to.to_e164(),
            channel: channel(sms.channel),
            custom_code: code.reveal(),
            locale: locale(&sms.locale),
        };
        let request = self.account.sign_in(self.outbound.post(self.verifications.clone())).form(&start);
        let accepted = self.outbound.ask(request, |status, body| verdict::judge(NAME, status, body)).await?;
        if let Some(sid) = accepted.provider_id.as_deref().filter(|sid| !sms.reference.is_empty() && is_sid("VE", sid))
            && self.pending.remember(&sms.reference, sid, self.clock.now())
        {
            feedback("forgotten");
        }
        Ok(accepted)
    }

    fn wants_verdicts(&self) -> bool {
        true
    }

    async fn conclude(&self, reference: &str, verdict: Verdict) {
        let Some(sid) = self.pending.take(reference, self.clock.now()) else { return };
        let status = match verdict {
            Verdict::Approved => "approved",
            Verdict::Canceled => "canceled",
        };
        match self.tell(&sid, status).await {
            Ok(()) => feedback("told"),
            Err(error) => {
                feedback("failed");
                tracing::warn!(route = NAME, class = error.class.label(), detail = %error.detail, "feedback not taken");
            }
        }
    }
}

fn feedback(outcome: &'static str) {
    counter!("otpd_sms_feedback_total", "route" => NAME, "outcome" => outcome).increment(1);
}

/// Parameters of a start. Not here: `AppHash` and `TemplateSid` are settings of Twilio's service as well, `RateLimits`
/// and `RiskCheck` would decide what the limits here have decided already, and `CustomMessage` is no longer taken.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Start<'a> {
    to: &'a str,
    channel: &'static str,
    custom_code: &'a str,
    /// Without it Twilio goes by the number's country.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'static str>,
}

/// Parameters of an end.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Feedback {
    status: &'static str,
}

/// The answer to an end.
#[derive(Deserialize)]
struct Told {
    status: String,
}

/// The channel in Twilio's words.
fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "sms",
        Channel::Voice => "call",
        Channel::Whatsapp => "whatsapp",
    }
}

/// Languages that otpd has texts in and Verify too, as Verify calls them. It refuses a language that it does not have.
const LOCALES: [(&str, &str); 10] = [
    ("ar", "ar"),
    ("de", "de"),
    ("en", "en"),
    ("es", "es"),
    ("fr", "fr"),
    ("hi", "hi"),
    ("id", "id"),
    ("pt", "pt-BR"),
    ("ru", "ru"),
    ("tr", "tr"),
];

fn locale(tag: &str) -> Option<&'static str> {
    let language = tag.split(['-', '_']).next().unwrap_or_default();
    LOCALES.iter().find(|(ours, _)| ours.eq_ignore_ascii_case(language)).map(|(_, theirs)| *theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_that_verify_has_not_is_left_to_it() {
        for (tag, expected) in
            [("en", Some("en")), ("pt", Some("pt-BR")), ("ES-mx", Some("es")), ("fa", None), ("sw", None), ("", None)]
        {
            assert_eq!(locale(tag), expected, "{tag}");
        }
    }
}
