//! Signatures of Standard Webhooks, version `v1`: HMAC-SHA-256 over `id.timestamp.body`.
//!
//! Owns the names of the headers and the form of a secret. Never shows a key.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The header of the message's id.
pub const ID: &str = "webhook-id";
/// The header of the time of sending, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header of the signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// What secrets begin with in text.
const PREFIX: &str = "whsec_";
/// Least and most bytes of a key, of the specification.
const KEY_BYTES: (usize, usize) = (24, 64);

/// A key that requests are signed with.
#[derive(Clone)]
pub struct SigningKey(SecretSlice<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// Reads `whsec_` and the Base64 of 24 to 64 bytes; the prefix may be left out. `None` for anything else.
    pub fn parse(secret: &SecretString) -> Option<Self> {
        let text = secret.expose_secret();
        let bytes = BASE64_STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok()?;
        (KEY_BYTES.0..=KEY_BYTES.1).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// The signature of a request, as in `v1,…`. `timestamp_s` is in seconds since 1970; `id` has no full stop.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Is one of a request's signatures that of this key? Those of other versions are passed over.
    pub fn is_of(&self, signatures: &str, id: &str, timestamp_s: u64, body: &[u8]) -> bool {
        let own = self.sign(id, timestamp_s, body);
        // Without an early end, though which of them fits is no secret.
        signatures.split(' ').fold(false, |found, given| found | bool::from(given.as_bytes().ct_eq(own.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector that the reference libraries of Standard Webhooks share.
    #[test]
    fn the_published_vector() {
        for secret in [SECRET, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let key = SigningKey::parse(&secret.into()).unwrap();
            let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    /// security 118: id, time and body are all covered, and the key is not shown.
    #[test]
    fn every_part_is_signed() {
        let key = SigningKey::parse(&SECRET.into()).unwrap();
        let known = key.sign("msg_1", 1, b"{}");
        for other in [key.sign("msg_2", 1, b"{}"), key.sign("msg_1", 2, b"{}"), key.sign("msg_1", 1, b"{ }")] {
            assert_ne!(known, other);
        }
        assert_eq!(format!("{key:?}"), "SigningKey(***)");
    }

    #[test]
    fn secrets_that_are_none() {
        let encoded = |bytes| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        assert!(SigningKey::parse(&encoded(24).into()).is_some() && SigningKey::parse(&encoded(64).into()).is_some());
        for bad in ["".to_owned(), "whsec_".to_owned(), "whsec_not base64!".to_owned(), encoded(23), encoded(65)] {
            assert!(SigningKey::parse(&bad.clone().into()).is_none(), "{bad}");
        }
    }
}
