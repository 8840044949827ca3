//! What the Telegram gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the token pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::NAME;
use crate::sms::{
    SettingError,
    outbound::{self, HttpLimits},
};

/// Settings of the Telegram gateway. `Debug` shows no token.
#[derive(Clone)]
pub struct TelegramSettings {
    /// Where the API is. Default `https://gatewayapi.telegram.org`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account's token, 1 to 256 visible ASCII characters.
    pub access_token: SecretString,
    /// The verified channel of the account's that sends: 1 to 32 letters, digits and underscores, without `@`. Default
    /// none: Telegram's own chat for codes.
    pub sender_username: Option<String>,
    /// Where it is to post its receipts: the whole public URL, without a query. Default none: it posts none.
    pub receipts_url: Option<String>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for TelegramSettings {
    fn default() -> Self {
        Self {
            base_url: "https://gatewayapi.telegram.org".to_owned(),
            access_token: SecretString::default(),
            sender_username: None,
            receipts_url: None,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for TelegramSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelegramSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) send: Url,
    pub(super) access_token: SecretString,
    pub(super) sender_username: Option<String>,
    pub(super) receipts_url: Option<Url>,
    pub(super) limits: HttpLimits,
}

/// Longest token; real ones have a third.
const TOKEN_LEN_MAX: usize = 256;
/// Longest user name of Telegram.
const USERNAME_LEN_MAX: usize = 32;

/// security 109: every value is of its form before it can reach a header or a body.
pub(super) fn check(settings: TelegramSettings) -> Result<Checked, SettingError> {
    let TelegramSettings { base_url, access_token, sender_username, receipts_url, limits } = settings;
    let token = access_token.expose_secret();
    if !(1..=TOKEN_LEN_MAX).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "must be 1 to 256 visible ASCII characters without spaces";
        return Err(SettingError::new("telegram.access_token", reason));
    }
    if sender_username.as_deref().is_some_and(|name| !is_username(name)) {
        let reason = "must be 1 to 32 letters, digits and underscores, without @";
        return Err(SettingError::new("telegram.sender_username", reason));
    }
    limits.check(NAME)?;
    let base = outbound::base_url(NAME, &base_url)?;
    let send = outbound::under(NAME, &base, ["sendVerificationMessage"])?;
    let receipts_url = outbound::receipts_url(NAME, receipts_url.as_deref())?;
    Ok(Checked { send, access_token, sender_username, receipts_url, limits })
}

fn is_username(text: &str) -> bool {
    (1..=USERNAME_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> TelegramSettings {
        TelegramSettings {
            access_token: "AAEFVerySecret:5f1c".into(),
            sender_username: Some("acme_codes".to_owned()),
            ..TelegramSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut TelegramSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_pinned_to_host_and_method() {
        let url = |base: &str| check(TelegramSettings { base_url: base.to_owned(), ..good() }).ok().unwrap().send;
        let own = check(good()).ok().unwrap().send;
        assert_eq!(own.as_str(), "https://gatewayapi.telegram.org/sendVerificationMessage");
        assert_eq!(url("http://127.0.0.1:9005/").as_str(), "http://127.0.0.1:9005/sendVerificationMessage");
    }

    /// security 109: what could end a header stops the start.
    #[test]
    fn wrong_forms_are_refused() {
        let long = "x".repeat(257);
        for token in ["", "a b", "a\r\nX: 1", "a\0", "کلید", &long] {
            assert_eq!(refused(|settings| settings.access_token = token.into()), "telegram.access_token", "{token:?}");
        }
        for name in ["", "@acme", "ac me", "acme\n", "نام", &long] {
            let setting = refused(|settings| settings.sender_username = Some(name.to_owned()));
            assert_eq!(setting, "telegram.sender_username", "{name:?}");
        }
        assert_eq!(
            refused(|settings| settings.base_url = "http://gatewayapi.telegram.org".to_owned()),
            "telegram.base_url"
        );
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "telegram.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(TelegramSettings { base_url: "ftp://AAEFVerySecret".to_owned(), ..good() }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        assert!(!shown.contains("AAEFVerySecret"), "{shown}");
    }
}
