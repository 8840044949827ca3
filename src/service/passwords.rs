//! Registering with a password and signing in with one, for dialects that do so.
//!
//! A place in the hashing pool comes first, so that an overload is refused before anything is counted; then the try is
//! counted, then compared, then its outcome entered. The record sees neither password nor comparison.

use super::{Answer, Code, Dialect, Failure, Origin, Service, SignedInTokens, audit};
use crate::{
    password::{HashFault, Password, PoolFull},
    record::{
        Command, IdKind, Label, Millis, NO_NEW_USER, OnMatch, Outcome, PASSWORD, PhoneNumber, ProfilePatch, SealedId,
        SignIn, Target,
    },
};

/// A registration token, opened: the number it lets register, once.
#[derive(Debug, Clone, Copy)]
pub struct GrantRef {
    phone: PhoneNumber,
    nonce: u64,
}

impl From<PoolFull> for Failure {
    fn from(PoolFull: PoolFull) -> Self {
        Self::PasswordsOverloaded
    }
}

impl From<HashFault> for Failure {
    fn from(HashFault: HashFault) -> Self {
        Self::Internal("a password could not be hashed")
    }
}

impl Service {
    /// Checks a code by number; the right one gives a registration token of 32 hexadecimal digits, good once.
    pub async fn grant_newest(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        (phone, purpose): (PhoneNumber, Label),
        code: Code,
        life_ms: Millis,
    ) -> Result<Answer<String>, Failure> {
        let on_match = OnMatch::Grant { nonce: self.draw(), life_ms };
        let target = Target::Newest(dialect.door(purpose));
        let address = self.sender_of(origin).address;
        let check = Command::Check { target, code, on_match, session: None, address };
        let request = self.request(origin, check);
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let reply = service.ask(&dialect, phone, request).await?;
            if !reply.replayed {
                service.meters.check(dialect.name, &reply.outcome);
            }
            let Outcome::Granted { nonce, key, .. } = reply.outcome else {
                let failure = service.unexpected(&dialect, &reply);
                audit::refused("code_checked", &dialect, &origin, phone, &failure);
                return Err(failure);
            };
            audit::done("code_checked", &dialect, &origin, phone);
            let token = service.parts.keys.seal(key, IdKind::Grant, phone, nonce).to_hex();
            Ok(Answer::of(&reply, token))
        })
        .await
    }

    /// Opens a registration token that is good now; its number must have no account.
    pub async fn open_grant(&self, dialect: &Dialect, token: &str) -> Result<GrantRef, Failure> {
        let sealed = SealedId::from_hex(token).ok_or(Failure::UnknownId)?;
        let opened = self.parts.keys.open(IdKind::Grant, sealed).ok_or(Failure::UnknownId)?;
        let reply = self.ask(dialect, opened.phone, Command::ReadGrant { nonce: opened.nonce }.into()).await?;
        match reply.outcome {
            Outcome::Done => Ok(GrantRef { phone: opened.phone, nonce: opened.nonce }),
            _ => Err(self.unexpected(dialect, &reply)),
        }
    }

    /// Makes the account that a registration token stands for, with this password, and signs in.
    pub async fn register(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        grant: GrantRef,
        password: Password,
        profile: ProfilePatch,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let hash = self.parts.passwords.place().await?.hash(password).await?;
        self.open_session(dialect, origin, grant.phone, |sign_in| Command::Register {
            nonce: grant.nonce,
            profile,
            password: Some(hash),
            sign_in,
        })
        .await
    }

    /// Signs in with a password. `reveal`: a number without an account is told apart, else it is as good as one whose
    /// password is unknown.
    pub async fn sign_in_with_password(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        password: Password,
        reveal: bool,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let signed_in = service.compare_password(&dialect, &origin, phone, password, reveal).await;
            match &signed_in {
                Ok(_) => audit::done("password_checked", &dialect, &origin, phone),
                Err(failure) => audit::refused("password_checked", &dialect, &origin, phone, failure),
            }
            signed_in
        })
        .await
    }

    async fn compare_password(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        password: Password,
        reveal: bool,
    ) -> Result<Answer<SignedInTokens>, Failure> {
        let place = self.parts.passwords.place().await?;
        let nonce = self.draw();
        let begin = Command::BeginPassword { nonce, address: self.sender_of(origin).address, reveal };
        let begun = self.ask(dialect, phone, begin.into()).await?;
        let Outcome::Comparing(hash) = &begun.outcome else { return Err(self.unexpected(dialect, &begun)) };
        let compared = place.compare(password, hash.clone()).await?;
        let sign_in = SignIn { session: self.draw(), user_id: NO_NEW_USER, client: Self::client_of(origin) };
        let end = Command::EndPassword {
            nonce,
            door: dialect.door(PASSWORD),
            right: compared.right.then_some(sign_in),
            renewed: compared.renewed,
        };
        let ended = self.ask(dialect, phone, end.into()).await?;
        self.meters.check(dialect.name, &ended.outcome);
        match ended.outcome {
            Outcome::SignedIn(signed_in) => Ok(Answer::of(&ended, self.sign(dialect, phone, &signed_in, ended.now)?)),
            _ => Err(self.unexpected(dialect, &ended)),
        }
    }
}
