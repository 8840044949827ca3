//! Sessions: opened by a sign-in, kept alive by rotating refresh tokens, ended by logout, reuse or time.

use serde::{Deserialize, Serialize};

use super::{
    label::Label,
    number::PhoneNumber,
    policy::Door,
    seal::KeyId,
    time::{Millis, UnixMillis},
};

/// Most sessions of a number; the oldest ends when one more is opened.
pub const SESSIONS_MAX: usize = 10;

/// A session, named from another number's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRef {
    /// The number that owns it.
    pub phone: PhoneNumber,
    /// Its own 64 random bits.
    pub nonce: u64,
}

/// One sign-in that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its own 64 random bits.
    pub nonce: u64,
    /// The key its id and its refresh tokens are made under.
    pub key: KeyId,
    /// Where it was opened.
    pub door: Door,
    /// Which client opened it: an API key's id, or `otpd`.
    pub client: Label,
    /// When the person signed in.
    pub opened_at: UnixMillis,
    /// When it ends whatever happens.
    pub expires_at: UnixMillis,
    /// The newest refresh token's generation.
    pub generation: u32,
    /// When that generation was issued.
    pub rotated_at: UnixMillis,
}

/// In the place of a fresh user id: sign in only whoever has the number. User ids begin with 1.
pub const NO_NEW_USER: u64 = 0;

/// What a sign-in needs that the core cannot draw itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// 64 random bits for the new session.
    pub session: u64,
    /// A fresh user id, used if the number has no account; [`NO_NEW_USER`]: then nobody is signed in.
    pub user_id: u64,
    /// Which client asks.
    pub client: Label,
}

/// The facts tokens are made from. No token among them: a replay signs afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// The session.
    pub session: u64,
    /// The key its id and its refresh tokens are made under.
    pub key: KeyId,
    /// Where it was opened.
    pub door: Door,
    /// Which client opened it.
    pub client: Label,
    /// The refresh token's generation.
    pub generation: u32,
    /// The account.
    pub user_id: u64,
    /// True if this sign-in made the account.
    pub is_new_user: bool,
    /// When the person signed in.
    pub opened_at: UnixMillis,
    /// When the session ends.
    pub expires_at: UnixMillis,
}

/// What a refresh comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    /// A new generation; to be committed.
    Next(u32),
    /// The same successor again; nothing changes.
    Again(u32),
    /// A retired token outside the grace: somebody else has a copy.
    Reused,
}

impl Session {
    /// Judges a refresh token of `generation`.
    pub(super) fn rotate(&self, generation: u32, grace: Millis, now: UnixMillis) -> Rotation {
        let successor_is_fresh =
            self.generation.checked_sub(1) == Some(generation) && now.since(self.rotated_at) <= grace;
        if generation == self.generation {
            Rotation::Next(self.generation.saturating_add(1))
        } else if successor_is_fresh {
            Rotation::Again(self.generation)
        } else {
            Rotation::Reused
        }
    }
}
