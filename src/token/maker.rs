//! Makes and reads our three kinds of token for one issuer and audience.
//!
//! Whether the session behind a token still lives is not asked here.

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    ACCESS_TYP, AccessClaims, Algorithm, Expected, HexId, RECEIPT_TYP, REFRESH_TYP, ReceiptClaims, RefreshClaims,
    SigningKeys, TokenError, TokenFault,
    claims::{Access, Refresh},
    known::Known,
};
use crate::{
    entropy::Entropy,
    record::{PhoneNumber, SECOND, UnixMillis},
};

/// Life of a receipt in seconds. No setting: the contract says a minute.
pub const RECEIPT_LIFE_S: u64 = 60;

/// A signed token. A credential: wiped on drop, `***` in `Debug`, no `Display`, no `Serialize`.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// What every token of ours is made and checked with.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// `iss`: `server.public_url`.
    pub issuer: String,
    /// `aud`: `token.audience`, by default the issuer.
    pub audience: String,
    /// Life of an access token in seconds. Default 900: a stolen one is of use for minutes only.
    pub access_life_s: u64,
    /// Grace in seconds on all times of a token. Default 0; raise it to the clock difference of several nodes.
    pub leeway_s: u64,
    /// Access tokens whose claims are remembered, and as many receipts; 0: none. Default 10,000.
    pub known_max: usize,
}

/// Makes and reads tokens. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct TokenMaker {
    settings: TokenSettings,
    keys: Arc<SigningKeys>,
    access: Known<AccessClaims>,
    receipts: Known<ReceiptClaims>,
    entropy: Arc<dyn Entropy>,
}

/// Whom an access token is for.
#[derive(Debug, Clone, Copy)]
pub struct AccessGrant<'a> {
    /// The user.
    pub user_id: u64,
    /// The user's number.
    pub phone: PhoneNumber,
    /// The session.
    pub sid: HexId,
    /// The API key that asked, or `otpd`.
    pub client_id: &'a str,
    /// When the user last proved to hold the number.
    pub auth_time: UnixMillis,
    /// How (RFC 8176).
    pub amr: &'a [&'a str],
}

/// Whom a dialect's refresh token is for.
#[derive(Debug, Clone, Copy)]
pub struct RefreshGrant<'a> {
    /// The user.
    pub user_id: u64,
    /// The session.
    pub sid: HexId,
    /// Rotations before this one.
    pub generation: u64,
    /// The dialect that issues it.
    pub dialect: &'a str,
    /// Its life in seconds: the dialect's `refresh_ttl_s`.
    pub life_s: u64,
}

/// What a receipt proves.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptGrant<'a> {
    /// What the code was asked for.
    pub purpose: &'a str,
    /// The number that passed the check.
    pub phone: PhoneNumber,
    /// How (RFC 8176).
    pub amr: &'a [&'a str],
    /// Its id, chosen by the record, which lets it work once.
    pub jti: HexId,
}

/// How a dialect's token differs from the canonical one. `Default` is the canonical one.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Another algorithm than the configured one.
    pub algorithm: Option<Algorithm>,
    /// Another life of an access token, in seconds.
    pub life_s: Option<u64>,
    /// Claims of the original beside ours. None may change ours; only `user_id` may be given again, as text.
    pub beside: Map<String, Value>,
}

/// A token just made.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The credential.
    pub token: Token,
    /// Its id.
    pub jti: HexId,
    /// Its `iat`, in seconds.
    pub issued_at_s: u64,
    /// Its `exp`, in seconds.
    pub expires_at_s: u64,
}

impl TokenSettings {
    /// Settings of an issuer that is its own audience, with the defaults.
    pub fn new(issuer: impl Into<String>) -> Self {
        let issuer = issuer.into();
        Self { audience: issuer.clone(), issuer, access_life_s: 900, leeway_s: 0, known_max: 10_000 }
    }
}

impl TokenMaker {
    /// A maker over loaded keys.
    pub fn new(settings: TokenSettings, keys: Arc<SigningKeys>, entropy: Arc<dyn Entropy>) -> Self {
        let max = settings.known_max;
        Self { access: Known::new("access", max), receipts: Known::new("receipt", max), settings, keys, entropy }
    }

    /// The settings it works by.
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// The keys it works with: for the JWKS and the metadata document.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// An access token, canonical or as a dialect's clients know it; good at every door either way.
    pub fn access_shaped(&self, grant: &AccessGrant<'_>, shape: &Shape, now: UnixMillis) -> Result<Minted, TokenFault> {
        let iat = now.0 / SECOND;
        let claims = AccessClaims {
            iss: self.settings.issuer.clone(),
            sub: grant.user_id.to_string(),
            aud: self.settings.audience.clone(),
            client_id: grant.client_id.to_owned(),
            exp: iat.saturating_add(shape.life_s.unwrap_or(self.settings.access_life_s)),
            nbf: iat,
            iat,
            jti: HexId::draw(self.entropy.as_ref()),
            sid: grant.sid,
            auth_time: grant.auth_time.0 / SECOND,
            token_type: Access::Access,
            user_id: grant.user_id,
            phone_number: grant.phone,
            phone_number_verified: true,
            amr: owned(grant.amr),
        };
        let token = self.sign(ACCESS_TYP, &claims, shape)?;
        let claims = self.access.remember(token.expose(), claims);
        Ok(Minted { token, jti: claims.jti, issued_at_s: iat, expires_at_s: claims.exp })
    }

