//! The lines that phones read by themselves: the page's host and the Android app's hash.
//!
//! Owns their forms and the lists of those that may be used. Never lets one through that only a request
//! knows: the host binds the code to a page, and a made-up one would bind it to an attacker's (security 112).

use super::TextSettings;
use crate::sms::SettingError;

/// The host of a page that waits for the code. Made by [`Texts::webotp_host`](super::Texts::webotp_host) only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOtpHost(String);

impl WebOtpHost {
    /// The host, lower-case, without scheme and port.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Letters, digits and hyphens in two labels or more; nothing that could end the token.
    fn parse(text: &str) -> Option<Self> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_host = text.len() <= 253 && text.contains('.') && text.split('.').all(is_label);
        is_host.then(|| Self(text.to_ascii_lowercase()))
    }
}

/// The hash of an Android app that waits for the code. Made by [`Texts::app_hash`](super::Texts::app_hash) only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppHash(String);

impl AppHash {
    /// The 11 letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        (text.len() == 11 && text.bytes().all(is_base64)).then(|| Self(text.to_owned()))
    }
}

/// The configured lists.
#[derive(Debug)]
pub(super) struct Allowed {
    hosts: Vec<WebOtpHost>,
    host: Option<WebOtpHost>,
    hashes: Vec<AppHash>,
    hash: Option<AppHash>,
}

impl Allowed {
    pub(super) fn new(settings: &TextSettings) -> Result<Self, SettingError> {
        let refuse = |setting, reason| SettingError::new(setting, reason);
        let hosts: Option<Vec<_>> = settings.webotp_hosts.iter().map(|host| WebOtpHost::parse(host)).collect();
        let hashes: Option<Vec<_>> = settings.app_hashes.iter().map(|hash| AppHash::parse(hash)).collect();
        let mut allowed = Self {
            hosts: hosts
                .ok_or_else(|| refuse("text.webotp_hosts", "must be host names without scheme, port and path"))?,
            host: None,
            hashes: hashes.ok_or_else(|| refuse("text.app_hashes", "must have 11 letters of Base64 each"))?,
            hash: None,
        };
        if let Some(host) = &settings.webotp_host {
            let listed = allowed.host(host);
            allowed.host = Some(listed.ok_or_else(|| refuse("text.webotp_host", "must be in webotp_hosts"))?);
        }
        if let Some(hash) = &settings.app_hash {
            let listed = allowed.hash(hash);
            allowed.hash = Some(listed.ok_or_else(|| refuse("text.app_hash", "must be in app_hashes"))?);
        }
        Ok(allowed)
    }

    pub(super) fn host(&self, origin: &str) -> Option<WebOtpHost> {
        let host = WebOtpHost::parse(origin.strip_prefix("https://").unwrap_or(origin))?;
        self.hosts.contains(&host).then_some(host)
    }

    pub(super) fn hash(&self, hash: &str) -> Option<AppHash> {
        let hash = AppHash::parse(hash)?;
        // Eleven letters of base64 can hold no address and no sentence; a list narrows them to one's own apps.
        (self.hashes.is_empty() || self.hashes.contains(&hash)).then_some(hash)
    }

    pub(super) fn default_host(&self) -> Option<&WebOtpHost> {
        self.host.as_ref()
    }

    pub(super) fn default_hash(&self) -> Option<&AppHash> {
        self.hash.as_ref()
    }

    pub(super) fn longest_host(&self) -> Option<&WebOtpHost> {
        self.hosts.iter().max_by_key(|host| host.0.len())
    }

    pub(super) fn any_hash(&self) -> Option<&AppHash> {
        self.hashes.first()
    }
}
