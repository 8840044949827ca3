//! What the token tests share: a directory of keys, sample grants, and a forger's tools.

use std::{fs, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use otpd::{
    entropy::OsEntropy,
    record::{PhoneNumber, UnixMillis},
    token::{
        AccessGrant, Algorithm, HexId, Minted, ReceiptGrant, RefreshGrant, Shape, SigningKeyFile, SigningKeys,
        SigningOptions, TokenMaker, TokenSettings,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const ISSUER: &str = "https://id.example.com";
/// A whole second, so that boundaries can be named exactly.
pub(crate) const NOW_S: u64 = 1_790_000_000;
pub(crate) const NOW: UnixMillis = at(NOW_S);

pub(crate) const fn at(second: u64) -> UnixMillis {
    UnixMillis(second * 1_000)
}

/// A directory of keys and the maker over it, as after a (re)start.
pub(crate) struct Home {
    pub(crate) directory: TempDir,
    pub(crate) algorithm: Algorithm,
}

impl Home {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), algorithm }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("data/signing.keys")
    }

    pub(crate) fn keys(&self) -> SigningKeys {
        let options = SigningOptions { algorithm: self.algorithm, ..SigningOptions::default() };
        SigningKeys::open(&self.path(), &options, NOW, &OsEntropy).unwrap()
    }

    pub(crate) fn maker(&self) -> TokenMaker {
        TokenMaker::new(TokenSettings::new(ISSUER), Arc::new(self.keys()), Arc::new(OsEntropy))
    }

    pub(crate) fn file(&self) -> SigningKeyFile {
        SigningKeyFile::new(&self.path())
    }

    /// The file's entry of the active key of an algorithm, secret included: what a thief would have.
    pub(crate) fn entry(&self, algorithm: Algorithm) -> Value {
        let file: Value = serde_json::from_str(&fs::read_to_string(self.path()).unwrap()).unwrap();
        let of = |entry: &&Value| entry["algorithm"] == algorithm.name() && entry["state"] == "active";
        file["keys"].as_array().unwrap().iter().find(of).unwrap().clone()
    }

    pub(crate) fn kid(&self) -> String {
        self.entry(self.algorithm)["kid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn secret(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.entry(self.algorithm)["private"].as_str().unwrap()).unwrap()
    }
}

pub(crate) fn phone() -> PhoneNumber {
    PhoneNumber::from_e164("+989123456789").unwrap()
}

pub(crate) fn grant() -> AccessGrant<'static> {
    AccessGrant {
        user_id: 42,
        phone: phone(),
        sid: HexId([0xA5; 16]),
        client_id: "otpd",
        auth_time: UnixMillis(NOW.0 - 61_500),
        amr: &["otp", "sms"],
    }
}

pub(crate) fn receipt_grant() -> ReceiptGrant<'static> {
    ReceiptGrant { purpose: "login", phone: phone(), amr: &["otp", "sms"], jti: HexId([0x3C; 16]) }
}

pub(crate) fn refresh_grant() -> RefreshGrant<'static> {
    RefreshGrant { user_id: 42, sid: HexId([0xA5; 16]), generation: 3, dialect: "usr_otp", life_s: 86_400 }
}

pub(crate) fn access(maker: &TokenMaker) -> Minted {
    maker.access_shaped(&grant(), &Shape::default(), NOW).unwrap()
}

/// A part of a token, read without any check.
pub(crate) fn part(token: &str, place: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(place).unwrap()).unwrap()).unwrap()
}

/// JSON as a token's part.
pub(crate) fn text(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Any header and claims, signed with any secret by any HMAC.
pub(crate) fn forge(header: &Value, claims: &Value, secret: &[u8], algorithm: jsonwebtoken::Algorithm) -> String {
    sign_text(&format!("{}.{}", text(header), text(claims)), secret, algorithm)
}

/// Any text, signed as if it were a header and claims.
pub(crate) fn sign_text(message: &str, secret: &[u8], algorithm: jsonwebtoken::Algorithm) -> String {
    let key = EncodingKey::from_secret(secret);
    format!("{message}.{}", jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap())
}

/// A well-formed access token's claims, to spoil one at a time.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "42", "aud": ISSUER, "client_id": "otpd", "exp": NOW_S + 900, "nbf": NOW_S, "iat": NOW_S,
        "jti": "3c".repeat(16), "sid": "a5".repeat(16), "auth_time": NOW_S, "token_type": "access", "user_id": 42,
        "phone_number": "+989123456789", "phone_number_verified": true, "amr": ["otp", "sms"],
    })
}
