//! Receipts of providers that sign nothing: the path ends in a secret, and a list of networks may be asked for beside it
//! (security 115). Such a receipt is advice, and can only move a known message forward.

use std::fmt;

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use super::{ReceiptRefused, ReceiptRequest, signed};
use crate::sms::SettingError;

/// Who may post unsigned receipts. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct UnsignedReceipts {
    /// How their path ends: 24 to 128 letters, digits, `-` and `_`. Without it none are taken.
    pub secret: Option<SecretString>,
    /// Where they may come from; empty: anywhere.
    pub networks: Vec<IpNet>,
}

impl fmt::Debug for UnsignedReceipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedReceipts").field("networks", &self.networks.len()).finish_non_exhaustive()
    }
}

/// Fewest and most characters of the secret: at least as hard to guess as a key of 16 bytes.
const SECRET_LEN: (usize, usize) = (24, 128);

impl UnsignedReceipts {
    /// security 109: the secret can stand in a path.
    pub(in crate::sms) fn check(self, gateway: &'static str) -> Result<Self, SettingError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_good =
            |secret: &str| (SECRET_LEN.0..=SECRET_LEN.1).contains(&secret.len()) && secret.bytes().all(is_plain);
        if self.secret.as_ref().is_some_and(|secret| !is_good(secret.expose_secret())) {
            let reason = "must be 24 to 128 letters, digits, hyphens and underscores";
            return Err(SettingError::new(format!("{gateway}.receipts_secret"), reason));
        }
        Ok(self)
    }

    /// Lets a receipt in that has the secret and comes from where it may.
    pub(in crate::sms) fn admit(&self, request: &ReceiptRequest<'_>) -> Result<(), ReceiptRefused> {
        let secret = self.secret.as_ref().ok_or(ReceiptRefused::NotTaken)?;
        let given = request.secret.unwrap_or_default();
        let is_secret = signed::same(given.as_bytes(), secret.expose_secret().as_bytes());
        let from = request.from.to_canonical();
        let is_near = self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&from));
        if is_secret && is_near { Ok(()) } else { Err(ReceiptRefused::Unsigned) }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    const SECRET: &str = "s3cret-path_0123456789abcdef";

    fn unsigned(secret: Option<&str>, networks: &[&str]) -> UnsignedReceipts {
        UnsignedReceipts {
            secret: secret.map(SecretString::from),
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        }
    }

    fn admit(rule: &UnsignedReceipts, secret: Option<&str>, from: &str) -> Result<(), ReceiptRefused> {
        let headers = HeaderMap::new();
        let from = from.parse().unwrap();
        rule.admit(&ReceiptRequest { url: "", query: "", secret, from, headers: &headers, body: b"", now_s: 0 })
    }

    /// security 115: the whole secret, from one of the networks.
    #[test]
    fn who_is_admitted() {
        let anywhere = unsigned(Some(SECRET), &[]);
        assert_eq!(admit(&anywhere, Some(SECRET), "192.0.2.1"), Ok(()));
        for wrong in [None, Some(""), Some(&SECRET[1..]), Some("S3cret-path_0123456789abcdef"), Some("x")] {
            assert_eq!(admit(&anywhere, wrong, "192.0.2.1"), Err(ReceiptRefused::Unsigned));
        }
        let near = unsigned(Some(SECRET), &["198.51.100.0/24", "2001:db8::/32"]);
        for (from, holds) in
            [("198.51.100.7", true), ("::ffff:198.51.100.7", true), ("2001:db8::1", true), ("192.0.2.1", false)]
        {
            assert_eq!(admit(&near, Some(SECRET), from).is_ok(), holds, "{from}");
        }
        assert_eq!(admit(&unsigned(None, &[]), Some(""), "192.0.2.1"), Err(ReceiptRefused::NotTaken));
    }

    #[test]
    fn secrets_that_are_none() {
        assert!(unsigned(Some(SECRET), &[]).check("gate").is_ok() && unsigned(None, &[]).check("gate").is_ok());
        for bad in ["", "short", "with/slash-0123456789abcdef", "with space 0123456789abcdef", &"x".repeat(129)] {
            let error = unsigned(Some(bad), &[]).check("gate").unwrap_err();
            assert_eq!(error.setting, "gate.receipts_secret", "{bad:?}");
        }
        assert!(!format!("{:?}", unsigned(Some(SECRET), &[])).contains(SECRET));
    }
}
