//! Records of schema 1: no passwords, no blocked addresses, no account could be shut.
//!
//! Only what differs is said again; the parts that later schemas did not change are their own types. Never written.

use serde::Deserialize;

use super::schema_2::{Challenge, KeptAnswer};
use crate::record::{
    account, blocks::Blocks, challenge, grant::Grant, guesses::Guesses, idempotency, number::PhoneNumber,
    passwords::PasswordTries, session::Session, state, time::UnixMillis, window::SendLog,
};

#[derive(Deserialize)]
pub(super) struct Record {
    phone: PhoneNumber,
    version: u64,
    seen_at: UnixMillis,
    challenges: Vec<Challenge>,
    sends: SendLog,
    guesses: Guesses,
    account: Option<Account>,
    sessions: Vec<Session>,
    grants: Vec<Grant>,
    answers: Vec<KeptAnswer>,
    claim: Option<state::Claim>,
    parcel: Option<Parcel>,
}

#[derive(Deserialize)]
struct Account {
    user_id: u64,
    created_at: UnixMillis,
    updated_at: UnixMillis,
    verified_at: UnixMillis,
    profile: account::Profile,
}

#[derive(Deserialize)]
struct Parcel {
    to: PhoneNumber,
    session: u64,
    account: Account,
}

impl From<Record> for state::Record {
    fn from(old: Record) -> Self {
        Self {
            phone: old.phone,
            version: old.version,
            seen_at: old.seen_at,
            challenges: old.challenges.into_iter().map(challenge::Challenge::from).collect(),
            sends: old.sends,
            guesses: old.guesses,
            account: old.account.map(|account| Box::new(account.into())),
            sessions: old.sessions,
            grants: old.grants,
            answers: old.answers.into_iter().map(idempotency::KeptAnswer::from).collect(),
            claim: old.claim,
            parcel: old.parcel.map(state::Parcel::from),
            blocks: Blocks::default(),
            passwords: PasswordTries::default(),
        }
    }
}

impl From<Account> for account::Account {
    fn from(old: Account) -> Self {
        Self {
            user_id: old.user_id,
            created_at: old.created_at,
            updated_at: old.updated_at,
            verified_at: old.verified_at,
            profile: old.profile,
            active: true,
            password: None,
        }
    }
}

impl From<Parcel> for state::Parcel {
    fn from(old: Parcel) -> Self {
        Self { to: old.to, session: old.session, account: Box::new(old.account.into()) }
    }
}
