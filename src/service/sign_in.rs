//! Sign-ins: receipts, codes and refresh tokens turned into tokens; revocation and introspection.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    record::{
        Command, IdKind, Label, OnMatch, Outcome, PhoneNumber, SECOND, SealedId, SignIn, SignedIn, Target, UnixMillis,
    },
    token::{AccessClaims, AccessGrant, HexId, Minted, ReceiptGrant, Token, TokenError},
};

use super::{Answer, Dialect, Failure, Origin, Service, VerificationRef, audit, verification::Verification};

/// How a person who typed a code from an SMS has proved herself (RFC 8176).
const AMR: &[&str] = &["otp", "sms"];
/// What every refresh token of `/v1` starts with.
const REFRESH_PREFIX: &str = "rt_";

/// The tokens of a session, just signed.
#[derive(Debug, Clone)]
pub struct SignedInTokens {
    /// The access token.
    pub access: Minted,
    /// The refresh token. A credential.
    pub refresh: RefreshToken,
    /// Seconds until the session ends.
    pub refresh_expires_in_s: u64,
    /// True if this sign-in made the account.
    pub is_new_user: bool,
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

/// What an introspected token is (RFC 7662).
#[derive(Debug, Clone)]
pub enum Introspection {
    /// Not ours, not good any more, or its session has ended.
    Inactive,
    /// A live access token.
    Access(Box<AccessClaims>),
    /// The newest refresh token of a live session.
    Refresh {
        /// The session.
        sid: HexId,
        /// Whose it is.
        user_id: u64,
        /// Which client opened it.
        client: Label,
        /// When the session ends.
        expires_at: UnixMillis,
    },
}

impl Service {
    pub(super) fn receipt(&self, verification: &Verification, at: UnixMillis) -> Result<Token, Failure> {
        let view = &verification.view;
        let jti = self.parts.keys.seal(view.key, IdKind::Verification, verification.phone, view.nonce);
        let purpose = view.door.purpose;
        let grant = ReceiptGrant { purpose: purpose.as_str(), phone: verification.phone, amr: AMR, jti: HexId(jti.0) };
        let minted =
            self.parts.tokens.receipt(&grant, at).map_err(|_| Failure::Internal("a receipt cannot be signed"))?;
        self.meters.token("receipt");
        Ok(minted.token)
    }

    /// Checks a code by id and signs in.
    pub async fn sign_in(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        of: VerificationRef,
        code: super::Code,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        self.sign_in_with(dialect, origin, of.phone, Target::Id(of.nonce), code).await
    }

    /// Checks a code by number and signs in.
    pub async fn sign_in_newest(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        (phone, purpose): (PhoneNumber, Label),
        code: super::Code,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        self.sign_in_with(dialect, origin, phone, Target::Newest(dialect.door(purpose)), code).await
    }

    async fn sign_in_with(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        target: Target,
        code: super::Code,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        self.open_session(dialect, origin, phone, |sign_in| Command::Check {
            target,
            code,
            on_match: OnMatch::SignIn(sign_in),
            session: None,
        })
        .await
    }

    /// Turns a receipt into a session.
    pub async fn redeem(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        receipt: &str,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let claims = self.parts.tokens.read_receipt(receipt, self.now())?;
        let opened = self.parts.keys.open(IdKind::Verification, SealedId(claims.jti.0)).ok_or(Failure::UnknownId)?;
        self.open_session(dialect, origin, opened.phone, |sign_in| Command::Redeem { nonce: opened.nonce, sign_in })
            .await
    }

