//! What the Twilio gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::{fmt, net::IpAddr, time::Duration};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::{record::PhoneNumber, sms::SettingError};

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
    /// True if the account's test credentials are used: allows the magic senders +1500555000x.
    pub test_mode: bool,
    /// Longest time of one try, connecting and reading included, in milliseconds, 1 to 60,000. Default
    /// 8,000: Twilio answers within a second, and a person waits.
    pub timeout_ms: u64,
    /// Longest time to connect, in milliseconds. Less than `timeout_ms`, because only a failure to
    /// connect is known to have sent nothing. Default 3,000, one lost SYN and its repeat.
    pub connect_timeout_ms: u64,
    /// Longest answer that is read, in bytes, 1,024 and up. Default 64 KiB; real answers have about 1 KiB.
    pub response_bytes_max: usize,
    /// Most idle connections kept. Default 64: a burst beyond it connects anew.
    pub connections_idle_max: usize,
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
            test_mode: false,
            timeout_ms: 8_000,
            connect_timeout_ms: 3_000,
            response_bytes_max: 64 * 1024,
            connections_idle_max: 64,
        }
    }
}

impl fmt::Debug for TwilioSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioSettings")
            .field("test_mode", &self.test_mode)
            .field("timeout_ms", &self.timeout_ms)
            .field("connect_timeout_ms", &self.connect_timeout_ms)
            .field("response_bytes_max", &self.response_bytes_max)
            .field("connections_idle_max", &self.connections_idle_max)
            .finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) messages: Url,
    pub(super) user: String,
    pub(super) password: SecretString,
    pub(super) sender: Sender,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) response_bytes_max: usize,
    pub(super) connections_idle_max: usize,
}

/// Who a message comes from.
pub(super) enum Sender {
    From(String),
    MessagingService(String),
}

/// The one host where messages cost money and reach people.
const REAL_HOST: &str = "api.twilio.com";
/// Numbers of this start are Twilio's magic ones, good with test credentials only.
const MAGIC_START: &str = "+1500555000";
/// Longest `timeout_ms`.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Least `response_bytes_max`: room for a real answer.
const RESPONSE_BYTES_MIN: usize = 1_024;

/// security 109: every value is of its form before it can reach a header or a form field.
pub(super) fn check(settings: TwilioSettings) -> Result<Checked, SettingError> {
    if !is_sid("AC", &settings.account_sid) {
        return Err(SettingError::new("twilio.account_sid", "must be AC and 32 hexadecimal digits"));
    }
    if settings.api_key_sid.as_ref().is_some_and(|sid| !is_sid("SK", sid)) {
        return Err(SettingError::new("twilio.api_key_sid", "must be SK and 32 hexadecimal digits"));
    }
    let token = settings.auth_token.expose_secret();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingError::new("twilio.auth_token", "must be visible ASCII without spaces, and not empty"));
    }
    check_limits(&settings)?;
    let base = base_url(&settings.base_url)?;
    let real = base.host_str() == Some(REAL_HOST) && !settings.test_mode;
    let sender = sender(settings.from, settings.messaging_service_sid, real)?;
    Ok(Checked {
        messages: messages_url(base, &settings.account_sid)?,
        user: settings.api_key_sid.unwrap_or(settings.account_sid),
        password: settings.auth_token,
        sender,
        timeout: Duration::from_millis(settings.timeout_ms),
        connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
        response_bytes_max: settings.response_bytes_max,
        connections_idle_max: settings.connections_idle_max,
    })
}

fn check_limits(settings: &TwilioSettings) -> Result<(), SettingError> {
    if !(1..=TIMEOUT_MS_MAX).contains(&settings.timeout_ms) {
        return Err(SettingError::new("twilio.timeout_ms", "must be 1 to 60000"));
    }
    if !(1..settings.timeout_ms).contains(&settings.connect_timeout_ms) {
        return Err(SettingError::new("twilio.connect_timeout_ms", "must be at least 1 and less than timeout_ms"));
    }
    if settings.response_bytes_max < RESPONSE_BYTES_MIN {
        return Err(SettingError::new("twilio.response_bytes_max", "must be at least 1024"));
    }
    Ok(())
}

fn base_url(text: &str) -> Result<Url, SettingError> {
    let refuse = |reason| SettingError::new("twilio.base_url", reason);
    // The parser drops line feeds and tabs silently, so they are looked for in the text.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("must be visible ASCII without spaces"));
    }
    let url = Url::parse(text).map_err(|_| refuse("must be an absolute URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must not hold credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("must not have a query or a fragment"));
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(host) => Ok(url),
        _ => Err(refuse("must be https, or http to a loopback address")),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn messages_url(mut base: Url, account_sid: &str) -> Result<Url, SettingError> {
    base.path_segments_mut()
        .map_err(|()| SettingError::new("twilio.base_url", "must be able to hold a path"))?
        .pop_if_empty()
        .extend(["2010-04-01", "Accounts", account_sid, "Messages.json"]);
    Ok(base)
}

fn sender(from: Option<String>, service: Option<String>, real: bool) -> Result<Sender, SettingError> {
    match (from, service) {
        (Some(from), None) => {
            if real && from.starts_with(MAGIC_START) {
                let reason = "is one of Twilio's magic numbers, which fail with live credentials (see test_mode)";
                return Err(SettingError::new("twilio.from", reason));
            }
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

fn is_sid(kind: &str, sid: &str) -> bool {
    sid.strip_prefix(kind).is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
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
        assert_eq!(url("http://[::1]:4010/"), format!("http://[::1]:4010/{path}"));
        assert_eq!(url("https://relay.example/twilio/"), format!("https://relay.example/twilio/{path}"));
    }

    /// security 107: no plain HTTP beyond this machine, no credentials or tricks in the URL.
    #[test]
    fn base_urls_that_are_refused() {
        for base in [
            "",
            "api.twilio.com",
            "http://api.twilio.com",
            "http://169.254.169.254",
            "http://localhost.evil.example",
            "ftp://api.twilio.com",
            "file:///etc/passwd",
            "https://user:secret@api.twilio.com",
            "https://api.twilio.com?x=1",
            "https://api.twilio.com#x",
            "https://api.twilio.com\r\nX-Evil: 1",
            "https://api.twi\nlio.com",
            "https://api.twilio.com ",
        ] {
            assert_eq!(refused(|settings| settings.base_url = base.to_owned()), "twilio.base_url", "{base:?}");
        }
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
        assert_eq!(refused(|settings| settings.timeout_ms = 0), "twilio.timeout_ms");
        assert_eq!(refused(|settings| settings.connect_timeout_ms = 8_000), "twilio.connect_timeout_ms");
        assert_eq!(refused(|settings| settings.response_bytes_max = 1_023), "twilio.response_bytes_max");
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

    #[test]
    fn an_api_key_signs_in_for_the_account() {
        assert_eq!(taken(|_| {}).user, format!("AC{HEX}"));
        assert_eq!(taken(|settings| settings.api_key_sid = Some(format!("SK{HEX}"))).user, format!("SK{HEX}"));
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
