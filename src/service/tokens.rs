//! The tokens of a session: signed as the dialect that asks knows them, and refresh tokens opened again.
//!
//! Every access token has the canonical claims; a dialect adds those of its original ([`TokenStyle`]). So a token of one
//! door is good at every other.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Dialect, Failure, Service};
use crate::{
    record::{Account, IdKind, Opened, PASSWORD, PhoneNumber, SECOND, SealedId, SignedIn, UnixMillis},
    token::{AccessGrant, Algorithm, HexId, Minted, RefreshGrant, Shape, TokenError},
};

/// How a person who typed a code from an SMS has proved herself (RFC 8176).
pub(super) const BY_CODE: &[&str] = &["otp", "sms"];
/// How one who typed her password has.
const BY_PASSWORD: &[&str] = &["pwd"];
/// What every refresh token of `/v1` starts with.
const REFRESH_PREFIX: &str = "rt_";

/// Claims of an original beside ours.
pub type Claims = Map<String, Value>;

/// What a dialect's own claims are made from.
#[derive(Debug, Clone, Copy)]
pub struct TokenFacts {
    /// The user.
    pub user_id: u64,
    /// When the tokens are made.
    pub now: UnixMillis,
}

/// How a dialect's tokens differ from the canonical ones. `Default` is the canonical form.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenStyle {
    /// Life of an access token in seconds; `None`: the configured one.
    pub access_life_s: Option<u64>,
    /// Another algorithm than the configured one.
    pub algorithm: Option<Algorithm>,
    /// Claims of the original beside ours, in its access tokens.
    pub access_claims: Option<fn(TokenFacts) -> Claims>,
    /// Its refresh tokens.
    pub refresh: RefreshStyle,
}

impl TokenStyle {
    /// The canonical form.
    pub const CANONICAL: Self =
        Self { access_life_s: None, algorithm: None, access_claims: None, refresh: RefreshStyle::Opaque };
}

/// What refresh tokens a dialect gives.
#[derive(Debug, Clone, Copy, Default)]
pub enum RefreshStyle {
    /// The opaque ones of `/v1`, which rotate.
    #[default]
    Opaque,
    /// JWTs, good at the dialect itself (and where it says so).
    Jwt {
        /// Claims of the original beside ours; it is given the access token that goes with it.
        claims: Option<fn(TokenFacts, access: &str) -> Claims>,
        /// Whether a refresh gives a new one.
        rotates: bool,
    },
    /// None.
    None,
}

impl RefreshStyle {
    pub(super) fn rotates(self) -> bool {
        match self {
            Self::Opaque => true,
            Self::Jwt { rotates, .. } => rotates,
            Self::None => false,
        }
    }
}

/// The tokens of a session, just signed.
#[derive(Debug, Clone)]
pub struct SignedInTokens {
    /// The user.
    pub user_id: u64,
    /// Her number.
    pub phone: PhoneNumber,
    /// The access token.
    pub access: Minted,
    /// The refresh token; empty where a dialect has none. A credential.
    pub refresh: RefreshToken,
    /// Seconds until the session ends.
    pub refresh_expires_in_s: u64,
    /// True if this sign-in made the account.
    pub is_new_user: bool,
    /// Her account as it stood when the session was opened; without one after a phone change.
    pub account: Option<Box<Account>>,
}

/// A refresh token's text; `Debug` hides it, wiped on drop.
#[derive(Clone)]
pub struct RefreshToken(Zeroizing<String>);

impl RefreshToken {
    /// The text, for the answer to its owner alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A refresh token of ours, opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefreshHeld {
    pub(super) opened: Opened,
    pub(super) generation: u32,
}

