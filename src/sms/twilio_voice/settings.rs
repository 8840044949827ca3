//! What the Twilio Voice gateway is told, and the checks that stop a start-up instead of the first call.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::SecretString;

use super::NAME;
use crate::{
    record::PhoneNumber,
    sms::{
        SettingError,
        outbound::{self, HttpLimits},
        twilio::{MAGIC, account::Account, is_magic},
    },
};

/// Settings of the Twilio Voice gateway. `Debug` shows no account and no token.
#[derive(Clone)]
pub struct TwilioVoiceSettings {
    /// Where the API is. Default `https://api.twilio.com`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// An API key (`SK` and 32 hexadecimal digits) to sign in with instead of the account.
    pub api_key_sid: Option<String>,
    /// The account's token, or the API key's secret.
    pub auth_token: SecretString,
    /// The number of the account that calls, E.164.
    pub from: String,
    /// True if the account's test credentials are used: allows the magic callers +1500555000x.
    pub test_mode: bool,
    /// The service's name, as it is said; at most 64 characters.
    pub app: String,
    /// How long it rings, in seconds, 5 to 600. Default 25: most mailboxes answer later.
    pub ring_timeout_s: u16,
    /// Where it is to post its receipts: the whole public URL, without a query. Default none: it posts none.
    pub receipts_url: Option<String>,
    /// The account's token, which receipts are signed with, where `auth_token` is an API key's secret. Default none.
    pub receipts_auth_token: Option<SecretString>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for TwilioVoiceSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.twilio.com".to_owned(),
            account_sid: String::new(),
            api_key_sid: None,
            auth_token: SecretString::default(),
            from: String::new(),
            test_mode: false,
            app: "otpd".to_owned(),
            ring_timeout_s: 25,
            receipts_url: None,
            receipts_auth_token: None,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for TwilioVoiceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioVoiceSettings")
            .field("test_mode", &self.test_mode)
            .field("ring_timeout_s", &self.ring_timeout_s)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) calls: Url,
    pub(super) account: Account,
    pub(super) from: String,
    pub(super) app: String,
    pub(super) ring_timeout_s: u16,
    pub(super) receipts_url: Option<Url>,
    /// What receipts are signed with, if it is known.
    pub(super) receipts_token: Option<SecretString>,
    pub(super) limits: HttpLimits,
}

/// Longest name that is said: with the longest code a call then fits what Twilio takes.
const APP_LEN_MAX: usize = 64;

/// security 109: every value is of its form before it can reach a header or a form field.
pub(super) fn check(settings: TwilioVoiceSettings) -> Result<Checked, SettingError> {
    let refuse = |name: &str, reason| Err(SettingError::new(format!("{NAME}.{name}"), reason));
    let account = Account::check(NAME, &settings.account_sid, settings.api_key_sid, settings.auth_token)?;
    let receipts_token = account.receipts_token(NAME, settings.receipts_auth_token)?;
    if PhoneNumber::from_e164(&settings.from).is_err() {
        return refuse("from", "must be an E.164 number: neither a name nor a short code can call");
    }
    if settings.app.chars().count() > APP_LEN_MAX {
        return refuse("app", "must be at most 64 characters");
    }
    if !(5..=600).contains(&settings.ring_timeout_s) {
        return refuse("ring_timeout_s", "must be 5 to 600");
    }
    settings.limits.check(NAME)?;
    let base = outbound::base_url(NAME, &settings.base_url)?;
    if is_magic(&settings.from, &base, settings.test_mode) {
        return refuse("from", MAGIC);
    }
    Ok(Checked {
        calls: outbound::under(NAME, &base, ["2010-04-01", "Accounts", &settings.account_sid, "Calls.json"])?,
        account,
        from: settings.from,
        app: settings.app,
        ring_timeout_s: settings.ring_timeout_s,
        receipts_url: outbound::receipts_url(NAME, settings.receipts_url.as_deref())?,
        receipts_token,
        limits: settings.limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    fn good() -> TwilioVoiceSettings {
        TwilioVoiceSettings {
            account_sid: format!("AC{HEX}"),
            auth_token: "a-very-secret-token".into(),
            from: "+12025550100".to_owned(),
            ..TwilioVoiceSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut TwilioVoiceSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_pinned_to_host_and_account() {
        let checked = check(good()).ok().unwrap();
        let expected = format!("https://api.twilio.com/2010-04-01/Accounts/AC{HEX}/Calls.json");
        assert_eq!((checked.calls.as_str(), checked.account.user()), (expected.as_str(), &*format!("AC{HEX}")));
    }

    /// security 109: what could end a line, and who cannot call, stop the start.
    #[test]
    fn wrong_forms_are_refused() {
        for sid in ["", "AC", HEX, "AC../0123456789abcdef012345678\r\n"] {
            assert_eq!(refused(|settings| settings.account_sid = sid.to_owned()), "twilio_voice.account_sid");
        }
        assert_eq!(refused(|settings| settings.api_key_sid = Some(String::new())), "twilio_voice.api_key_sid");
        assert_eq!(refused(|settings| settings.auth_token = "t\r\nX: 1".into()), "twilio_voice.auth_token");
        let empty = refused(|settings| settings.receipts_auth_token = Some(SecretString::default()));
        assert_eq!(empty, "twilio_voice.receipts_auth_token");
        for from in ["", "Acme", "12345", "+12025550100\n", "+15005550006"] {
            assert_eq!(refused(|settings| settings.from = from.to_owned()), "twilio_voice.from", "{from:?}");
        }
        assert_eq!(refused(|settings| settings.app = "x".repeat(65)), "twilio_voice.app");
        for seconds in [0, 4, 601] {
            assert_eq!(refused(|settings| settings.ring_timeout_s = seconds), "twilio_voice.ring_timeout_s");
        }
        let public = |url: &str| refused(|settings| settings.receipts_url = Some(url.to_owned()));
        for url in
            ["otp.example.com", "ftp://otp.example.com/r", "https://otp.example.com/r?x=1", "https://A.example/r"]
        {
            assert_eq!(public(url), "twilio_voice.receipts_url", "{url}");
        }
        assert_eq!(refused(|settings| settings.base_url = "http://api.twilio.com".to_owned()), "twilio_voice.base_url");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "twilio_voice.timeout_ms");
        assert!(check(TwilioVoiceSettings { from: "+15005550006".to_owned(), test_mode: true, ..good() }).is_ok());
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(TwilioVoiceSettings { from: "a-very-secret-token".to_owned(), ..good() }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        for secret in ["a-very-secret-token", HEX, "+12025550100"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
