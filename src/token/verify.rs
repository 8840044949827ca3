//! Reading tokens: signature, kind, parties, times, in this order, and nothing taken on the token's word.
//!
//! The library lends its signature check only. Its own validation reads the wall clock, allows a minute
//! of leeway and skips `nbf` unless told otherwise, so the claims are checked here with `now` as an argument.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Map, Value};

use super::{SigningKeys, TokenError};
use crate::record::{SECOND, UnixMillis};

/// Most bytes of a token. Ours have about 900; an HTTP header line has room for this much.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of a key id. Ours have 16 or 20.
pub const KID_BYTES_MAX: usize = 64;

/// What a token must be to be accepted.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The header's `typ`: exactly one of these.
    pub typ: &'a [&'a str],
    /// Exactly this `iss`.
    pub issuer: &'a str,
    /// Exactly this `aud`, a single string: we issue no other.
    pub audience: &'a str,
    /// The time to judge by.
    pub now: UnixMillis,
    /// Seconds of grace on `exp`, `nbf` and `iat`, for clocks of several nodes that differ.
    pub leeway_s: u64,
}

/// What we read of a header. Everything else, `jwk`, `jku`, `x5u` and `x5c` among it, is not even parsed.
#[derive(Deserialize)]
struct ReadHeader {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
    /// Names extensions a reader must understand (RFC 7515 4.1.11); we understand none.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

impl SigningKeys {
    /// The claims of a token that one of our keys signed, of an expected kind, for the expected parties, and
    /// in its time. `exp` is required; `nbf` and `iat` hold where present; all are whole seconds as JSON
    /// integers, anything else is invalid.
    pub fn verify<C: DeserializeOwned>(&self, token: &str, expected: &Expected<'_>) -> Result<C, TokenError> {
        let (typ, claims) = self.open_signed(token).ok_or(TokenError::Invalid)?;
        if !typ.is_some_and(|typ| expected.typ.contains(&typ.as_str())) {
            return Err(TokenError::WrongType);
        }
        let is = |name: &str, wanted: &str| claims.get(name).and_then(Value::as_str) == Some(wanted);
        if !is("iss", expected.issuer) || !is("aud", expected.audience) {
            return Err(TokenError::Invalid);
        }
        let expires = seconds(&claims, "exp")?.ok_or(TokenError::Invalid)?;
        let begins = seconds(&claims, "nbf")?.max(seconds(&claims, "iat")?).unwrap_or_default();
        let claims = serde_json::from_value(Value::Object(claims)).map_err(|_| TokenError::Invalid)?;

        let now = expected.now.0 / SECOND;
        if now.saturating_add(expected.leeway_s) < begins {
            return Err(TokenError::Invalid);
        }
        if now >= expires.saturating_add(expected.leeway_s) { Err(TokenError::Expired) } else { Ok(claims) }
    }

    /// Kind and claims of a well-signed token. The key is found by its exact id and brings its algorithm;
    /// the header's `alg` is only compared.
    fn open_signed(&self, token: &str) -> Option<(Option<String>, Map<String, Value>)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let header: ReadHeader = decode(header)?;
        let key = self.find(&header.kid)?;
        if header.alg != key.info.algorithm.name() || header.crit.is_some() {
            return None;
        }
        let verified =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.pair.verifying, key.info.algorithm.jwt());
        if !verified.unwrap_or(false) {
            return None;
        }
        Some((header.typ, decode(payload)?))
    }
}

/// Unpadded base64url of JSON; a second dot, padding or trailing bits fail.
fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A claim of time: absent, or a whole number of seconds that is not negative.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, TokenError> {
    claims.get(name).map(|value| value.as_u64().ok_or(TokenError::Invalid)).transpose()
}