    /// A dialect's refresh token; of `shape`, the life is not used.
    pub fn refresh_shaped(
        &self,
        grant: &RefreshGrant<'_>,
        shape: &Shape,
        now: UnixMillis,
    ) -> Result<Minted, TokenFault> {
        let iat = now.0 / SECOND;
        let claims = RefreshClaims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            sub: grant.user_id.to_string(),
            dialect: grant.dialect.to_owned(),
            sid: grant.sid,
            generation: grant.generation,
            token_type: Refresh::Refresh,
            user_id: grant.user_id,
            jti: HexId::draw(self.entropy.as_ref()),
            iat,
            nbf: iat,
            exp: iat.saturating_add(grant.life_s),
        };
        let token = self.sign(REFRESH_TYP, &claims, shape)?;
        Ok(Minted { token, jti: claims.jti, issued_at_s: iat, expires_at_s: claims.exp })
    }

    /// A receipt, good for [`RECEIPT_LIFE_S`].
    pub fn receipt(&self, grant: &ReceiptGrant<'_>, now: UnixMillis) -> Result<Minted, TokenFault> {
        let iat = now.0 / SECOND;
        let claims = ReceiptClaims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            purpose: grant.purpose.to_owned(),
            phone_number: grant.phone,
            amr: owned(grant.amr),
            jti: grant.jti,
            iat,
            nbf: iat,
            exp: iat.saturating_add(RECEIPT_LIFE_S),
        };
        let token = self.keys.sign(RECEIPT_TYP, &claims)?;
        let claims = self.receipts.remember(token.expose(), claims);
        Ok(Minted { token, jti: claims.jti, issued_at_s: iat, expires_at_s: claims.exp })
    }

    /// The claims of an access token that is good at `now`, whichever door issued it.
    pub fn read_access(&self, token: &str, now: UnixMillis) -> Result<Arc<AccessClaims>, TokenError> {
        let expected = self.expected(&[ACCESS_TYP], now);
        let claims = self.access.claims_of(token, || {
            let claims: AccessClaims = self.keys.authentic(token, &expected)?;
            if claims.sub == claims.user_id.to_string() { Ok(claims) } else { Err(TokenError::Invalid) }
        })?;
        expected.in_time(&*claims).map(|()| claims)
    }

    /// The claims of a dialect's refresh token that is good at `now`; whether that dialect may use it is not asked.
    pub fn read_refresh(&self, token: &str, now: UnixMillis) -> Result<RefreshClaims, TokenError> {
        let claims: RefreshClaims = self.keys.verify(token, &self.expected(&[REFRESH_TYP], now))?;
        if claims.sub == claims.user_id.to_string() { Ok(claims) } else { Err(TokenError::Invalid) }
    }

    /// The claims of a receipt that is good at `now`. That it works once is the record's to see to.
    pub fn read_receipt(&self, token: &str, now: UnixMillis) -> Result<Arc<ReceiptClaims>, TokenError> {
        let expected = self.expected(&[RECEIPT_TYP], now);
        let claims = self.receipts.claims_of(token, || self.keys.authentic(token, &expected))?;
        expected.in_time(&*claims).map(|()| claims)
    }

    fn expected<'a>(&'a self, typ: &'a [&'a str], now: UnixMillis) -> Expected<'a> {
        let TokenSettings { issuer, audience, leeway_s, .. } = &self.settings;
        Expected { typ, issuer, audience, now, leeway_s: *leeway_s }
    }

    fn sign(&self, typ: &str, claims: &impl Serialize, shape: &Shape) -> Result<Token, TokenFault> {
        let algorithm = shape.algorithm.unwrap_or_else(|| self.keys.algorithm());
        if shape.beside.is_empty() {
            return self.keys.sign_with(algorithm, typ, claims);
        }
        let Ok(Value::Object(mut all)) = serde_json::to_value(claims) else {
            return Err(TokenFault::Claims("not a JSON object"));
        };
        for (name, value) in &shape.beside {
            let as_text = name == "user_id" && all.get(name).is_some_and(|id| value.as_str() == Some(&id.to_string()));
            if all.contains_key(name) && !as_text {
                return Err(TokenFault::Claims("a dialect's claim would change one of ours"));
            }
            all.insert(name.clone(), value.clone());
        }
        self.keys.sign_with(algorithm, typ, &all)
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

impl Minted {
    /// Seconds from its making to its end: the answer's `expires_in`.
    pub fn expires_in_s(&self) -> u64 {
        self.expires_at_s.saturating_sub(self.issued_at_s)
    }
}

impl Token {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the answer to its owner alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
