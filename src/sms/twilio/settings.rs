//! What the Twilio gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::SecretString;

use super::{
    NAME,
    account::{Account, is_sid},
};
use crate::{
    record::PhoneNumber,
    sms::{
        SettingError,
        outbound::{self, HttpLimits},
    },
};

/// Settings of the Twilio gateway. `Debug` shows no account and no token.
#[derive(Clone)]
pub struct TwilioSettings {
    /// Where the API is. Default `https://api.twilio.com`. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// The account: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// An API key (`SK` and 32 hexadecimal digits) to sign in with instead of the account, as Twilio
    /// advises; `auth_token` is then the key's secret.
    pub api_key_sid: Option<String>,
    /// The account's token, or the API key's secret.
    pub auth_token: SecretString,
    /// The sender: a number in E.164, a short code of 3 to 8 digits, or a name of 1 to 11 letters. Either this or
    /// `messaging_service_sid`.
    pub from: Option<String>,
    /// The messaging service that picks the sender: `MG` and 32 hexadecimal digits.
    pub messaging_service_sid: Option<String>,
    /// The number of yours that sends by WhatsApp, E.164. Default none: text messages only. Goes with
    /// `whatsapp_content_sid`.
    pub whatsapp_from: Option<String>,
    /// The template that WhatsApp approved for codes: `HX` and 32 hexadecimal digits. Its variable `{{1}}` is the code.
    pub whatsapp_content_sid: Option<String>,
    /// True if the account's test credentials are used: allows the magic senders +1500555000x.
    pub test_mode: bool,
    /// Where it is to post its receipts: the whole public URL, without a query. Default none: it posts none.
    pub receipts_url: Option<String>,
    /// The account's token, which receipts are signed with, where `auth_token` is an API key's secret. Default none.
    pub receipts_auth_token: Option<SecretString>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for TwilioSettings {
    fn default() -> Self {
        Self {
            base_url: format!("https://{REAL_HOST}"),
            account_sid: String::new(),
            api_key_sid: None,
            auth_token: SecretString::default(),
            from: None,
            messaging_service_sid: None,
            whatsapp_from: None,
            whatsapp_content_sid: None,
            test_mode: false,
            receipts_url: None,
            receipts_auth_token: None,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for TwilioSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioSettings")
            .field("test_mode", &self.test_mode)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) messages: Url,
    pub(super) account: Account,
    pub(super) sender: Sender,
    pub(super) whatsapp: Option<Whatsapp>,
    pub(super) receipts_url: Option<Url>,
    /// What receipts are signed with, if it is known.
    pub(super) receipts_token: Option<SecretString>,
    pub(super) limits: HttpLimits,
}

/// Who a message comes from.
pub(super) enum Sender {
    From(String),
    MessagingService(String),
}

/// Who a WhatsApp message comes from, and its words.
pub(super) struct Whatsapp {
    /// As Twilio wants it: `whatsapp:` and the number.
    pub(super) from: String,
    pub(super) content_sid: String,
}

/// The one host where messages cost money and reach people.
const REAL_HOST: &str = "api.twilio.com";
/// Numbers of this start are Twilio's magic ones, good with test credentials only.
const MAGIC_START: &str = "+1500555000";

/// security 109: every value is of its form before it can reach a header or a form field.
pub(super) fn check(settings: TwilioSettings) -> Result<Checked, SettingError> {
    let account = Account::check(NAME, &settings.account_sid, settings.api_key_sid, settings.auth_token)?;
    let receipts_token = account.receipts_token(NAME, settings.receipts_auth_token)?;
    settings.limits.check(NAME)?;
    let base = outbound::base_url(NAME, &settings.base_url)?;
    let whatsapp = whatsapp(settings.whatsapp_from, settings.whatsapp_content_sid)?;
    let sender = sender(settings.from, settings.messaging_service_sid)?;
    if let Sender::From(from) = &sender
        && is_magic(from, &base, settings.test_mode)
    {
        return Err(SettingError::new("twilio.from", MAGIC));
    }
    Ok(Checked {
        messages: outbound::under(NAME, &base, ["2010-04-01", "Accounts", &settings.account_sid, "Messages.json"])?,
        account,
        sender,
        whatsapp,
        receipts_url: outbound::receipts_url(NAME, settings.receipts_url.as_deref())?,
        receipts_token,
        limits: settings.limits,
    })
}

/// True for a magic sender where it fails: with live credentials at Twilio itself.
pub(in crate::sms) fn is_magic(from: &str, base: &Url, test_mode: bool) -> bool {
    from.starts_with(MAGIC_START) && base.host_str() == Some(REAL_HOST) && !test_mode
}

/// Why a magic sender is refused.
pub(in crate::sms) const MAGIC: &str =
    "is one of Twilio's magic numbers, which fail with live credentials (see test_mode)";

fn sender(from: Option<String>, service: Option<String>) -> Result<Sender, SettingError> {
    match (from, service) {
        (Some(from), None) => {
            if !is_sender(&from) {
                let reason = "must be an E.164 number, a short code, or a name of up to 11 letters";
                return Err(SettingError::new("twilio.from", reason));
            }
            Ok(Sender::From(from))
        }
        (None, Some(sid)) if is_sid("MG", &sid) => Ok(Sender::MessagingService(sid)),
        (None, Some(_)) => {
            Err(SettingError::new("twilio.messaging_service_sid", "must be MG and 32 hexadecimal digits"))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(SettingError::new("twilio.from", "exactly one of from and messaging_service_sid must be set"))
        }
    }
}

fn whatsapp(from: Option<String>, content_sid: Option<String>) -> Result<Option<Whatsapp>, SettingError> {
    let (from, content_sid) = match (from, content_sid) {
        (None, None) => return Ok(None),
        (Some(from), Some(content_sid)) => (from, content_sid),
        (Some(_), None) | (None, Some(_)) => {
            let reason = "must be set together with whatsapp_from: WhatsApp lets nobody start with free words";
            return Err(SettingError::new("twilio.whatsapp_content_sid", reason));
        }
    };
    if PhoneNumber::from_e164(&from).is_err() {
        return Err(SettingError::new("twilio.whatsapp_from", "must be an E.164 number, without whatsapp:"));
    }
    if !is_sid("HX", &content_sid) {
        return Err(SettingError::new("twilio.whatsapp_content_sid", "must be HX and 32 hexadecimal digits"));
    }
    Ok(Some(Whatsapp { from: format!("whatsapp:{from}"), content_sid }))
}

fn is_sender(from: &str) -> bool {
    if from.starts_with('+') {
        return PhoneNumber::from_e164(from).is_ok();
    }
    if from.bytes().all(|byte| byte.is_ascii_digit()) {
        return (3..=8).contains(&from.len());
    }
    // Twilio's alphanumeric sender: letters, digits and spaces, at least one letter, at most 11.
    from.len() <= 11
        && from.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && from.bytes().any(|byte| byte.is_ascii_alphabetic())
        && from.trim() == from
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    fn good() -> TwilioSettings {
        TwilioSettings {
            account_sid: format!("AC{HEX}"),
            auth_token: "a-very-secret-token".into(),
            from: Some("+12025550100".to_owned()),
            ..TwilioSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut TwilioSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    fn taken(change: impl FnOnce(&mut TwilioSettings)) -> Checked {
        let mut settings = good();
        change(&mut settings);
        check(settings).expect("taken")
    }

    #[test]
    fn the_url_is_pinned_to_host_and_account() {
        let url = |base: &str| taken(|settings| settings.base_url = base.to_owned()).messages.to_string();
        let path = format!("2010-04-01/Accounts/AC{HEX}/Messages.json");
        assert_eq!(taken(|_| {}).messages.as_str(), format!("https://api.twilio.com/{path}"));
        assert_eq!(url("http://127.0.0.1:4010"), format!("http://127.0.0.1:4010/{path}"));
        assert_eq!(refused(|settings| settings.base_url = "http://api.twilio.com".to_owned()), "twilio.base_url");
    }

    /// security 109: line breaks and control characters in each value stop the start.
    #[test]
    fn line_breaks_in_each_value_are_refused() {
        for bad in ["\r\n", "\n", "\r", "\0", "\u{7f}"] {
            assert_eq!(refused(|settings| settings.account_sid.push_str(bad)), "twilio.account_sid");
            assert_eq!(refused(|settings| settings.api_key_sid = Some(format!("SK{HEX}{bad}"))), "twilio.api_key_sid");
            assert_eq!(refused(|settings| settings.auth_token = format!("t{bad}X: 1").into()), "twilio.auth_token");
            for from in [format!("+12025550100{bad}"), format!("12345{bad}"), format!("Acme{bad}")] {
                assert_eq!(refused(|settings| settings.from = Some(from.clone())), "twilio.from");
            }
            let service = refused(|settings| {
                settings.from = None;
                settings.messaging_service_sid = Some(format!("MG{HEX}{bad}"));
            });
            assert_eq!(service, "twilio.messaging_service_sid");
        }
    }

    #[test]
    fn wrong_forms_are_refused() {
        for sid in ["", "AC", HEX, "AC0123", "AC0123456789abcdef0123456789abcdeg", "AC../0123456789abcdef012345678"] {
            assert_eq!(refused(|settings| settings.account_sid = sid.to_owned()), "twilio.account_sid");
        }
        assert_eq!(refused(|settings| settings.auth_token = SecretString::default()), "twilio.auth_token");
        for from in
            ["", " ", "+0123456789", "12", "123456789", "AcmeAcmeAcme", "Acme!", " Acme", "٠١٢٣", "+12025550100,+1"]
        {
            assert_eq!(refused(|settings| settings.from = Some(from.to_owned())), "twilio.from", "{from:?}");
        }
        assert_eq!(refused(|settings| settings.from = None), "twilio.from");
        assert_eq!(refused(|settings| settings.messaging_service_sid = Some(format!("MG{HEX}"))), "twilio.from");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "twilio.timeout_ms");
        assert_eq!(refused(|settings| settings.limits.connect_timeout_ms = 0), "twilio.connect_timeout_ms");
        assert_eq!(refused(|settings| settings.limits.response_bytes_max = 1_023), "twilio.response_bytes_max");
    }

    #[test]
    fn magic_senders_need_test_mode_or_another_host() {
        let magic = || Some("+15005550006".to_owned());
        assert_eq!(refused(|settings| settings.from = magic()), "twilio.from");
        let upper = refused(|settings| {
            settings.from = magic();
            settings.base_url = "https://API.TWILIO.COM".to_owned();
        });
        assert_eq!(upper, "twilio.from");
        taken(|settings| {
            settings.from = magic();
            settings.test_mode = true;
        });
        taken(|settings| {
            settings.from = magic();
            settings.base_url = "http://127.0.0.1:4010".to_owned();
        });
    }

    /// WhatsApp is there with a number and an approved template, or not at all.
    #[test]
    fn whatsapp_needs_a_number_and_a_template() {
        assert!(taken(|_| {}).whatsapp.is_none());
        let number = || Some("+12025550100".to_owned());
        let template = || Some(format!("HX{HEX}"));
        let both = |from: Option<String>, content_sid: Option<String>| {
            move |settings: &mut TwilioSettings| {
                settings.whatsapp_from = from;
                settings.whatsapp_content_sid = content_sid;
            }
        };
        let whatsapp = taken(both(number(), template())).whatsapp.expect("both are there");
        assert_eq!(whatsapp.from, "whatsapp:+12025550100");
        assert_eq!(refused(both(number(), None)), "twilio.whatsapp_content_sid");
        assert_eq!(refused(both(None, template())), "twilio.whatsapp_content_sid");
        assert_eq!(refused(both(number(), Some(format!("MG{HEX}")))), "twilio.whatsapp_content_sid");
        for from in ["whatsapp:+12025550100", "12025550100", "+12025550100\n", ""] {
            assert_eq!(refused(both(Some(from.to_owned()), template())), "twilio.whatsapp_from", "{from:?}");
        }
    }

    #[test]
    fn an_api_key_signs_in_for_the_account() {
        assert_eq!(taken(|_| {}).account.user(), format!("AC{HEX}"));
        let key = taken(|settings| settings.api_key_sid = Some(format!("SK{HEX}")));
        assert_eq!(key.account.user(), format!("SK{HEX}"));
    }

    /// Twilio signs by the account's token, which an API key's secret is not.
    #[test]
    fn receipts_are_signed_by_the_accounts_token() {
        let token = |checked: Checked| checked.receipts_token.map(|token| token.expose_secret().to_owned());
        assert_eq!(token(taken(|_| {})).as_deref(), Some("a-very-secret-token"));
        let key = |settings: &mut TwilioSettings| settings.api_key_sid = Some(format!("SK{HEX}"));
        assert_eq!(token(taken(key)), None);
        let both = taken(|settings| {
            key(settings);
            settings.receipts_auth_token = Some("the-accounts-token".into());
        });
        assert_eq!(token(both).as_deref(), Some("the-accounts-token"));
        let empty = refused(|settings| settings.receipts_auth_token = Some(SecretString::default()));
        assert_eq!(empty, "twilio.receipts_auth_token");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let settings = good();
        let mut shown = format!("{settings:?} {settings:#?}");
        let error = check(TwilioSettings { from: None, ..settings }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        for secret in ["a-very-secret-token", HEX, "+12025550100"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
