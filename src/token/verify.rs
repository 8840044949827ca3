//! Reading tokens: signature, kind, parties, times, in this order, and nothing taken on the token's word.
//!
//! The library lends its signature check only. Its own validation reads the wall clock, allows a minute
//! of leeway and skips `nbf` unless told otherwise, so the claims are checked here with `now` as an argument.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

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
struct ReadHeader<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(default, borrow)]
    typ: Option<Cow<'a, str>>,
    /// Names extensions a reader must understand (RFC 7515 4.1.11); we understand none.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// Claims that are checked whatever the token is for.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// Who issued it.
    pub iss: &'a str,
    /// Whom it is for.
    pub aud: &'a str,
    /// When it was issued, in seconds.
    pub iat: u64,
    /// First second in which it is good.
    pub nbf: u64,
    /// First second in which it is no longer good.
    pub exp: u64,
}

/// Claims of one kind of token.
pub trait Claims: DeserializeOwned {
    /// What is checked of them.
    fn checked(&self) -> Checked<'_>;
}

impl Expected<'_> {
    /// Whether a token is good now: from `nbf` and `iat` on, and before `exp`.
    pub(super) fn in_time(&self, claims: &impl Claims) -> Result<(), TokenError> {
        let Checked { iat, nbf, exp, .. } = claims.checked();
        let now = self.now.0 / SECOND;
        if now.saturating_add(self.leeway_s) < nbf.max(iat) {
            return Err(TokenError::Invalid);
        }
        if now >= exp.saturating_add(self.leeway_s) { Err(TokenError::Expired) } else { Ok(()) }
    }
}

impl SigningKeys {
    /// The claims of a token that one of our keys signed, of an expected kind, for the expected parties, and
    /// in its time: whole seconds as JSON integers, anything else is invalid.
    pub fn verify<C: Claims>(&self, token: &str, expected: &Expected<'_>) -> Result<C, TokenError> {
        let claims: C = self.authentic(token, expected)?;
        expected.in_time(&claims).map(|()| claims)
    }

    /// The same without a look at the times: what is true of a text for as long as these keys are loaded.
    pub(super) fn authentic<C: Claims>(&self, token: &str, expected: &Expected<'_>) -> Result<C, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let header = token.split('.').next().and_then(decode).ok_or(TokenError::Invalid)?;
        let header: ReadHeader<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::Invalid)?;
        let payload = self.open_signed(token, &header).ok_or(TokenError::Invalid)?;
        if !header.typ.is_some_and(|typ| expected.typ.contains(&typ.as_ref())) {
            return Err(TokenError::WrongType);
        }
        let claims: C = serde_json::from_slice(&payload).map_err(|_| TokenError::Invalid)?;
        let Checked { iss, aud, .. } = claims.checked();
        if iss == expected.issuer && aud == expected.audience { Ok(claims) } else { Err(TokenError::Invalid) }
    }

    /// The payload of a well-signed token. The key is found by its exact id and brings its algorithm; the header's `alg`
    /// is only compared.
    fn open_signed(&self, token: &str, header: &ReadHeader<'_>) -> Option<Vec<u8>> {
        let (message, signature) = token.rsplit_once('.')?;
        let (_, payload) = message.split_once('.')?;
        let key = self.find(&header.kid)?;
        if header.alg != key.info.algorithm.name() || header.crit.is_some() {
            return None;
        }
        let verified =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.pair.verifying, key.info.algorithm.jwt());
        if verified.unwrap_or(false) { decode(payload) } else { None }
    }
}

/// Unpadded base64url; a second dot, padding or trailing bits fail.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}
