//! What the SNS gateway is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::{NAME, SERVICE, sigv4::Signer};
use crate::sms::{
    SettingError,
    outbound::{self, HttpLimits},
};

/// Settings of the SNS gateway. `Debug` shows no account and no key. Temporary credentials are not among them: they end
/// within hours, and a server runs longer.
#[derive(Clone, Default)]
pub struct SnsSettings {
    /// Where the API is, without a path. Default none: the region's own, `https://sns.REGION.amazonaws.com`. Plain HTTP is
    /// taken for loopback only.
    pub base_url: Option<String>,
    /// The region, as in `eu-central-1`.
    pub region: String,
    /// The key's id, 16 to 128 letters and digits.
    pub access_key_id: String,
    /// The key, 1 to 128 visible ASCII characters.
    pub secret_access_key: SecretString,
    /// The name that is shown as sender where that is allowed: 1 to 11 letters, digits and hyphens, a letter among them.
    /// Default none: AWS picks.
    pub sender_id: Option<String>,
    /// The number that sends, in E.164 or a short code of 3 to 8 digits. Default none: AWS picks.
    pub origination_number: Option<String>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl fmt::Debug for SnsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnsSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) signer: Signer,
    pub(super) attributes: Vec<(&'static str, String)>,
    pub(super) limits: HttpLimits,
}

/// Longest name of a region; real ones have 14 letters.
const REGION_LEN_MAX: usize = 32;
/// Lengths of a key's id, of the IAM reference.
const KEY_ID_LEN: (usize, usize) = (16, 128);
/// Longest key; real ones have 40.
const SECRET_LEN_MAX: usize = 128;
/// Longest name of a sender, of GSM.
const SENDER_LEN_MAX: usize = 11;

/// security 109: every value is of its form before it can reach a host, a header or a form field.
pub(super) fn check(settings: SnsSettings) -> Result<Checked, SettingError> {
    if !is_region(&settings.region) {
        return Err(SettingError::new("sns.region", "must be a region, as in eu-central-1"));
    }
    let id = settings.access_key_id.as_str();
    if !(KEY_ID_LEN.0..=KEY_ID_LEN.1).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingError::new("sns.access_key_id", "must be 16 to 128 letters and digits"));
    }
    let secret = settings.secret_access_key.expose_secret();
    if !(1..=SECRET_LEN_MAX).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "must be 1 to 128 visible ASCII characters without spaces";
        return Err(SettingError::new("sns.secret_access_key", reason));
    }
    settings.limits.check(NAME)?;
    let (url, host) = endpoint(settings.base_url.as_deref(), &settings.region)?;
    let attributes = attributes(&settings)?;
    let SnsSettings { access_key_id, secret_access_key, region, limits, .. } = settings;
    let signer = Signer { access_key_id, secret_access_key, region, service: SERVICE };
    Ok(Checked { url, host, signer, attributes, limits })
}

/// The URL, and the `Host` that goes with it.
fn endpoint(base_url: Option<&str>, region: &str) -> Result<(Url, String), SettingError> {
    let refuse = || SettingError::new("sns.base_url", "must have a host and no path, which is not signed");
    let own = format!("https://sns.{region}.amazonaws.com{}", if region.starts_with("cn-") { ".cn" } else { "" });
    let url = outbound::base_url(NAME, base_url.unwrap_or(&own))?;
    let host = url.host_str().filter(|_| url.path() == "/").ok_or_else(refuse)?;
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Ok((url, host))
}

fn attributes(settings: &SnsSettings) -> Result<Vec<(&'static str, String)>, SettingError> {
    // Without it a message is "promotional": cheaper, later, and not at night.
    let mut attributes = vec![("AWS.SNS.SMS.SMSType", "Transactional".to_owned())];
    if let Some(sender) = &settings.sender_id {
        if !is_sender(sender) {
            let reason = "must be 1 to 11 letters, digits and hyphens, a letter among them";
            return Err(SettingError::new("sns.sender_id", reason));
        }
        attributes.push(("AWS.SNS.SMS.SenderID", sender.clone()));
    }
    if let Some(number) = &settings.origination_number {
        if !is_number(number) {
            return Err(SettingError::new("sns.origination_number", "must be an E.164 number or a short code"));
        }
        attributes.push(("AWS.MM.SMS.OriginationNumber", number.clone()));
    }
    Ok(attributes)
}

fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=REGION_LEN_MAX).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_sender(text: &str) -> bool {
    (1..=SENDER_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.strip_prefix('+') {
        Some(rest) => (7..=15).contains(&rest.len()) && digits(rest),
        None => (3..=8).contains(&text.len()) && digits(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> SnsSettings {
        SnsSettings {
            region: "eu-central-1".to_owned(),
            access_key_id: "AKIDEXAMPLE12345".to_owned(),
            secret_access_key: "very/secret+5f1c".into(),
            ..SnsSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut SnsSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_the_regions() {
        let host = |region: &str, base: Option<&str>| {
            let base_url = base.map(str::to_owned);
            let checked = check(SnsSettings { region: region.to_owned(), base_url, ..good() }).ok().unwrap();
            (checked.url.to_string(), checked.host)
        };
        let pair = |url: &str, host: &str| (url.to_owned(), host.to_owned());
        let own = pair("https://sns.eu-central-1.amazonaws.com/", "sns.eu-central-1.amazonaws.com");
        assert_eq!(host("eu-central-1", None), own);
        let china = pair("https://sns.cn-north-1.amazonaws.com.cn/", "sns.cn-north-1.amazonaws.com.cn");
        assert_eq!(host("cn-north-1", None), china);
        let near = pair("http://127.0.0.1:9004/", "127.0.0.1:9004");
        assert_eq!(host("us-east-1", Some("http://127.0.0.1:9004")), near);
        // The scheme's own port is not written into `Host`.
        assert_eq!(host("us-east-1", Some("https://vpce.example:443/")), pair("https://vpce.example/", "vpce.example"));
    }

    #[test]
    fn the_sender_is_an_attribute() {
        let names = |settings| check(settings).ok().unwrap().attributes.into_iter().map(|(name, _)| name).collect();
        let only: Vec<_> = names(good());
        assert_eq!(only, ["AWS.SNS.SMS.SMSType"]);
        let sender_id = Some("Acme-24".to_owned());
        let all: Vec<_> = names(SnsSettings { sender_id, origination_number: Some("12345".to_owned()), ..good() });
        assert_eq!(all, ["AWS.SNS.SMS.SMSType", "AWS.SNS.SMS.SenderID", "AWS.MM.SMS.OriginationNumber"]);
    }

    /// security 109: what could end a host or a header stops the start.
    #[test]
    fn wrong_forms_are_refused() {
        let long = "x".repeat(129);
        for region in ["", "eu central", "EU", "evil.example/", "-a", "a-", "a\r\nb", &long] {
            assert_eq!(refused(|settings| settings.region = region.to_owned()), "sns.region", "{region:?}");
        }
        for id in ["", "AKID", "AKIDEXAMPLE1234/", "AKIDEXAMPLE1234\n", &long] {
            assert_eq!(refused(|settings| settings.access_key_id = id.to_owned()), "sns.access_key_id", "{id:?}");
        }
        for key in ["", "a b", "a\r\nb", "کلید", &long] {
            let setting = refused(|settings| settings.secret_access_key = key.into());
            assert_eq!(setting, "sns.secret_access_key", "{key:?}");
        }
        for sender in ["", "123", "TwelveLetter", "Ac me", "Acme\n", "نام"] {
            assert_eq!(refused(|settings| settings.sender_id = Some(sender.to_owned())), "sns.sender_id", "{sender:?}");
        }
        for number in ["", "12", "+0123456789", "123456789", "+1,+2", "Acme"] {
            let setting = refused(|settings| settings.origination_number = Some(number.to_owned()));
            assert_eq!(setting, "sns.origination_number", "{number:?}");
        }
        for base in ["http://sns.example", "https://sns.example/path", "ftp://sns.example"] {
            assert_eq!(refused(|settings| settings.base_url = Some(base.to_owned())), "sns.base_url", "{base}");
        }
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "sns.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        let error = check(SnsSettings { base_url: Some("ftp://very/secret+5f1c".to_owned()), ..good() }).err().unwrap();
        shown.push_str(&format!("{error} {error:?}"));
        for secret in ["AKIDEXAMPLE", "very/secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
