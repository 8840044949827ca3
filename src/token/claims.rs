//! What stands in our tokens: three kinds, told apart by the header's `typ` and never accepted for each other.
//!
//! Points in time are whole seconds since 1970. Every field is required and of exactly its type on reading.
//! A dialect may put claims of its original beside ours in access and refresh tokens, so unknown ones are
//! ignored there; a receipt holds nothing else.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    HexId,
    verify::{Checked, Claims},
};
use crate::record::PhoneNumber;

/// `typ` of an access token (RFC 9068).
pub const ACCESS_TYP: &str = "at+jwt";

/// `typ` of a receipt: proof of one approved check.
pub const RECEIPT_TYP: &str = "receipt+jwt";

/// `typ` of a dialect's refresh token. (The canonical one is opaque and not made here.)
pub const REFRESH_TYP: &str = "refresh+jwt";

/// Claims of an access token: RFC 9068's, and what clients of the originals look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who issued it: `server.public_url`.
    pub iss: String,
    /// Whose it is: the user id as decimal text.
    pub sub: String,
    /// Whom it is for.
    pub aud: String,
    /// The API key that asked for it, or `otpd`.
    pub client_id: String,
    /// First second in which it is no longer good.
    pub exp: u64,
    /// First second in which it is good.
    pub nbf: u64,
    /// When it was issued.
    pub iat: u64,
    /// Its own id.
    pub jti: HexId,
    /// Its session, which routes to the number's record.
    pub sid: HexId,
    /// When the user last proved to hold the number.
    pub auth_time: u64,
    /// Always `access`.
    pub token_type: Access,
    /// The user id; read as a number or as its canonical decimal text, which one dialect writes.
    #[serde(deserialize_with = "user_id")]
    pub user_id: u64,
    /// The number, as E.164 text in the token, masked in `Debug`.
    #[serde(with = "e164")]
    pub phone_number: PhoneNumber,
    /// True: we sign nobody in without a check.
    pub phone_number_verified: bool,
    /// How the user signed in (RFC 8176).
    pub amr: Vec<String>,
}

/// Claims of a receipt: this number passed a check of this purpose, just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptClaims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// What the code was asked for.
    pub purpose: String,
    /// The number that was checked.
    #[serde(with = "e164")]
    pub phone_number: PhoneNumber,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// Its id: a receipt works once.
    pub jti: HexId,
    /// When it was issued.
    pub iat: u64,
    /// First second in which it is good.
    pub nbf: u64,
    /// First second in which it is no longer good.
    pub exp: u64,
}

/// Claims of a dialect's refresh token: which session, and which generation of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Whose it is: the user id as decimal text.
    pub sub: String,
    /// The dialect that issued it; only there it is taken back.
    pub dialect: String,
    /// The session.
    pub sid: HexId,
    /// Rotations of the session before this token.
    pub generation: u64,
    /// Always `refresh`.
    pub token_type: Refresh,
    /// The user id.
    #[serde(deserialize_with = "user_id")]
    pub user_id: u64,
    /// Its own id.
    pub jti: HexId,
    /// When it was issued.
    pub iat: u64,
    /// First second in which it is good.
    pub nbf: u64,
    /// First second in which it is no longer good.
    pub exp: u64,
}

/// The one value of an access token's `token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// `access`
    #[serde(rename = "access")]
    Access,
}

/// The one value of a refresh token's `token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refresh {
    /// `refresh`
    #[serde(rename = "refresh")]
    Refresh,
}

macro_rules! claims {
    ($($kind:ty),*) => {$(
        impl Claims for $kind {
            fn checked(&self) -> Checked<'_> {
                let Self { iss, aud, iat, nbf, exp, .. } = self;
                Checked { iss, aud, iat: *iat, nbf: *nbf, exp: *exp }
            }
        }
    )*};
}

claims!(AccessClaims, RefreshClaims, ReceiptClaims);

/// A number, or the text that this number prints as.
fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Written;

    impl de::Visitor<'_> for Written {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a user id")
        }

        fn visit_u64<E: de::Error>(self, id: u64) -> Result<u64, E> {
            Ok(id)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            let id = text.parse().ok().filter(|id: &u64| id.to_string() == text);
            id.ok_or_else(|| E::invalid_value(de::Unexpected::Other("another text"), &self))
        }
    }

    deserializer.deserialize_any(Written)
}

mod e164 {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::record::PhoneNumber;

    pub(super) fn serialize<S: Serializer>(phone: &PhoneNumber, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&phone.to_e164())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PhoneNumber, D::Error> {
        PhoneNumber::from_e164(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
