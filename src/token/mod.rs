//! Credentials we make and check: signed tokens, the keys behind them, sealing secrets, API keys.
//!
//! Owns the three secret files beside the store (all 0600, see [`KeyFault`]):
//! - `signing.keys`: what signs tokens ([`SigningKeys`]; the CLI edits it through [`SigningKeyFile`]),
//! - `sealing.keys`: what ids, codes and refresh tokens are derived from ([`SealingKeyFile`]),
//! - `api.keys`: digests of the back ends' keys ([`ApiKeys`]).
//!
//! The first two are read once at start: after `otpd keys rotate` the server is restarted. `api.keys` is
//! looked at again while the server runs, so a revoked key dies within a second.
//!
//! Never knows a session, a challenge or a route: whether a well-signed token's session still lives is the
//! number's own record's to say.

mod algorithm;
mod api_keys;
mod claims;
mod fault;
mod hex_id;
mod key_file;
mod known;
mod maker;
mod sealing;
mod signing;
mod signing_file;
mod verify;
mod weak_secret;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use api_keys::{API_KEYS_MAX, ApiKey, ApiKeys, Caller, RECHECK, Scope, UnknownScope};
pub use claims::{ACCESS_TYP, AccessClaims, RECEIPT_TYP, REFRESH_TYP, ReceiptClaims, RefreshClaims};
pub use fault::{KeyFault, TokenError, TokenFault};
pub use hex_id::{HexId, NotHexId};
pub use maker::{
    AccessGrant, Minted, RECEIPT_LIFE_S, ReceiptGrant, RefreshGrant, Shape, Token, TokenMaker, TokenSettings,
};
pub use sealing::{SealingInfo, SealingKeyFile, SealingSecret};
pub use signing::{SigningKeys, SigningOptions};
pub use signing_file::{KeyInfo, KeyState, SigningKeyFile};
pub use verify::{Checked, Claims, Expected, KID_BYTES_MAX, TOKEN_BYTES_MAX};
pub use weak_secret::{SECRET_BYTES_MIN, WeakSecret, check_secret};
