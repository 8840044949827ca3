//! What the Vonage gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{
    NAME, Signature,
    receipt::{WEAK, is_weak},
};
use crate::sms::{
    SettingError,
    outbound::{self, HttpLimits},
};

/// Settings of the Vonage gateway. `Debug` shows no account and no secret.
#[derive(Clone)]
pub struct VonageSettings {
    /// Where the API is. Default `https://rest.nexmo.com`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account's key, 1 to 64 letters and digits.
    pub api_key: String,
    /// The account's secret, 1 to 128 visible ASCII characters.
    pub api_secret: SecretString,
    /// The sender: a number of 7 to 15 digits without `+`, a short code of 3 to 6, or a name of 1 to 11 letters, digits
    /// and spaces.
    pub from: String,
    /// Where it is to post its receipts: the whole public URL, without a query. Default none: it posts none.
    pub receipts_url: Option<String>,
    /// What receipts are signed with. Default none: none are taken.
    pub signature: Option<Signature>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for VonageSettings {
    fn default() -> Self {
        Self {
            base_url: "https://rest.nexmo.com".to_owned(),
            api_key: String::new(),
            api_secret: SecretString::default(),
            from: String::new(),
            receipts_url: None,
            signature: None,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for VonageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VonageSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) send: Url,
    pub(super) api_key: String,
    pub(super) api_secret: SecretString,
    pub(super) from: String,
    pub(super) receipts_url: Option<Url>,
    pub(super) signature: Option<Signature>,
    pub(super) limits: HttpLimits,
}

/// Longest key; real ones have 8.
const KEY_LEN_MAX: usize = 64;
/// Longest secret; real ones have 16 to 25.
const SECRET_LEN_MAX: usize = 128;
/// Longest name of a sender, of GSM.
const NAME_LEN_MAX: usize = 11;

/// security 109: every value is of its form before it can reach a header or a form field.
pub(super) fn check(settings: VonageSettings) -> Result<Checked, SettingError> {
    let VonageSettings { base_url, api_key, api_secret, from, receipts_url, signature, limits } = settings;
    if !(1..=KEY_LEN_MAX).contains(&api_key.len()) || !api_key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingError::new("vonage.api_key", "must be 1 to 64 letters and digits"));
    }
    let secret = api_secret.expose_secret();
    if !(1..=SECRET_LEN_MAX).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingError::new("vonage.api_secret", "must be 1 to 128 visible ASCII characters without spaces"));
    }
    if !is_sender(&from) {
        let reason = "must be 3 to 15 digits without +, or a name of up to 11 letters, digits and spaces";
        return Err(SettingError::new("vonage.from", reason));
    }
    if signature.as_ref().is_some_and(|signature| is_weak(&signature.secret)) {
        return Err(SettingError::new("vonage.signature_secret", WEAK));
    }
    limits.check(NAME)?;
    let base = outbound::base_url(NAME, &base_url)?;
    let send = outbound::under(NAME, &base, ["sms", "json"])?;
    let receipts_url = outbound::receipts_url(NAME, receipts_url.as_deref())?;
    Ok(Checked { send, api_key, api_secret, from, receipts_url, signature, limits })
}

/// True for who may send by Vonage.
pub(in crate::sms) fn is_sender(from: &str) -> bool {
    if from.bytes().all(|byte| byte.is_ascii_digit()) {
        return (3..=15).contains(&from.len()) && !from.starts_with('0');
    }
    from.len() <= NAME_LEN_MAX
        && from.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && from.trim() == from
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> VonageSettings {
        VonageSettings {
            api_key: "7f3ab1c9".to_owned(),
            api_secret: "very-secret-5f1c".into(),
            from: "Acme".to_owned(),
            ..VonageSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut VonageSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_pinned_to_host_and_method() {
        assert_eq!(check(good()).ok().unwrap().send.as_str(), "https://rest.nexmo.com/sms/json");
        let near = VonageSettings { base_url: "http://127.0.0.1:9003/".to_owned(), ..good() };
        assert_eq!(check(near).ok().unwrap().send.as_str(), "http://127.0.0.1:9003/sms/json");
    }

    #[test]
    fn senders_that_are_taken() {
        for from in ["447700900000", "12345", "Acme", "Acme 24", "ElevenChars"] {
            assert!(check(VonageSettings { from: from.to_owned(), ..good() }).is_ok(), "{from}");
        }
    }

    /// security 109: what could end a header or is no sender stops the start.
    #[test]
    fn wrong_forms_are_refused() {
        let long = "x".repeat(129);
        for key in ["", "a b", "a:b", "a\r\nb", "کلید", &long] {
            assert_eq!(refused(|settings| settings.api_key = key.to_owned()), "vonage.api_key", "{key:?}");
        }
        for secret in ["", "a b", "a\r\nb", "a\0", &long] {
            assert_eq!(refused(|settings| settings.api_secret = secret.into()), "vonage.api_secret", "{secret:?}");
        }
        for from in ["", " ", "12", "0123456", "+447700900000", "Acme,Other", "Acme\n", "TwelveLetter", "نام", "١٢٣"]
        {
            assert_eq!(refused(|settings| settings.from = from.to_owned()), "vonage.from", "{from:?}");
        }
        assert_eq!(refused(|settings| settings.base_url = "http://rest.nexmo.com".to_owned()), "vonage.base_url");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "vonage.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(VonageSettings { base_url: "ftp://very-secret-5f1c".to_owned(), ..good() }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        for secret in ["7f3ab1c9", "very-secret-5f1c"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
