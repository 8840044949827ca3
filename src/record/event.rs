//! What happened to a number, as its owner's back end is told: verifications, users, sessions.
//!
//! Read off the record before and after a committed change by [`events()`], so no rule has to remember to say it. An
//! event holds nonces and key ids; whoever tells it outside makes the public ids from them. Never a code, a token or a
//! field of a profile.
//!
//! Events wait in the store as bytes ([`Occurred::encode`]): `[kind u8][bincode 2 body]`. New variants go to the end of
//! their enum, because older bytes have to stay readable.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    challenge::{Challenge, Stage},
    label::Label,
    number::PhoneNumber,
    outcome::{Outcome, Refusal},
    policy::Door,
    seal::KeyId,
    session::Session,
    state::Record,
    time::UnixMillis,
};

/// First byte of an encoded event of a number.
pub const KIND: u8 = 1;
/// Most bytes that an encoded event may claim while it is decoded: ten times what one has.
const DECODE_BYTES_MAX: usize = 4 * 1024;

/// An event, whose it is, and when it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurred {
    /// When.
    pub at: UnixMillis,
    /// To which number.
    pub phone: PhoneNumber,
    /// What.
    pub event: Event,
}

/// Everything that can happen to a number and is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// `verification.*`
    Verification {
        /// What became of it.
        change: VerificationChange,
        /// Which one.
        facts: VerificationFacts,
    },
    /// `user.*`
    User {
        /// What became of the account.
        change: UserChange,
        /// Whose it is.
        user_id: u64,
    },
    /// `session.*`
    Session {
        /// What became of it.
        change: SessionChange,
        /// Which one.
        facts: SessionFacts,
    },
}

/// What became of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerificationChange {
    /// A code was asked for.
    Created,
    /// The right code was given.
    Approved,
    /// Its code is not good any more.
    Canceled(Cancellation),
    /// Its message could certainly not be sent.
    Failed,
    /// Its time was over; noticed with the number's next change.
    Expired,
    /// The last try was wrong.
    MaxAttemptsReached {
        /// Tries of checks by number, not by id.
        by_number: bool,
    },
}

/// Why a verification was canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cancellation {
    /// Its holder wished it.
    Holder,
    /// A newer one of the same door took its place.
    Superseded,
    /// The number had too many.
    Displaced,
}

/// Which verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationFacts {
    /// Its 64 random bits.
    pub nonce: u64,
    /// The key its id is sealed under.
    pub key: KeyId,
    /// Where it was asked for.
    pub door: Door,
    /// By what it was sent.
    pub channel: Label,
    /// When it was asked for.
    pub created_at: UnixMillis,
    /// When its code stops being good.
    pub expires_at: UnixMillis,
}

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserChange {
    /// It was made, by the first sign-in.
    Created,
    /// Its profile changed.
    Updated,
    /// Its owner erased it.
    Deleted,
    /// It came to this number from another.
    PhoneChanged {
        /// The number it had.
        from: PhoneNumber,
    },
    /// An administrator shut it.
    Deactivated,
    /// An administrator opened it again.
    Activated,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionChange {
    /// Somebody signed in.
    Created,
    /// It is over.
    Ended(SessionEnd),
    /// A retired refresh token came back: two parties have it. The session ends with it.
    ReuseDetected,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEnd {
    /// Its owner, or one of her other sessions, ended it.
    SignedOut,
    /// Its time was over; noticed with the number's next change.
    Expired,
    /// The number had too many.
    Displaced,
    /// A retired refresh token came back.
    Reuse,
    /// The account was erased.
    UserDeleted,
    /// The account has gone to another number.
    PhoneChanged,
}

/// Which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Its 64 random bits.
    pub nonce: u64,
    /// The key its id is sealed under.
    pub key: KeyId,
    /// Whose it is.
    pub user_id: u64,
    /// Where it was opened.
    pub door: Door,
    /// Which client opened it.
    pub client: Label,
    /// When it ends by itself.
    pub expires_at: UnixMillis,
}

impl Event {
    /// Its type on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verification { change, .. } => match change {
                VerificationChange::Created => "verification.created",
                VerificationChange::Approved => "verification.approved",
                VerificationChange::Canceled(_) => "verification.canceled",
                VerificationChange::Failed => "verification.failed",
                VerificationChange::Expired => "verification.expired",
                VerificationChange::MaxAttemptsReached { .. } => "verification.max_attempts_reached",
            },
            Self::User { change, .. } => match change {
                UserChange::Created => "user.created",
                UserChange::Updated => "user.updated",
                UserChange::Deleted => "user.deleted",
                UserChange::PhoneChanged { .. } => "user.phone_changed",
                UserChange::Deactivated => "user.deactivated",
                UserChange::Activated => "user.activated",
            },
            Self::Session { change, .. } => match change {
                SessionChange::Created => "session.created",
                SessionChange::Ended(_) => "session.ended",
                SessionChange::ReuseDetected => "session.reuse_detected",
            },
        }
    }

    /// Every type there is.
    pub const NAMES: [&'static str; 15] = [
        "verification.created",
        "verification.approved",
        "verification.canceled",
        "verification.failed",
        "verification.expired",
        "verification.max_attempts_reached",
        "user.created",
        "user.updated",
        "user.deleted",
        "user.phone_changed",
        "user.deactivated",
        "user.activated",
        "session.created",
        "session.ended",
        "session.reuse_detected",
    ];
}

