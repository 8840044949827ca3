//! What the Vonage Messages gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{NAME, login::Login};
use crate::sms::{
    SettingError,
    outbound::{self, HttpLimits},
    vonage::{is_sender, receipt},
};

/// Settings of the Vonage Messages gateway. `Debug` shows no account and no secret.
#[derive(Clone)]
pub struct VonageMessagesSettings {
    /// Where the API is. Default `https://api.nexmo.com`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account's key, 1 to 64 letters and digits; with `api_secret`. Either both or `application_id`.
    pub api_key: Option<String>,
    /// The account's secret, 1 to 128 visible ASCII characters.
    pub api_secret: Option<SecretString>,
    /// The application that signs in, a UUID; with `private_key`.
    pub application_id: Option<String>,
    /// The application's RSA key, PEM.
    pub private_key: Option<SecretString>,
    /// The sender: a number of 7 to 15 digits without `+`, a short code of 3 to 6, or a name of 1 to 11 letters, digits
    /// and spaces.
    pub from: String,
    /// Where it is to post its receipts: the whole public URL, without a query. Default none: the application's own.
    pub receipts_url: Option<String>,
    /// What receipts are signed with: the account's signature secret, 8 characters and more. Default none: no receipts are
    /// taken.
    pub signature_secret: Option<SecretString>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for VonageMessagesSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.nexmo.com".to_owned(),
            api_key: None,
            api_secret: None,
            application_id: None,
            private_key: None,
            from: String::new(),
            receipts_url: None,
            signature_secret: None,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for VonageMessagesSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VonageMessagesSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) messages: Url,
    pub(super) login: Login,
    pub(super) from: String,
    pub(super) receipts_url: Option<Url>,
    pub(super) signature_secret: Option<SecretString>,
    pub(super) limits: HttpLimits,
}

/// Longest key; real ones have 8.
const KEY_LEN_MAX: usize = 64;
/// Longest secret; real ones have 16 to 25.
const SECRET_LEN_MAX: usize = 128;

/// security 109: every value is of its form before it can reach a header or a body.
pub(super) fn check(settings: VonageMessagesSettings) -> Result<Checked, SettingError> {
    let refuse = |name: &str, reason| SettingError::new(format!("{NAME}.{name}"), reason);
    if !is_sender(&settings.from) {
        return Err(refuse(
            "from",
            "must be 3 to 15 digits without +, or a name of up to 11 letters, digits and spaces",
        ));
    }
    if settings.signature_secret.as_ref().is_some_and(receipt::is_weak) {
        return Err(refuse("signature_secret", receipt::WEAK));
    }
    settings.limits.check(NAME)?;
    let base = outbound::base_url(NAME, &settings.base_url)?;
    let login = match (settings.api_key, settings.api_secret, settings.application_id, settings.private_key) {
        (Some(key), Some(secret), None, None) => account(key, secret)?,
        (None, None, Some(id), Some(key)) => application(id, &key)?,
        _ => {
            let reason = "must be set with api_secret, or application_id with private_key, and not both pairs";
            return Err(refuse("api_key", reason));
        }
    };
    Ok(Checked {
        messages: outbound::under(NAME, &base, ["v1", "messages"])?,
        login,
        from: settings.from,
        receipts_url: outbound::receipts_url(NAME, settings.receipts_url.as_deref())?,
        signature_secret: settings.signature_secret,
        limits: settings.limits,
    })
}

fn account(api_key: String, api_secret: SecretString) -> Result<Login, SettingError> {
    if !(1..=KEY_LEN_MAX).contains(&api_key.len()) || !api_key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingError::new("vonage_messages.api_key", "must be 1 to 64 letters and digits"));
    }
    let secret = api_secret.expose_secret();
    if !(1..=SECRET_LEN_MAX).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "must be 1 to 128 visible ASCII characters without spaces";
        return Err(SettingError::new("vonage_messages.api_secret", reason));
    }
    Ok(Login::Account { api_key, api_secret })
}

fn application(id: String, private_key: &SecretString) -> Result<Login, SettingError> {
    let is_uuid = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !is_uuid {
        return Err(SettingError::new("vonage_messages.application_id", "must be the application's id, a UUID"));
    }
    Login::application(id, private_key).ok_or_else(|| {
        SettingError::new("vonage_messages.private_key", "must be an RSA private key of 2048 bits or more, PEM")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> VonageMessagesSettings {
        VonageMessagesSettings {
            api_key: Some("abcd1234".to_owned()),
            api_secret: Some("very-secret-5f1c".into()),
            from: "Acme".to_owned(),
            ..VonageMessagesSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut VonageMessagesSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_pinned_to_the_host() {
        assert_eq!(check(good()).ok().unwrap().messages.as_str(), "https://api.nexmo.com/v1/messages");
    }

    /// security 109: what could end a line, and a login that is half or twice there, stop the start.
    #[test]
    fn wrong_forms_are_refused() {
        for key in ["", "abc-1", "a\r\nb"] {
            assert_eq!(
                refused(|settings| settings.api_key = Some(key.to_owned())),
                "vonage_messages.api_key",
                "{key:?}"
            );
        }
        for secret in ["", "a b", "a\r\nX: 1"] {
            let setting = refused(|settings| settings.api_secret = Some(secret.into()));
            assert_eq!(setting, "vonage_messages.api_secret", "{secret:?}");
        }
        assert_eq!(refused(|settings| settings.api_secret = None), "vonage_messages.api_key");
        assert_eq!(refused(|settings| settings.application_id = Some(String::new())), "vonage_messages.api_key");
        let application = |id: &str, key: &str| {
            let (id, key) = (id.to_owned(), key.to_owned());
            refused(move |settings| {
                (settings.api_key, settings.api_secret) = (None, None);
                (settings.application_id, settings.private_key) = (Some(id), Some(key.into()));
            })
        };
        let id = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab";
        assert_eq!(application("not an id", "x"), "vonage_messages.application_id");
        for key in ["", "very-secret-5f1c", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert_eq!(application(id, key), "vonage_messages.private_key", "{key:?}");
        }
        for from in ["", "+12025550100", "AcmeAcmeAcme", "Acme!"] {
            assert_eq!(refused(|settings| settings.from = from.to_owned()), "vonage_messages.from", "{from:?}");
        }
        for secret in ["", "1234567"] {
            let setting = refused(|settings| settings.signature_secret = Some(secret.into()));
            assert_eq!(setting, "vonage_messages.signature_secret", "{secret:?}");
        }
        let plain = "http://api.nexmo.com".to_owned();
        assert_eq!(refused(|settings| settings.base_url = plain), "vonage_messages.base_url");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "vonage_messages.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(VonageMessagesSettings { from: "very-secret-5f1c".to_owned(), ..good() }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        assert!(!shown.contains("very-secret-5f1c") && !shown.contains("abcd1234"), "{shown}");
    }
}
