//! The record: everything one phone number owns.

use serde::{Deserialize, Serialize};

use super::{
    account::Account,
    blocks::Blocks,
    challenge::{Challenge, Stage},
    grant::Grant,
    guesses::Guesses,
    idempotency::KeptAnswer,
    invariants::RECORD_BYTES_MAX,
    number::PhoneNumber,
    outcome::Move,
    passwords::PasswordTries,
    session::Session,
    snapshot,
    time::{DAY, HOUR, UnixMillis},
    window::SendLog,
};

/// How far the clock may be behind the latest time seen before that time is taken to have been wrong.
pub const CLOCK_BEHIND_MAX_MS: u64 = HOUR;

/// Everything one number owns. Changed by [`decide()`](super::decide()) alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) phone: PhoneNumber,
    /// +1 per commit; 0 means that the store has nothing.
    pub(super) version: u64,
    /// The latest time a committed decision saw.
    pub(super) seen_at: UnixMillis,
    pub(super) challenges: Vec<Challenge>,
    pub(super) sends: SendLog,
    pub(super) guesses: Guesses,
    /// Boxed: most numbers in memory have none yet, and each would carry its room.
    pub(super) account: Option<Box<Account>>,
    pub(super) sessions: Vec<Session>,
    pub(super) grants: Vec<Grant>,
    pub(super) answers: Vec<KeptAnswer>,
    /// Phone change: this number has proved itself and waits for the account of another.
    pub(super) claim: Option<Claim>,
    /// Phone change: an account that has left and not yet been confirmed to have arrived.
    pub(super) parcel: Option<Parcel>,
    /// Addresses that answered wrongly.
    pub(super) blocks: Blocks,
    /// Passwords that are being compared, and failures in a row.
    pub(super) passwords: PasswordTries,
}

/// A number that waits for the account of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) from: PhoneNumber,
    pub(super) session: u64,
}

/// An account that is leaving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parcel {
    pub(super) to: PhoneNumber,
    pub(super) session: u64,
    pub(super) account: Box<Account>,
}

impl Record {
    /// A number that the store knows nothing of.
    pub fn new(phone: PhoneNumber) -> Self {
        Self {
            phone,
            version: 0,
            seen_at: UnixMillis(0),
            challenges: Vec::new(),
            sends: SendLog::default(),
            guesses: Guesses::default(),
            account: None,
            sessions: Vec::new(),
            grants: Vec::new(),
            answers: Vec::new(),
            claim: None,
            parcel: None,
            blocks: Blocks::default(),
            passwords: PasswordTries::default(),
        }
    }

    /// Whose record this is.
    pub fn phone(&self) -> PhoneNumber {
        self.phone
    }

    /// What the store must hold for the next commit: `None` if nothing.
    pub fn expected_version(&self) -> Option<u64> {
        (self.version != 0).then_some(self.version)
    }

    /// Consecutive failures of checks by number, for tests and administrators.
    pub fn failures(&self) -> u16 {
        self.guesses.failures()
    }