impl Occurred {
    /// Its bytes in the store.
    pub fn encode(&self) -> Vec<u8> {
        encode_as(KIND, self)
    }

    /// Reads it back; `None` for bytes of another kind, of a newer otpd, or damaged ones.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode_as(KIND, bytes)
    }
}

/// An event as the store's outbox keeps it, whoever it is of: `[kind u8][bincode 2 body]`.
pub fn encode_as<T: Serialize>(kind: u8, event: &T) -> Vec<u8> {
    let mut bytes = vec![kind];
    // Encoding fails for types that serde cannot express in bincode alone, and the tests cover ours.
    bytes.extend(bincode::serde::encode_to_vec(event, bincode::config::standard()).unwrap_or_default());
    bytes
}

/// Reads it back; `None` for bytes of another kind, of a newer otpd, or damaged ones.
pub fn decode_as<T: DeserializeOwned>(kind: u8, bytes: &[u8]) -> Option<T> {
    let (found, body) = bytes.split_first()?;
    let config = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();
    let (event, read) = bincode::serde::decode_from_slice(body, config).ok()?;
    (*found == kind && read == body.len()).then_some(event)
}

/// Which events somebody wants to hear of. The default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter(Arc<[String]>);

impl EventFilter {
    /// From patterns: a type's name, a family as in `user.*`, or `*` for everything.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// True if nothing is wanted.
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// Is an event of this type wanted?
    pub fn wants(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| covers(pattern, name))
    }

    /// The first pattern that covers none of these types.
    pub fn idle_pattern<'a>(&self, names: &(impl Iterator<Item = &'a str> + Clone)) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|pattern| !names.clone().any(|name| covers(pattern, name)))
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    let family = pattern
        .strip_suffix(".*")
        .is_some_and(|family| name.strip_prefix(family).is_some_and(|rest| rest.starts_with('.')));
    pattern == "*" || pattern == name || family
}

/// What a change that came to `outcome` has to tell, in the order in which it happened.
pub fn events(before: &Record, after: &Record, outcome: &Outcome) -> Vec<Occurred> {
    let mut told = Vec::new();
    verifications(before, after, &mut told);
    ended_sessions(before, after, outcome, &mut told);
    users(before, after, &mut told);
    for session in after.sessions.iter().filter(|session| before.session(session.nonce).is_none()) {
        told.push(of_session(after, session, SessionChange::Created));
    }
    told.into_iter().map(|event| Occurred { at: after.seen_at, phone: after.phone, event }).collect()
}

fn verifications(before: &Record, after: &Record, told: &mut Vec<Event>) {
    let mut tell = |challenge: &Challenge, change| told.push(of_challenge(challenge, change));
    for was in &before.challenges {
        let was_open = was.stage == Stage::Pending && before.seen_at < was.expires_at;
        match after.challenge(was.nonce) {
            None if was_open && was.expires_at <= after.seen_at => tell(was, VerificationChange::Expired),
            None if was_open => tell(was, VerificationChange::Canceled(Cancellation::Displaced)),
            None => {}
            Some(is) => {
                if let Some(change) = change(was, is, was_open, after.seen_at) {
                    tell(is, change);
                }
            }
        }
    }
    for challenge in after.challenges.iter().filter(|challenge| before.challenge(challenge.nonce).is_none()) {
        tell(challenge, VerificationChange::Created);
    }
}

