//! What a signed-in person may do: read, change, export and erase what is hers, see and end her sessions.

use std::sync::Arc;

use crate::{
    record::{
        Account, Command, Export, IdKind, Outcome, PhoneNumber, ProfilePatch, Refusal, SealedId, Session, SessionRef,
    },
    token::{AccessClaims, HexId, TokenError},
};

use super::{Dialect, Failure, Origin, Service, audit};

/// A signed-in person: her session is alive.
#[derive(Debug, Clone)]
pub struct User {
    /// Her number.
    pub phone: PhoneNumber,
    /// The token's claims.
    pub claims: Arc<AccessClaims>,
    /// The session behind it.
    pub session: Session,
    /// Her account.
    pub account: Account,
}

impl User {
    /// Her session, as other records name it.
    pub fn session_ref(&self) -> SessionRef {
        SessionRef { phone: self.phone, nonce: self.session.nonce }
    }
}

impl Service {
    /// The person behind an access token of any door, if its session is alive.
    pub async fn authenticate(&self, dialect: &Dialect, token: &str) -> Result<User, Failure> {
        let claims = self.parts.tokens.read_access(token, self.now())?;
        self.user_of(dialect, claims).await
    }

    pub(super) async fn user_of(&self, dialect: &Dialect, claims: Arc<AccessClaims>) -> Result<User, Failure> {
        let sealed = SealedId(claims.sid.0);
        let opened = self.parts.keys.open(IdKind::Session, sealed).ok_or(Failure::Token(TokenError::Invalid))?;
        let command = Command::Authenticate { session: opened.nonce };
        let reply = self.ask(dialect, opened.phone, command.into()).await?;
        match reply.outcome {
            Outcome::Authenticated { session, account } if account.user_id == claims.user_id => {
                Ok(User { phone: opened.phone, claims, session, account: account.without_password() })
            }
            Outcome::Authenticated { .. } | Outcome::Refused(Refusal::SessionUnknown) => {
                Err(Failure::Token(TokenError::Invalid))
            }
            Outcome::Refused(Refusal::NoAccount) => Err(Failure::Token(TokenError::UserGone)),
            _ => Err(self.unexpected(dialect, &reply)),
        }
    }

    /// Who has a number, if anyone.
    pub async fn identify(&self, dialect: &Dialect, phone: PhoneNumber) -> Result<Option<Account>, Failure> {
        let reply = self.ask(dialect, phone, Command::Identify.into()).await?;
        match reply.outcome {
            Outcome::Identified(account) => Ok(account.map(|account| account.without_password())),
            _ => Err(self.unexpected(dialect, &reply)),
        }
    }

    /// A session's id as tokens carry it.
    pub fn sid(&self, phone: PhoneNumber, session: &Session) -> HexId {
        HexId(self.parts.keys.seal(session.key, IdKind::Session, phone, session.nonce).0)
    }

    /// Changes the profile.
    pub async fn update_profile(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        user: &User,
        patch: ProfilePatch,
    ) -> Result<Account, Failure> {
        let command = Command::UpdateProfile { session: user.session.nonce, patch: Box::new(patch) };
        let phone = user.phone;
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let reply = service.ask(&dialect, phone, service.request(&origin, command)).await?;
            match reply.outcome {
                Outcome::Authenticated { account, .. } => {
                    audit::done("profile_changed", &dialect, &origin, phone);
                    Ok(*account)
                }
                _ => Err(service.unexpected(&dialect, &reply)),
            }
        })
        .await
    }

    /// Everything the record has for its owner.
    pub async fn export(&self, dialect: &Dialect, origin: &Origin, user: &User) -> Result<Box<Export>, Failure> {
        let export = self.everything(dialect, user).await?;
        audit::done("exported", dialect, origin, user.phone);
        Ok(export)
    }

    /// The person's open sessions, oldest first.
    pub async fn sessions(&self, dialect: &Dialect, user: &User) -> Result<Vec<Session>, Failure> {
        Ok(self.everything(dialect, user).await?.sessions)
    }

    async fn everything(&self, dialect: &Dialect, user: &User) -> Result<Box<Export>, Failure> {
        let command = Command::Export { session: user.session.nonce };
        let reply = self.ask(dialect, user.phone, command.into()).await?;
        match reply.outcome {
            Outcome::Exported(export) => Ok(export),
            _ => Err(self.unexpected(dialect, &reply)),
        }
    }

    /// Removes account, profile and sessions.
    pub async fn erase(&self, dialect: &Dialect, origin: &Origin, user: &User) -> Result<(), Failure> {
        self.end_with(dialect, origin, user, Command::Erase { session: user.session.nonce }, "erased").await
    }

    /// Ends one of the person's sessions; one of another account is unknown.
    pub async fn end_session(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        user: &User,
        sid: HexId,
    ) -> Result<(), Failure> {
        let opened = self.parts.keys.open(IdKind::Session, SealedId(sid.0));
        let opened = opened.filter(|opened| opened.phone == user.phone).ok_or(Failure::UnknownId)?;
        let command = Command::EndSession { by: Some(user.session.nonce), session: opened.nonce };
        self.end_with(dialect, origin, user, command, "session_ended").await
    }

    async fn end_with(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        user: &User,
        command: Command,
        event: &'static str,
    ) -> Result<(), Failure> {
        let phone = user.phone;
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let reply = service.ask(&dialect, phone, service.request(&origin, command)).await?;
            match reply.outcome {
                Outcome::Done => {
                    audit::done(event, &dialect, &origin, phone);
                    Ok(())
                }
                _ => Err(service.unexpected(&dialect, &reply)),
            }
        })
        .await
    }
}
