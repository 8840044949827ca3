//! Records of schema 2: all sends of a challenge went by its own channel, and no receipt was taken.
//!
//! Only what differs is said again; the parts that schema 3 did not change are its own types. Never written.

use serde::Deserialize;

use crate::record::{
    account,
    blocks::Blocks,
    challenge,
    command::IdempotencyKey,
    grant::Grant,
    guesses::Guesses,
    idempotency,
    label::Label,
    number::PhoneNumber,
    outcome,
    passwords::PasswordTries,
    policy::Door,
    seal::KeyId,
    session::{Session, SessionRef, SignedIn},
    state,
    time::UnixMillis,
    window::SendLog,
};

#[derive(Deserialize)]
pub(super) struct Record {
    phone: PhoneNumber,
    version: u64,
    seen_at: UnixMillis,
    challenges: Vec<Challenge>,
    sends: SendLog,
    guesses: Guesses,
    account: Option<Box<account::Account>>,
    sessions: Vec<Session>,
    grants: Vec<Grant>,
    answers: Vec<KeptAnswer>,
    claim: Option<state::Claim>,
    parcel: Option<state::Parcel>,
    blocks: Blocks,
    passwords: PasswordTries,
}

#[derive(Deserialize)]
pub(super) struct Challenge {
    nonce: u64,
    key: KeyId,
    door: Door,
    channel: Label,
    digits: u8,
    secret: challenge::Secret,
    stage: challenge::Stage,
    created_at: UnixMillis,
    expires_at: UnixMillis,
    attempts_max: u8,
    attempts_by_id: u8,
    attempts_by_number: u8,
    deliveries: Vec<Delivery>,
    facts: challenge::MessageFacts,
    metadata: Vec<(String, String)>,
    bound_to: Option<SessionRef>,
}

#[derive(Deserialize)]
struct Delivery {
    number: u8,
    at: UnixMillis,
    route: Option<Label>,
    state: challenge::DeliveryState,
    repeated: bool,
}

#[derive(Deserialize)]
struct ChallengeView {
    nonce: u64,
    key: KeyId,
    door: Door,
    channel: Label,
    status: challenge::Status,
    created_at: UnixMillis,
    expires_at: UnixMillis,
    digits: u8,
    attempts_remaining: u8,
    resend_at: UnixMillis,
    resends_remaining: u8,
    deliveries: Vec<Delivery>,
    metadata: Vec<(String, String)>,
}

#[derive(Deserialize)]
pub(super) struct KeptAnswer {
    key: [u8; 16],
    body: [u8; 16],
    at: UnixMillis,
    outcome: Outcome,
}

/// The outcomes that are kept, at their places among all. The two without fields stand for outcomes that never were.
#[derive(Deserialize)]
enum Outcome {
    Issued(ChallengeView),
    Approved { view: ChallengeView, is_new_user: bool, at: UnixMillis },
    Verification(ChallengeView),
    SignedIn(SignedIn),
    Granted { nonce: u64, key: KeyId, expires_at: UnixMillis },
    Authenticated,
    Exported,
    Done,
    Claimed { from: PhoneNumber, view: ChallengeView },
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
            account: old.account,
            sessions: old.sessions,
            grants: old.grants,
            answers: old.answers.into_iter().map(idempotency::KeptAnswer::from).collect(),
            claim: old.claim,
            parcel: old.parcel,
            blocks: old.blocks,
            passwords: old.passwords,
        }
    }
}

fn deliveries(old: Vec<Delivery>, channel: Label) -> Vec<challenge::Delivery> {
    let delivery = |old: Delivery| {
        let Delivery { number, at, route, state, repeated } = old;
        challenge::Delivery { number, at, channel, route, state, repeated }
    };
    old.into_iter().map(delivery).collect()
}

impl From<Challenge> for challenge::Challenge {
    fn from(old: Challenge) -> Self {
        Self {
            nonce: old.nonce,
            key: old.key,
            door: old.door,
            channel: old.channel,
            digits: old.digits,
            secret: old.secret,
            stage: old.stage,
            created_at: old.created_at,
            expires_at: old.expires_at,
            attempts_max: old.attempts_max,
            attempts_by_id: old.attempts_by_id,
            attempts_by_number: old.attempts_by_number,
            deliveries: deliveries(old.deliveries, old.channel),
            facts: old.facts,
            metadata: old.metadata.into(),
            bound_to: old.bound_to,
        }
    }
}

impl From<ChallengeView> for challenge::ChallengeView {
    fn from(old: ChallengeView) -> Self {
        Self {
            nonce: old.nonce,
            key: old.key,
            door: old.door,
            channel: old.channel,
            status: old.status,
            created_at: old.created_at,
            expires_at: old.expires_at,
            digits: old.digits,
            attempts_remaining: old.attempts_remaining,
            resend_at: old.resend_at,
            resends_remaining: old.resends_remaining,
            deliveries: deliveries(old.deliveries, old.channel),
            metadata: old.metadata,
        }
    }
}

impl From<KeptAnswer> for idempotency::KeptAnswer {
    fn from(old: KeptAnswer) -> Self {
        let outcome = match old.outcome {
            Outcome::Issued(view) => outcome::Outcome::Issued(view.into()),
            Outcome::Approved { view, is_new_user, at } => {
                outcome::Outcome::Approved { view: view.into(), is_new_user, at }
            }
            Outcome::Verification(view) => outcome::Outcome::Verification(view.into()),
            Outcome::SignedIn(signed_in) => outcome::Outcome::SignedIn(signed_in),
            Outcome::Granted { nonce, key, expires_at } => outcome::Outcome::Granted { nonce, key, expires_at },
            Outcome::Authenticated | Outcome::Exported | Outcome::Done => outcome::Outcome::Done,
            Outcome::Claimed { from, view } => outcome::Outcome::Claimed { from, view: view.into() },
        };
        Self::new(IdempotencyKey { key: old.key, body: old.body }, outcome, old.at)
    }
}
