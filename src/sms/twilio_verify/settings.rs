//! What the Twilio Verify gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::SecretString;

use super::NAME;
use crate::sms::{
    Channel, SettingError,
    outbound::{self, HttpLimits},
    twilio::account::{Account, is_sid},
};

/// Settings of the Twilio Verify gateway. `Debug` shows no account and no token.
#[derive(Clone)]
pub struct TwilioVerifySettings {
    /// Where the API is. Default `https://verify.twilio.com`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// An API key (`SK` and 32 hexadecimal digits) to sign in with instead of the account.
    pub api_key_sid: Option<String>,
    /// The account's token, or the API key's secret.
    pub auth_token: SecretString,
    /// The Verify service, with "custom verification code" switched on: `VA` and 32 hexadecimal digits.
    pub service_sid: String,
    /// By what the service may send; one or more, each once. Default all.
    pub channels: Vec<Channel>,
    /// Verifications remembered at once until they end, 1 to 1,000,000. Default 100,000: 160 starts a second for the ten
    /// minutes of a verification's life, about 20 MiB.
    pub pending_max: usize,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for TwilioVerifySettings {
    fn default() -> Self {
        Self {
            base_url: "https://verify.twilio.com".to_owned(),
            account_sid: String::new(),
            api_key_sid: None,
            auth_token: SecretString::default(),
            service_sid: String::new(),
            channels: Channel::ALL.to_vec(),
            pending_max: 100_000,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for TwilioVerifySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioVerifySettings")
            .field("channels", &self.channels)
            .field("pending_max", &self.pending_max)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) verifications: Url,
    pub(super) account: Account,
    pub(super) channels: Vec<Channel>,
    pub(super) pending_max: usize,
    pub(super) limits: HttpLimits,
}

/// Most verifications remembered.
const PENDING_MAX: usize = 1_000_000;

/// security 109: every value is of its form before it can reach a header or a path.
pub(super) fn check(settings: TwilioVerifySettings) -> Result<Checked, SettingError> {
    let refuse = |name: &str, reason| Err(SettingError::new(format!("{NAME}.{name}"), reason));
    let account = Account::check(NAME, &settings.account_sid, settings.api_key_sid, settings.auth_token)?;
    if !is_sid("VA", &settings.service_sid) {
        return refuse("service_sid", "must be VA and 32 hexadecimal digits");
    }
    let mut channels = settings.channels;
    let given = channels.len();
    channels.sort_unstable();
    channels.dedup();
    if channels.is_empty() || channels.len() != given {
        return refuse("channels", "must be one or more of sms, voice and whatsapp, each once");
    }
    if !(1..=PENDING_MAX).contains(&settings.pending_max) {
        return refuse("pending_max", "must be 1 to 1000000");
    }
    settings.limits.check(NAME)?;
    let base = outbound::base_url(NAME, &settings.base_url)?;
    let path = ["v2", "Services", &settings.service_sid, "Verifications"];
    Ok(Checked {
        verifications: outbound::under(NAME, &base, path)?,
        account,
        channels,
        pending_max: settings.pending_max,
        limits: settings.limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    fn good() -> TwilioVerifySettings {
        TwilioVerifySettings {
            account_sid: format!("AC{HEX}"),
            auth_token: "a-very-secret-token".into(),
            service_sid: format!("VA{HEX}"),
            ..TwilioVerifySettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut TwilioVerifySettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_pinned_to_host_and_service() {
        let checked = check(good()).ok().unwrap();
        let expected = format!("https://verify.twilio.com/v2/Services/VA{HEX}/Verifications");
        assert_eq!(checked.verifications.as_str(), expected);
        assert_eq!(checked.channels, Channel::ALL);
    }

    /// security 109: what could end a line or a path segment stops the start.
    #[test]
    fn wrong_forms_are_refused() {
        for sid in ["", HEX, "VA", "MG0123456789abcdef0123456789abcdef", "VA../0123456789abcdef012345678\r\n"] {
            assert_eq!(refused(|settings| settings.service_sid = sid.to_owned()), "twilio_verify.service_sid");
        }
        assert_eq!(refused(|settings| settings.account_sid = String::new()), "twilio_verify.account_sid");
        assert_eq!(refused(|settings| settings.api_key_sid = Some(String::new())), "twilio_verify.api_key_sid");
        assert_eq!(refused(|settings| settings.auth_token = "t\r\nX: 1".into()), "twilio_verify.auth_token");
        for channels in [vec![], vec![Channel::Sms, Channel::Voice, Channel::Sms]] {
            assert_eq!(refused(|settings| settings.channels = channels), "twilio_verify.channels");
        }
        for max in [0, 1_000_001] {
            assert_eq!(refused(|settings| settings.pending_max = max), "twilio_verify.pending_max");
        }
        let plain = "http://verify.twilio.com".to_owned();
        assert_eq!(refused(|settings| settings.base_url = plain), "twilio_verify.base_url");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "twilio_verify.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(TwilioVerifySettings { service_sid: "a-very-secret-token".to_owned(), ..good() });
        let error = error.err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        for secret in ["a-very-secret-token", HEX] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