    /// Runs a command that opens a session, with the draws it needs.
    async fn open_session(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        command: impl FnOnce(SignIn) -> Command,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let user_id = self.parts.user_ids.take().await?;
        let command = command(SignIn { session: self.draw(), user_id, client: Self::client_of(origin) });
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            service.open_session_now(&dialect, &origin, phone, command, user_id).await
        })
        .await
    }

    async fn open_session_now(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        command: Command,
        user_id: u64,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let is_check = matches!(command, Command::Check { .. });
        // A fault leaves it open whether the id was used: then it is not given back.
        let reply = self.ask(dialect, phone, self.request(origin, command)).await?;
        if is_check {
            self.meters.check(dialect.name, &reply.outcome);
        }
        let Outcome::SignedIn(signed_in) = reply.outcome else {
            self.parts.user_ids.give_back(user_id).await;
            let failure = self.unexpected(dialect, &reply);
            audit::refused("signed_in", dialect, origin, phone, &failure);
            return Err(failure);
        };
        if signed_in.user_id != user_id {
            self.parts.user_ids.give_back(user_id).await;
        }
        if !reply.replayed {
            audit::done("signed_in", dialect, origin, phone);
        }
        Ok(Answer::of(&reply, self.sign(phone, &signed_in, reply.now)?))
    }

    /// Signs the tokens of a session.
    pub(super) fn sign(
        &self,
        phone: PhoneNumber,
        signed_in: &SignedIn,
        now: UnixMillis,
    ) -> Result<SignedInTokens, Failure> {
        let keys = &self.parts.keys;
        let sid = keys.seal(signed_in.key, IdKind::Session, phone, signed_in.session);
        let client = signed_in.client;
        let grant = AccessGrant {
            user_id: signed_in.user_id,
            phone,
            sid: HexId(sid.0),
            client_id: client.as_str(),
            auth_time: signed_in.opened_at,
            amr: AMR,
        };
        let access =
            self.parts.tokens.access(&grant, now).map_err(|_| Failure::Internal("an access token cannot be signed"))?;
        let refresh = keys.refresh_token(signed_in.key, phone, signed_in.session, signed_in.generation);
        self.meters.token("access");
        self.meters.token("refresh");
        Ok(SignedInTokens {
            access,
            refresh: RefreshToken(Zeroizing::new(format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(refresh)))),
            refresh_expires_in_s: signed_in.expires_at.since(now) / SECOND,
            is_new_user: signed_in.is_new_user,
        })
    }

    /// Rotates a refresh token of `/v1`.
    pub async fn refresh(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        token: &str,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let (opened, generation) = self.open_refresh(token).ok_or(Failure::Token(TokenError::Invalid))?;
        let request = self.request(origin, Command::Refresh { session: opened.nonce, generation, rotate: true });
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            let reply = service.ask(&dialect, opened.phone, request).await?;
            let Outcome::SignedIn(signed_in) = reply.outcome else {
                let failure = service.unexpected(&dialect, &reply);
                audit::refused("refreshed", &dialect, &origin, opened.phone, &failure);
                return Err(failure);
            };
            audit::done("refreshed", &dialect, &origin, opened.phone);
            Ok(Answer::of(&reply, service.sign(opened.phone, &signed_in, reply.now)?))
        })
        .await
    }

    fn open_refresh(&self, token: &str) -> Option<(crate::record::Opened, u32)> {
        let encoded = token.strip_prefix(REFRESH_PREFIX)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
        self.parts.keys.open_refresh(&bytes)
    }

    /// Ends the session of an access or refresh token. A token that is not good any more is a success (RFC 7009), which
    /// no record answers: `None`.
    pub async fn revoke(&self, dialect: &Dialect, origin: &Origin, token: &str) -> Result<Option<Answer<()>>, Failure> {
        let by_refresh = self.open_refresh(token).map(|(opened, _)| opened);
        let by_access = || {
            let claims = self.parts.tokens.read_access(token, self.now()).ok()?;
            self.parts.keys.open(IdKind::Session, SealedId(claims.sid.0))
        };
        let Some(opened) = by_refresh.or_else(by_access) else { return Ok(None) };
        let request = self.request(origin, Command::EndSession { by: None, session: opened.nonce });
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            let reply = service.ask(&dialect, opened.phone, request).await?;
            match reply.outcome {
                Outcome::Done => {
                    audit::done("signed_out", &dialect, &origin, opened.phone);
                    Ok(Some(Answer::of(&reply, ())))
                }
                _ => Err(service.unexpected(&dialect, &reply)),
            }
        })
        .await
    }

    /// What a token is, asked by a back end.
    pub async fn introspect(&self, dialect: &Dialect, token: &str) -> Result<Introspection, Failure> {
        if let Ok(claims) = self.parts.tokens.read_access(token, self.now()) {
            return match self.user_of(dialect, claims).await {
                Ok(user) => Ok(Introspection::Access(Box::new(user.claims))),
                Err(Failure::Token(_)) => Ok(Introspection::Inactive),
                // Not knowing is not the same as knowing that it has ended.
                Err(failure) => Err(failure),
            };
        }
        let Some((opened, generation)) = self.open_refresh(token) else { return Ok(Introspection::Inactive) };
        let command = Command::Authenticate { session: opened.nonce };
        let reply = self.ask(dialect, opened.phone, command.into()).await?;
        Ok(match reply.outcome {
            Outcome::Authenticated { session, account } if session.generation == generation => {
                let sid = self.parts.keys.seal(session.key, IdKind::Session, opened.phone, session.nonce);
                Introspection::Refresh {
                    sid: HexId(sid.0),
                    user_id: account.user_id,
                    client: session.client,
                    expires_at: session.expires_at,
                }
            }
            _ => Introspection::Inactive,
        })
    }
}