impl Service {
    /// Signs the tokens of a session in the dialect's style.
    pub(super) fn sign(
        &self,
        dialect: &Dialect,
        phone: PhoneNumber,
        signed_in: &SignedIn,
        now: UnixMillis,
    ) -> Result<SignedInTokens, Failure> {
        let style = &dialect.tokens;
        let facts = TokenFacts { user_id: signed_in.user_id, now };
        let sid = self.parts.keys.seal(signed_in.key, IdKind::Session, phone, signed_in.session);
        let grant = AccessGrant {
            user_id: signed_in.user_id,
            phone,
            sid: HexId(sid.0),
            client_id: signed_in.client.as_str(),
            auth_time: signed_in.opened_at,
            amr: if signed_in.door.purpose == PASSWORD { BY_PASSWORD } else { BY_CODE },
        };
        // Whoever checks it offline does not know when the session ends.
        let life_s = style.access_life_s.unwrap_or_else(|| self.parts.tokens.settings().access_life_s);
        let shape = Shape {
            algorithm: style.algorithm,
            life_s: Some(life_s.min(signed_in.expires_at.since(now).div_ceil(SECOND))),
            beside: style.access_claims.map(|claims| claims(facts)).unwrap_or_default(),
        };
        let signing = |_| Failure::Internal("an access token cannot be signed");
        let access = self.parts.tokens.access_shaped(&grant, &shape, now).map_err(signing)?;
        self.meters.token("access");
        let refresh = self.refresh_token(dialect, phone, signed_in, access.token.expose(), now)?;
        Ok(SignedInTokens {
            user_id: signed_in.user_id,
            phone,
            access,
            refresh: RefreshToken(Zeroizing::new(refresh)),
            refresh_expires_in_s: signed_in.expires_at.since(now) / SECOND,
            is_new_user: signed_in.is_new_user,
            account: None,
        })
    }

    fn refresh_token(
        &self,
        dialect: &Dialect,
        phone: PhoneNumber,
        signed_in: &SignedIn,
        access: &str,
        now: UnixMillis,
    ) -> Result<String, Failure> {
        let keys = &self.parts.keys;
        let text = match dialect.tokens.refresh {
            RefreshStyle::None => return Ok(String::new()),
            RefreshStyle::Opaque => {
                let token = keys.refresh_token(signed_in.key, phone, signed_in.session, signed_in.generation);
                format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
            }
            RefreshStyle::Jwt { claims, .. } => {
                let grant = RefreshGrant {
                    user_id: signed_in.user_id,
                    sid: HexId(keys.seal(signed_in.key, IdKind::Session, phone, signed_in.session).0),
                    generation: signed_in.generation.into(),
                    dialect: dialect.name,
                    life_s: signed_in.expires_at.since(now) / SECOND,
                };
                let facts = TokenFacts { user_id: signed_in.user_id, now };
                let beside = claims.map(|claims| claims(facts, access)).unwrap_or_default();
                let shape = Shape { algorithm: dialect.tokens.algorithm, life_s: None, beside };
                let signing = |_| Failure::Internal("a refresh token cannot be signed");
                self.parts.tokens.refresh_shaped(&grant, &shape, now).map_err(signing)?.token.expose().to_owned()
            }
        };
        self.meters.token("refresh");
        Ok(text)
    }

    /// Opens a refresh token: an opaque one, or a JWT that one of these dialects issued.
    pub(super) fn open_refresh(&self, token: &str, of: &[&str]) -> Result<RefreshHeld, TokenError> {
        if let Some(encoded) = token.strip_prefix(REFRESH_PREFIX) {
            let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Invalid)?);
            let (opened, generation) = self.parts.keys.open_refresh(&bytes).ok_or(TokenError::Invalid)?;
            return Ok(RefreshHeld { opened, generation });
        }
        self.open_jwt_refresh(token, |dialect| of.contains(&dialect))
    }

    /// Opens a refresh token of any door, to end it or to tell of it.
    pub(super) fn open_any_refresh(&self, token: &str) -> Result<RefreshHeld, TokenError> {
        self.open_refresh(token, &[]).or_else(|_| self.open_jwt_refresh(token, |_| true))
    }

    pub(super) fn open_jwt_refresh(
        &self,
        token: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<RefreshHeld, TokenError> {
        let claims = self.parts.tokens.read_refresh(token, self.now())?;
        if !is_taken(&claims.dialect) {
            return Err(TokenError::Invalid);
        }
        let opened = self.parts.keys.open(IdKind::Session, SealedId(claims.sid.0)).ok_or(TokenError::Invalid)?;
        let generation = u32::try_from(claims.generation).map_err(|_| TokenError::Invalid)?;
        Ok(RefreshHeld { opened, generation })
    }
}
