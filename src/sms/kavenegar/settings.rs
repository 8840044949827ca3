//! What the Kavenegar gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the key pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::NAME;
use crate::sms::{
    SettingError,
    outbound::{self, HttpLimits},
    receipt::secret_path::UnsignedReceipts,
};

/// Settings of the Kavenegar gateway. `Debug` shows no key and no line.
#[derive(Clone)]
pub struct KavenegarSettings {
    /// Where the API is. Default `https://api.kavenegar.com`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account's key, 1 to 256 letters and digits (and `-`, `_`, `=`, `+`): it becomes a part of the URL's path.
    pub api_key: SecretString,
    /// The line that sends texts, 3 to 20 digits. Default none: the account's own. A template has its line.
    pub sender: Option<String>,
    /// The template that codes are sent by (`verify/lookup`), as it is called in the panel: letters, digits, `-`, `_`,
    /// at most 64. Its `%token` is the code. Default none: our text goes out by `sms/send`.
    pub template: Option<String>,
    /// Who may post receipts. Default: none are taken.
    pub receipts: UnsignedReceipts,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for KavenegarSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.kavenegar.com".to_owned(),
            api_key: SecretString::default(),
            sender: None,
            template: None,
            receipts: UnsignedReceipts::default(),
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for KavenegarSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KavenegarSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed. The URLs hold the key.
pub(super) struct Checked {
    pub(super) send: Url,
    pub(super) lookup: Option<Lookup>,
    pub(super) sender: Option<String>,
    /// Where states of messages are asked for.
    pub(super) status: Url,
    pub(super) receipts: UnsignedReceipts,
    pub(super) limits: HttpLimits,
}

/// How codes go out by template.
pub(super) struct Lookup {
    pub(super) url: Url,
    pub(super) template: String,
}

/// Longest key; real ones have less than half.
const KEY_LEN_MAX: usize = 256;
/// Longest name of a template.
const TEMPLATE_LEN_MAX: usize = 64;

/// security 109: every value is of its form before it can reach a path or a form field.
pub(super) fn check(settings: &KavenegarSettings) -> Result<Checked, SettingError> {
    let key = settings.api_key.expose_secret();
    if !is_word(key, b"-_=+", KEY_LEN_MAX) {
        return Err(SettingError::new("kavenegar.api_key", "must be 1 to 256 letters and digits, - _ = + among them"));
    }
    if settings.sender.as_deref().is_some_and(|line| !is_line(line)) {
        return Err(SettingError::new("kavenegar.sender", "must be a line of 3 to 20 digits"));
    }
    if settings.template.as_deref().is_some_and(|name| !is_word(name, b"-_", TEMPLATE_LEN_MAX)) {
        let reason = "must be a template's name: at most 64 letters, digits, hyphens and underscores";
        return Err(SettingError::new("kavenegar.template", reason));
    }
    settings.limits.check(NAME)?;
    let base = outbound::base_url(NAME, &settings.base_url)?;
    let method = |scope, method| outbound::under(NAME, &base, ["v1", key, scope, method]);
    let lookup = match settings.template.clone() {
        Some(template) => Some(Lookup { url: method("verify", "lookup.json")?, template }),
        None => None,
    };
    Ok(Checked {
        send: method("sms", "send.json")?,
        lookup,
        sender: settings.sender.clone(),
        status: method("sms", "status.json")?,
        receipts: settings.receipts.clone().check(NAME)?,
        limits: settings.limits,
    })
}

/// Letters, digits and these marks; so never `.` or `..`, which a path would swallow.
fn is_word(text: &str, marks: &[u8], len_max: usize) -> bool {
    (1..=len_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

fn is_line(text: &str) -> bool {
    (3..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "4D6B7A5678secretKEY==";

    fn good() -> KavenegarSettings {
        KavenegarSettings {
            api_key: KEY.into(),
            sender: Some("10008663".to_owned()),
            template: Some("sign-in".to_owned()),
            ..KavenegarSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut KavenegarSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(&settings).err().expect("refused").setting
    }

    #[test]
    fn the_urls_are_pinned_to_host_and_key() {
        let checked = check(&good()).ok().unwrap();
        assert_eq!(checked.send.as_str(), format!("https://api.kavenegar.com/v1/{KEY}/sms/send.json"));
        let lookup = checked.lookup.unwrap();
        assert_eq!(lookup.url.as_str(), format!("https://api.kavenegar.com/v1/{KEY}/verify/lookup.json"));
        assert_eq!(lookup.template, "sign-in");
        let plain = check(&KavenegarSettings { template: None, sender: None, ..good() }).ok().unwrap();
        assert!(plain.lookup.is_none() && plain.sender.is_none());
    }

    /// security 109: what could end a line, a path segment or become a list stops the start.
    #[test]
    fn wrong_forms_are_refused() {
        let long = "k".repeat(257);
        for key in ["", ".", "..", "a/b", "a b", "a?b", "a#b", "a%2fb", "k\r\nX: 1", "k\0", "کلید", &long] {
            assert_eq!(refused(|settings| settings.api_key = key.into()), "kavenegar.api_key", "{key:?}");
        }
        for line in ["", "12", "+9810008663", "1000,2000", "1000 2000", "10008663\n", "۱۰۰۰", "Acme"] {
            assert_eq!(refused(|settings| settings.sender = Some(line.to_owned())), "kavenegar.sender", "{line:?}");
        }
        for name in ["", "two words", "a,b", "name\r\n", "الگو"] {
            assert_eq!(refused(|settings| settings.template = Some(name.to_owned())), "kavenegar.template", "{name:?}");
        }
        assert_eq!(refused(|settings| settings.base_url = "http://example.com".to_owned()), "kavenegar.base_url");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "kavenegar.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        for settings in [
            KavenegarSettings { api_key: format!("{KEY} ").into(), ..good() },
            KavenegarSettings { base_url: format!("ftp://{KEY}"), ..good() },
        ] {
            let error = check(&settings).err().unwrap();
            shown.push_str(&format!("{error} {error:?}"));
        }
        assert!(!shown.contains(KEY) && !shown.contains("10008663"), "{shown}");
    }
}