    /// The account, if the number has one.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_deref()
    }

    /// The user ids this record names: the account's, and that of an account that is leaving.
    pub fn user_ids(&self) -> impl Iterator<Item = u64> {
        let leaving = self.parcel.as_ref().map(|parcel| &*parcel.account);
        self.account.as_deref().into_iter().chain(leaving).map(|account| account.user_id)
    }

    /// An account on its way from or to this number.
    pub fn unfinished_move(&self) -> Option<Move> {
        let claim = self.claim.map(|claim| Move { from: claim.from, to: self.phone, session: claim.session });
        let parcel = self.parcel.as_ref();
        claim.or_else(|| parcel.map(|parcel| Move { from: self.phone, to: parcel.to, session: parcel.session }))
    }

    /// When nothing is left to remember; `None`: never by itself.
    pub fn forget_at(&self) -> Option<UnixMillis> {
        if self.account.is_some() || self.claim.is_some() || self.parcel.is_some() {
            return None;
        }
        let challenges = self.challenges.iter().map(Challenge::forget_at);
        let grants = self.grants.iter().map(|grant| grant.expires_at);
        let answers = self.answers.iter().map(KeptAnswer::forget_at);
        let rest = [
            Some(self.seen_at),
            self.sends.forget_at(),
            self.guesses.forget_at(false),
            self.blocks.forget_at(),
            self.passwords.forget_at(false),
        ];
        challenges.chain(grants).chain(answers).chain(rest.into_iter().flatten()).max()
    }

    /// The record as it stands at `now`, with the time that decisions go by: never earlier than any seen before,
    /// unless the clock is so far behind that the earlier reading must have been wrong.
    pub(super) fn at(&self, now: UnixMillis) -> (Self, UnixMillis) {
        let mut record = self.clone();
        let mut now = now;
        if self.is_ahead_of(now) {
            record.rebase(now);
        } else {
            now = now.max(self.seen_at);
        }
        record.seen_at = now;
        record.purge(now);
        (record, now)
    }

    /// Did a clock that this record saw run ahead, by all that is known at `now`?
    pub(super) fn is_ahead_of(&self, now: UnixMillis) -> bool {
        now.plus(CLOCK_BEHIND_MAX_MS) < self.seen_at
    }

    /// One clock ran ahead: what was pending ends, windows and locks restart from now, nothing revives.
    fn rebase(&mut self, now: UnixMillis) {
        let wrong = self.seen_at;
        for challenge in &mut self.challenges {
            challenge.rebase(now);
        }
        self.sends.rebase(now);
        self.guesses.rebase(wrong, now);
        self.blocks.rebase(wrong, now);
        self.passwords.rebase(wrong, now);
        self.sessions.retain(|session| session.expires_at > wrong);
        for session in &mut self.sessions {
            // Ages stay: neither a fresh sign-in nor the grace of a refresh token comes back.
            session.opened_at = now.minus(wrong.since(session.opened_at));
            session.rotated_at = now.minus(wrong.since(session.rotated_at));
            session.expires_at = now.plus(session.expires_at.since(wrong));
        }
        self.grants.clear();
        for answer in &mut self.answers {
            answer.at = answer.at.min(now);
        }
    }

    /// Drops what can no longer matter.
    fn purge(&mut self, now: UnixMillis) {
        self.challenges.retain(|challenge| now < challenge.forget_at());
        self.sends.purge(now);
        let has_account = self.account.is_some();
        self.guesses.purge(has_account, now);
        self.blocks.purge(now);
        self.passwords.purge(has_account, now);
        self.sessions.retain(|session| now < session.expires_at);
        self.grants.retain(|grant| now < grant.expires_at);
        self.drop_answers(now);
    }

    /// Keeps the record within its bytes. What each list may hold at most would be more than that together, with the
    /// longest texts everywhere; such a record lets go first of what can be done without.
    pub(super) fn fit(&mut self, now: UnixMillis) {
        while snapshot::encoded_len(self) > RECORD_BYTES_MAX {
            if let Some(challenge) = self.challenges.iter_mut().find(|challenge| challenge.has_notes()) {
                challenge.drop_notes();
            } else if self.challenges.iter().any(|challenge| !challenge.is_live(now)) {
                self.drop_least_challenge(now);
            } else if !self.answers.is_empty() {
                self.answers.remove(0);
            } else if !self.challenges.is_empty() {
                self.drop_least_challenge(now);
            } else {
                // Account, sessions, grants and sends are left, and their own limits keep them well below this one.
                return;
            }
        }
    }

    /// Lets the challenge go that is finished longest; only if all are live, the oldest.
    pub(super) fn drop_least_challenge(&mut self, now: UnixMillis) {
        let by_use = |(_, challenge): &(usize, &Challenge)| (challenge.is_live(now), challenge.ends_at());
        if let Some((least, _)) = self.challenges.iter().enumerate().min_by_key(by_use) {
            self.challenges.remove(least);
        }
    }

    /// Drops kept answers that are a day old, and those that would sign tokens afresh for a session that has ended.
    fn drop_answers(&mut self, now: UnixMillis) {
        let sessions = &self.sessions;
        let is_open = |nonce: u64| sessions.iter().any(|session| session.nonce == nonce);
        self.answers.retain(|answer| now < answer.forget_at() && answer.session().is_none_or(is_open));
    }

    /// Pending challenges whose time ended between the record's last commit and `now`.
    pub(super) fn lapsed(&self, now: UnixMillis) -> u8 {
        let ran_out = |challenge: &&Challenge| {
            challenge.stage == Stage::Pending && challenge.expires_at <= now && self.seen_at < challenge.expires_at
        };
        u8::try_from(self.challenges.iter().filter(ran_out).count()).unwrap_or(u8::MAX)
    }

    pub(super) fn challenge(&self, nonce: u64) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.nonce == nonce)
    }

    pub(super) fn challenge_mut(&mut self, nonce: u64) -> Option<&mut Challenge> {
        self.challenges.iter_mut().find(|challenge| challenge.nonce == nonce)
    }

    pub(super) fn session(&self, nonce: u64) -> Option<&Session> {
        self.sessions.iter().find(|session| session.nonce == nonce)
    }
}

/// How long sends are remembered: the longest window there is.
pub(super) const SENDS_KEPT_MS: u64 = DAY;