fn change(was: &Challenge, is: &Challenge, was_open: bool, now: UnixMillis) -> Option<VerificationChange> {
    let has_run_out = is.expires_at <= now;
    match is.stage {
        _ if was.stage != Stage::Pending => None,
        Stage::Approved { .. } => Some(VerificationChange::Approved),
        Stage::Canceled { .. } => Some(VerificationChange::Canceled(Cancellation::Holder)),
        Stage::Failed { .. } => Some(VerificationChange::Failed),
        Stage::Superseded { .. } if !has_run_out => Some(VerificationChange::Canceled(Cancellation::Superseded)),
        Stage::Pending | Stage::Superseded { .. } if has_run_out => was_open.then_some(VerificationChange::Expired),
        Stage::Pending | Stage::Superseded { .. } => {
            let spent = |was: u8, is: u8, max: u8| was < max && is >= max;
            let by_id = spent(was.attempts_by_id, is.attempts_by_id, is.attempts_max);
            let by_number = spent(was.attempts_by_number, is.attempts_by_number, is.attempts_max);
            (by_id || by_number).then_some(VerificationChange::MaxAttemptsReached { by_number })
        }
    }
}

fn of_challenge(challenge: &Challenge, change: VerificationChange) -> Event {
    let Challenge { nonce, key, door, channel, created_at, expires_at, .. } = *challenge;
    Event::Verification { change, facts: VerificationFacts { nonce, key, door, channel, created_at, expires_at } }
}

fn ended_sessions(before: &Record, after: &Record, outcome: &Outcome, told: &mut Vec<Event>) {
    let reused = matches!(outcome, Outcome::Refused(Refusal::RefreshReused));
    let signed_in = after.sessions.iter().any(|session| before.session(session.nonce).is_none());
    for session in before.sessions.iter().filter(|session| after.session(session.nonce).is_none()) {
        // A clock that ran ahead ends what was over by it.
        let over = session.expires_at <= after.seen_at.max(before.seen_at);
        let end = match () {
            () if over => SessionEnd::Expired,
            () if reused => SessionEnd::Reuse,
            () if before.parcel.is_none() && after.parcel.is_some() => SessionEnd::PhoneChanged,
            () if after.account.is_none() => SessionEnd::UserDeleted,
            () if signed_in => SessionEnd::Displaced,
            () => SessionEnd::SignedOut,
        };
        if end == SessionEnd::Reuse {
            told.push(of_session(before, session, SessionChange::ReuseDetected));
        }
        told.push(of_session(before, session, SessionChange::Ended(end)));
    }
}

fn of_session(owner: &Record, session: &Session, change: SessionChange) -> Event {
    let Session { nonce, key, door, client, expires_at, .. } = *session;
    let user_id = owner.account.as_ref().map_or(0, |account| account.user_id);
    Event::Session { change, facts: SessionFacts { nonce, key, user_id, door, client, expires_at } }
}

fn users(before: &Record, after: &Record, told: &mut Vec<Event>) {
    let mut tell = |change, user_id| told.push(Event::User { change, user_id });
    match (&before.account, &after.account) {
        (None, Some(is)) => {
            // An account comes from another number exactly when the claim that waits for it ends.
            let came = before.claim.filter(|_| after.claim.is_none());
            let from = came.map(|claim| UserChange::PhoneChanged { from: claim.from });
            tell(from.unwrap_or(UserChange::Created), is.user_id);
        }
        // One that leaves as a parcel is told of where it arrives.
        (Some(was), None) if after.parcel.is_none() => tell(UserChange::Deleted, was.user_id),
        (Some(was), Some(is)) => {
            if was.profile != is.profile {
                tell(UserChange::Updated, is.user_id);
            }
            match (was.active, is.active) {
                (true, false) => tell(UserChange::Deactivated, is.user_id),
                (false, true) => tell(UserChange::Activated, is.user_id),
                _ => {}
            }
        }
        (Some(_) | None, None) => {}
    }
}
