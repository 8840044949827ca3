//! The signing keys of a running server: loaded once, then only used.
//!
//! Owns: which key signs, how a key is found by `kid`, what the JWKS shows. Reading tokens is
//! `verify.rs`; the file is `signing_file.rs`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
    sync::Arc,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::Header;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    Algorithm, KeyFault, KeyInfo, KeyState, SigningKeyFile, TOKEN_BYTES_MAX, Token, TokenFault, algorithm::KeyPair,
    check_secret, signing_file::is_kid,
};
use crate::{entropy::Entropy, record::UnixMillis};

/// What [`SigningKeys::open`] is to load.
#[derive(Debug, Default)]
pub struct SigningOptions {
    /// What new tokens are signed with: `token.algorithm`.
    pub algorithm: Algorithm,
    /// A shared secret (`JWT_SECRET_KEY`) that signs instead of the file's key of `algorithm`, so that
    /// back ends which hold it go on verifying. Needs an HS* algorithm; never written to the file.
    pub extra_secret: Option<SecretSlice<u8>>,
    /// Development only, beside no real gateway: take a secret that is printed in a document.
    pub tolerate_known_secret: bool,
}

/// All keys we sign and verify with. `Debug` shows ids and algorithms only.
pub struct SigningKeys {
    algorithm: Algorithm,
    by_kid: HashMap<String, Arc<SigningKey>>,
    active: BTreeMap<Algorithm, Arc<SigningKey>>,
    jwks: Value,
}

/// One key, bound to its algorithm.
pub(super) struct SigningKey {
    pub(super) info: KeyInfo,
    pub(super) pair: KeyPair,
}

impl SigningKeys {
    /// Loads the key file at `path`, makes it if there is none, and makes whatever key is missing: an active
    /// one of the configured algorithm, and one of HS512, which the `usr_otp` dialect's tokens need.
    pub fn open(
        path: &Path,
        options: &SigningOptions,
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyFault> {
        let extra = options.extra_secret.as_ref().map(|secret| read_extra(options, secret, now)).transpose()?;
        let mut needed = vec![options.algorithm, Algorithm::Hs512];
        needed.dedup();
        needed.retain(|&algorithm| extra.as_ref().is_none_or(|key| key.info.algorithm != algorithm));

        let file = SigningKeyFile::new(path);
        let content = file.load(&needed, now, entropy)?;
        let mut keys = Vec::new();
        for entry in &content.keys {
            let pair = entry.algorithm.read(&entry.kid, &entry.private.0);
            let pair = pair.map_err(|_| file.malformed("a private key that is not of its algorithm"))?;
            keys.push(SigningKey { info: entry.info(), pair });
        }
        keys.extend(extra); // the last active one of its algorithm signs
        Ok(Self::of(options.algorithm, keys))
    }

    fn of(algorithm: Algorithm, keys: Vec<SigningKey>) -> Self {
        let keys: Vec<_> = keys.into_iter().map(Arc::new).collect();
        let public: Vec<_> = keys.iter().filter_map(|key| key.pair.public.as_ref()).collect();
        let jwks = json!({ "keys": public });
        let active = keys.iter().filter(|key| key.info.state == KeyState::Active);
        Self {
            algorithm,
            active: active.map(|key| (key.info.algorithm, Arc::clone(key))).collect(),
            by_kid: keys.iter().map(|key| (key.info.kid.clone(), Arc::clone(key))).collect(),
            jwks,
        }
    }

    /// Signs with the configured algorithm. `typ` goes into the header as it is.
    pub fn sign<C: Serialize>(&self, typ: &str, claims: &C) -> Result<Token, TokenFault> {
        self.sign_with(self.algorithm, typ, claims)
    }

    /// Signs with the active key of a named algorithm.
    pub fn sign_with<C: Serialize>(&self, algorithm: Algorithm, typ: &str, claims: &C) -> Result<Token, TokenFault> {
        let key = self.active.get(&algorithm).ok_or(TokenFault::NoKey(algorithm))?;
        let mut header = Header::new(algorithm.jwt());
        header.typ = Some(typ.to_owned());
        header.kid = Some(key.info.kid.clone());
        let token = jsonwebtoken::encode(&header, claims, &key.pair.signing).map_err(|_| TokenFault::Signing)?;
        // Both sides hold the same limit: what we sign, we can read.
        if token.len() > TOKEN_BYTES_MAX { Err(TokenFault::TooLong) } else { Ok(Token::new(token)) }
    }

    /// What new tokens are signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public keys as a JWK set: every key of an asymmetric algorithm, verify-only ones too; empty
    /// under HS*.
    pub fn jwks(&self) -> &Value {
        &self.jwks
    }

    /// All keys, without their secrets, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &KeyInfo> {
        self.by_kid.values().map(|key| &key.info)
    }

    /// The key of exactly this id.
    pub(super) fn find(&self, kid: &str) -> Option<&SigningKey> {
        if is_kid(kid) { self.by_kid.get(kid).map(Arc::as_ref) } else { None }
    }
}

/// The key of a shared secret. Its id is derived from it, so that it stays over restarts and differs for
/// another secret; one way, like any token it signs.
fn read_extra(options: &SigningOptions, secret: &SecretSlice<u8>, now: UnixMillis) -> Result<SigningKey, KeyFault> {
    let algorithm = options.algorithm;
    if !algorithm.is_hmac() {
        return Err(KeyFault::SecretNeedsHmac(algorithm));
    }
    let secret = secret.expose_secret();
    check_secret(secret, options.tolerate_known_secret)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| KeyFault::Crypto("a shared secret"))?;
    mac.update(b"otpd: kid of a shared signing secret");
    let digest = mac.finalize().into_bytes();
    let kid = digest.iter().take(8).fold(String::from("env-"), |kid, byte| format!("{kid}{byte:02x}"));
    let pair = algorithm.read(&kid, secret)?;
    Ok(SigningKey { info: KeyInfo { kid, algorithm, state: KeyState::Active, created_at: now }, pair })
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys")
            .field("algorithm", &self.algorithm)
            .field("keys", &self.by_kid.values().map(|key| &key.info).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
