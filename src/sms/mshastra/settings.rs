//! What the mShastra gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the password pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::NAME;
use crate::sms::{
    SettingError,
    outbound::{self, HttpLimits},
    receipt::secret_path::UnsignedReceipts,
};

/// Settings of the mShastra gateway. `Debug` shows no user, password or sender.
#[derive(Clone)]
pub struct MshastraSettings {
    /// Where the API is. Default `https://mshastra.com`. Plain HTTP, common among its users, is taken for loopback only.
    pub base_url: String,
    /// The profile's user: visible ASCII, 1 to 128 characters.
    pub user: String,
    /// The profile's password, 1 to 128 characters without control characters.
    pub password: SecretString,
    /// The approved sender: 1 to 13 (mShastra's own limit) ASCII letters, digits, spaces, `-`, `_`, `.`.
    pub sender: String,
    /// Who may post receipts. Default: none are taken.
    pub receipts: UnsignedReceipts,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for MshastraSettings {
    fn default() -> Self {
        Self {
            base_url: "https://mshastra.com".to_owned(),
            user: String::new(),
            password: SecretString::default(),
            sender: String::new(),
            receipts: UnsignedReceipts::default(),
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for MshastraSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MshastraSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) send: Url,
    pub(super) user: String,
    pub(super) password: SecretString,
    pub(super) sender: String,
    pub(super) receipts: UnsignedReceipts,
    pub(super) limits: HttpLimits,
}

/// Longest user and password, in characters.
const CREDENTIAL_LEN_MAX: usize = 128;
/// Longest sender: the provider's code 012.
const SENDER_LEN_MAX: usize = 13;

/// security 109: every value is of its form before it can reach a body.
pub(super) fn check(settings: MshastraSettings) -> Result<Checked, SettingError> {
    let MshastraSettings { base_url, user, password, sender, receipts, limits } = settings;
    if user.is_empty() || user.len() > CREDENTIAL_LEN_MAX || !user.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingError::new("mshastra.user", "must be 1 to 128 visible ASCII characters without spaces"));
    }
    if !is_password(password.expose_secret()) {
        let reason = "must be 1 to 128 characters, none of them a control character";
        return Err(SettingError::new("mshastra.password", reason));
    }
    if !is_sender(&sender) {
        return Err(SettingError::new("mshastra.sender", "must be 1 to 13 letters, digits, spaces or - _ ."));
    }
    limits.check(NAME)?;
    let base = outbound::base_url(NAME, &base_url)?;
    let (send, receipts) = (outbound::under(NAME, &base, ["sendsms_api_json.aspx"])?, receipts.check(NAME)?);
    Ok(Checked { send, user, password, sender, receipts, limits })
}

fn is_password(text: &str) -> bool {
    (1..=CREDENTIAL_LEN_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_sender(text: &str) -> bool {
    (1..=SENDER_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_.".contains(&byte))
        && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> MshastraSettings {
        MshastraSettings {
            user: "acme-profile".to_owned(),
            password: "pass-4f1c,9".into(),
            sender: "Acme".to_owned(),
            ..MshastraSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut MshastraSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_pinned_to_host_and_method() {
        let url = |base: &str| check(MshastraSettings { base_url: base.to_owned(), ..good() }).ok().unwrap().send;
        assert_eq!(check(good()).ok().unwrap().send.as_str(), "https://mshastra.com/sendsms_api_json.aspx");
        assert_eq!(url("http://127.0.0.1:9002").as_str(), "http://127.0.0.1:9002/sendsms_api_json.aspx");
    }

    /// security 109: control characters and lists in each value stop the start.
    #[test]
    fn wrong_forms_are_refused() {
        let long = "x".repeat(129);
        for user in ["", "a b", "a\r\nb", "کاربر", &long] {
            assert_eq!(refused(|settings| settings.user = user.to_owned()), "mshastra.user", "{user:?}");
        }
        for password in ["", "a\r\nb", "a\0", &long] {
            assert_eq!(refused(|settings| settings.password = password.into()), "mshastra.password", "{password:?}");
        }
        for sender in ["", " Acme", "Acme,Other", "Acme\n", "FourteenLetter", "نام"] {
            assert_eq!(refused(|settings| settings.sender = sender.to_owned()), "mshastra.sender", "{sender:?}");
        }
        assert_eq!(refused(|settings| settings.base_url = "http://mshastra.com".to_owned()), "mshastra.base_url");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 60_001), "mshastra.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(MshastraSettings { base_url: "ftp://pass-4f1c,9".to_owned(), ..good() }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        for secret in ["acme-profile", "pass-4f1c,9"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
