//! Sign-ins: receipts, codes and refresh tokens turned into tokens; revocation and introspection.

use std::sync::Arc;

use crate::{
    record::{
        Command, IdKind, Label, NO_NEW_USER, OnMatch, Outcome, PhoneNumber, Refusal, SealedId, SignIn, Target,
        UnixMillis,
    },
    token::{AccessClaims, HexId, ReceiptClaims, ReceiptGrant, Token},
};

use super::{
    Answer, Dialect, Failure, Origin, Service, VerificationRef, audit,
    tokens::{BY_CODE, RefreshHeld, RefreshStyle, SignedInTokens},
    verification::Verification,
};

/// What an introspected token is (RFC 7662).
#[derive(Debug, Clone)]
pub enum Introspection {
    /// Not ours, not good any more, or its session has ended.
    Inactive,
    /// A live access token.
    Access(Arc<AccessClaims>),
    /// A receipt that is good now. Whether it was redeemed is not said: it proves a check, not a session.
    Receipt(Arc<ReceiptClaims>),
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
        let grant =
            ReceiptGrant { purpose: purpose.as_str(), phone: verification.phone, amr: BY_CODE, jti: HexId(jti.0) };
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

    /// Checks a code by number and signs in whoever has the number; it makes no user. The code is spent either way.
    pub async fn sign_in_known_newest(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        (phone, purpose): (PhoneNumber, Label),
        code: super::Code,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let sign_in = SignIn { session: self.draw(), user_id: NO_NEW_USER, client: Self::client_of(origin) };
        let (target, address) = (Target::Newest(dialect.door(purpose)), self.sender_of(origin).address);
        let check = Command::Check { target, code, on_match: OnMatch::SignIn(sign_in), session: None, address };
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            service.open_session_now(&dialect, &origin, phone, check, NO_NEW_USER).await
        })
        .await
    }

    async fn sign_in_with(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        target: Target,
        code: super::Code,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let address = self.sender_of(origin).address;
        self.open_session(dialect, origin, phone, |sign_in| Command::Check {
            target,
            code,
            on_match: OnMatch::SignIn(sign_in),
            session: None,
            address,
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
    pub(super) async fn open_session(
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
        let mut reply = self.ask(dialect, phone, self.request(origin, command)).await?;
        if is_check && !reply.replayed {
            self.meters.check(dialect.name, &reply.outcome);
        }
        let Outcome::SignedIn(signed_in) = reply.outcome else {
            self.give_back(user_id).await;
            let failure = self.unexpected(dialect, &reply);
            audit::refused("signed_in", dialect, origin, phone, &failure);
            return Err(failure);
        };
        if signed_in.user_id != user_id {
            self.give_back(user_id).await;
        }
        if !reply.replayed {
            audit::done("signed_in", dialect, origin, phone);
        }
        let tokens = self.sign(dialect, phone, &signed_in, reply.now)?;
        let account = reply.account.take();
        Ok(Answer::of(&reply, SignedInTokens { account, ..tokens }))
    }

    async fn give_back(&self, user_id: u64) {
        if user_id != NO_NEW_USER {
            self.parts.user_ids.give_back(user_id).await;
        }
    }

    /// Gives the next tokens for a refresh token: at a door of opaque ones an opaque one, and at any a JWT of one of the
    /// dialects in `of`.
    pub async fn refresh(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        token: &str,
        of: &[&str],
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let held = match dialect.tokens.refresh {
            RefreshStyle::Opaque => self.open_refresh(token, of)?,
            RefreshStyle::Jwt { .. } | RefreshStyle::None => self.open_jwt_refresh(token, |name| of.contains(&name))?,
        };
        let rotate = dialect.tokens.refresh.rotates();
        let command = Command::Refresh { session: held.opened.nonce, generation: held.generation, rotate };
        let (phone, request) = (held.opened.phone, self.request(origin, command));
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let reply = service.ask(&dialect, phone, request).await?;
            let Outcome::SignedIn(signed_in) = reply.outcome else {
                let failure = service.unexpected(&dialect, &reply);
                audit::refused("refreshed", &dialect, &origin, phone, &failure);
                return Err(failure);
            };
            audit::done("refreshed", &dialect, &origin, phone);
            Ok(Answer::of(&reply, service.sign(&dialect, phone, &signed_in, reply.now)?))
        })
        .await
    }

    /// Ends the session of an access or refresh token. A token that is not good any more is a success (RFC 7009), which
    /// no record answers: `None`.
    pub async fn revoke(&self, dialect: &Dialect, origin: &Origin, token: &str) -> Result<Option<Answer<()>>, Failure> {
        let by_refresh = self.open_any_refresh(token).ok().map(|held| held.opened);
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
                Ok(user) => Ok(Introspection::Access(user.claims)),
                Err(Failure::Token(_)) => Ok(Introspection::Inactive),
                Err(Failure::Refused(refused)) if refused.refusal == Refusal::Inactive => Ok(Introspection::Inactive),
                // Not knowing is not the same as knowing that it has ended.
                Err(failure) => Err(failure),
            };
        }
        if let Ok(claims) = self.parts.tokens.read_receipt(token, self.now()) {
            return Ok(Introspection::Receipt(claims));
        }
        let Ok(RefreshHeld { opened, generation }) = self.open_any_refresh(token) else {
            return Ok(Introspection::Inactive);
        };
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
