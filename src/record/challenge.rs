//! Challenges: one issued code each, with its life, tries and sends.
//!
//! ```text
//! pending ──right code──▶ approved ──redeem──▶ approved, redeemed
//!    ├──cancel──▶ canceled      ├──superseded──▶ superseded
//!    └──certain send failure──▶ failed     (expired and exhausted are read off the figures)
//! ```

use serde::{Deserialize, Serialize};

use super::{
    code::{self, Binding, Code},
    label::Label,
    number::PhoneNumber,
    policy::{Door, Policy},
    seal::{KeyId, Keyring},
    session::SessionRef,
    time::{DAY, UnixMillis},
};

/// Most challenges a record keeps, finished ones included.
pub const CHALLENGES_MAX: usize = 10;
/// How long a finished challenge can still be asked about.
pub(super) const FINISHED_KEPT_MS: u64 = DAY;
/// Most sends one challenge may have: the first and its resends.
pub const CHALLENGE_SENDS_MAX: usize = 8;

/// How the code of a challenge is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Secret {
    /// Recomputed from the key and the nonce.
    Derived,
    /// A caller's own code, kept as a keyed digest.
    Chosen([u8; 16]),
}

/// Where a challenge stands by what was done to it; expiry and exhaustion are read off its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Pending,
    Approved { at: UnixMillis, redeemed: bool },
    Canceled { at: UnixMillis },
    Superseded { at: UnixMillis },
    Failed { at: UnixMillis },
}

/// What a send came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Handed to the gateway; no answer is recorded yet.
    Sending,
    /// The provider took it.
    Accepted,
    /// Certainly not sent.
    Failed,
    /// The provider did not answer.
    Unknown,
    /// A receipt: on its way.
    Sent,
    /// A receipt: on the phone.
    Delivered,
    /// A receipt: it will not arrive.
    Undelivered,
}

impl DeliveryState {
    /// Was it sent, or may it have been, without a word that it arrived?
    pub(super) fn is_silent(self) -> bool {
        matches!(self, Self::Accepted | Self::Unknown | Self::Sent | Self::Undelivered)
    }
}

/// How far a message has come, as a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// On its way.
    Sent,
    /// On the phone.
    Delivered,
    /// It will not arrive.
    Undelivered,
}

impl From<Arrival> for DeliveryState {
    fn from(arrival: Arrival) -> Self {
        match arrival {
            Arrival::Sent => Self::Sent,
            Arrival::Delivered => Self::Delivered,
            Arrival::Undelivered => Self::Undelivered,
        }
    }
}

/// One send of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which send of its challenge, from 0.
    pub number: u8,
    /// When it was decided.
    pub at: UnixMillis,
    /// By what it was sent.
    pub channel: Label,
    /// By which route, once known.
    pub route: Option<Label>,
    /// What it came to.
    pub state: DeliveryState,
    /// True once a lost send was made a second time.
    pub repeated: bool,
}

/// What the message text is made from; kept with the challenge so that a resend says the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFacts {
    /// BCP 47 tag, at most 35 characters.
    pub locale: Option<Box<str>>,
    /// WebOTP host, at most 253 characters.
    pub origin: Option<Box<str>>,
    /// Android hash, 11 characters.
    pub app_hash: Option<Box<str>>,
}

/// One issued code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub(super) nonce: u64,
    pub(super) key: KeyId,
    pub(super) door: Door,
    pub(super) channel: Label,
    pub(super) digits: u8,
    pub(super) secret: Secret,
    pub(super) stage: Stage,
    pub(super) created_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
    pub(super) attempts_max: u8,
    /// Checks by id that were compared.
    pub(super) attempts_by_id: u8,
    /// Checks by number that were compared.
    pub(super) attempts_by_number: u8,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) facts: MessageFacts,
    pub(super) metadata: Box<[(String, String)]>,
    /// A phone change is bound to the session that asked for it.
    pub(super) bound_to: Option<SessionRef>,
}

/// The status of a verification as `/v1` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Its code is still good.
    Pending,
    /// Its code was given.
    Approved,
    /// Ended by its holder, or superseded.
    Canceled,
    /// Its time is over.
    Expired,
    /// All checks by id are spent.
    MaxAttemptsReached,
    /// Its message could certainly not be sent.
    Failed,
}

/// What a holder of the id may see; never the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeView {
    /// The challenge's own 64 random bits.
    pub nonce: u64,
    /// The key its id is sealed under.
    pub key: KeyId,
    /// Where it was asked for.
    pub door: Door,
    /// By what it is sent.
    pub channel: Label,
    /// Where it stands.
    pub status: Status,
    /// When it was started.
    pub created_at: UnixMillis,
    /// When its code stops being good.
    pub expires_at: UnixMillis,
    /// Digits of the code.
    pub digits: u8,
    /// Checks by id that are left.
    pub attempts_remaining: u8,
    /// Earliest time of the next resend.
    pub resend_at: UnixMillis,
    /// Resends that are left.
    pub resends_remaining: u8,
    /// Its sends.
    pub deliveries: Vec<Delivery>,
    /// The caller's notes. Not kept with answers: a replay reads them from the challenge.
    pub metadata: Vec<(String, String)>,
}

impl Delivery {
    /// Moves it as a receipt of `route` says, and tells whether it moved: forward only, never off an end, and only by
    /// the word of the gateway that has the message. One that comes before the call has ended says by whom it went.
    pub(super) fn arrive(&mut self, route: Label, arrival: Arrival) -> bool {
        let is_known = self.route.is_none_or(|known| known == route);
        let moves = match self.state {
            DeliveryState::Sending | DeliveryState::Accepted | DeliveryState::Unknown => true,
            DeliveryState::Sent => arrival != Arrival::Sent,
            DeliveryState::Failed | DeliveryState::Delivered | DeliveryState::Undelivered => false,
        };
        if is_known && moves {
            (self.route, self.state) = (Some(route), arrival.into());
        }
        is_known && moves
    }

    /// Enters what the call to the provider came to, and tells whether that is news. A receipt before it is a proof
    /// that the message went out, so nothing is given back then; but if it says that the message of one gateway will not
    /// arrive, and another took it after that, the other's counts.
    pub(super) fn settle(&mut self, (route, channel): (Label, Label), state: DeliveryState) -> bool {
        let takes_over = state == DeliveryState::Accepted && self.route != Some(route);
        let is_news = match self.state {
            DeliveryState::Sending => true,
            DeliveryState::Undelivered => takes_over,
            DeliveryState::Accepted
            | DeliveryState::Failed
            | DeliveryState::Unknown
            | DeliveryState::Sent
            | DeliveryState::Delivered => false,
        };
        if is_news {
            (self.route, self.channel, self.state) = (Some(route), channel, state);
        }
        is_news
    }
}

impl Challenge {
    fn binding(&self, phone: PhoneNumber) -> Binding {
        Binding { nonce: self.nonce, phone, door: self.door }
    }

    /// The code in clear; `None` for a chosen one and when the key has been removed.
    pub(super) fn derived_code(&self, keys: &Keyring, phone: PhoneNumber) -> Option<Code> {
        let key = keys.code_key(self.key)?;
        (self.secret == Secret::Derived).then(|| code::derive(key, &self.binding(phone), self.digits))
    }

    /// Takes a caller's own code.
    pub(super) fn choose(&mut self, keys: &Keyring, phone: PhoneNumber, chosen: &Code) {
        if let Some(key) = keys.code_key(self.key) {
            self.digits = chosen.digits();
            self.secret = Secret::Chosen(code::digest(key, &self.binding(phone), chosen));
        }
    }

    /// The one comparison of codes, in constant time.
    pub(super) fn matches(&self, keys: &Keyring, phone: PhoneNumber, typed: &Code) -> bool {
        use subtle::ConstantTimeEq as _;
        let Some(key) = keys.code_key(self.key) else { return false };
        match &self.secret {
            Secret::Derived => code::derive(key, &self.binding(phone), self.digits).matches(typed),
            Secret::Chosen(digest) => code::digest(key, &self.binding(phone), typed).ct_eq(digest).into(),
        }
    }

    /// Does it carry more than it needs to be checked?
    pub(super) fn has_notes(&self) -> bool {
        !self.metadata.is_empty() || self.facts != MessageFacts::default()
    }

    /// A resend then says it in the default words.
    pub(super) fn drop_notes(&mut self) {
        self.metadata = Box::default();
        self.facts = MessageFacts::default();
    }

    /// Pending, not expired: its code may still be good (tries are counted apart).
    pub(super) fn is_live(&self, now: UnixMillis) -> bool {
        self.stage == Stage::Pending && now < self.expires_at
    }

    /// When it ended or will end by itself.
    pub(super) fn ends_at(&self) -> UnixMillis {
        match self.stage {
            Stage::Pending => self.expires_at,
            Stage::Approved { at, .. } | Stage::Canceled { at } | Stage::Superseded { at } | Stage::Failed { at } => at,
        }
    }

    /// When nobody can ask about it any more.
    pub(super) fn forget_at(&self) -> UnixMillis {
        self.ends_at().plus(FINISHED_KEPT_MS)
    }

    /// Its status at `now`.
    pub(super) fn status(&self, now: UnixMillis) -> Status {
        match self.stage {
            Stage::Approved { .. } => Status::Approved,
            Stage::Canceled { .. } | Stage::Superseded { .. } => Status::Canceled,
            Stage::Failed { .. } => Status::Failed,
            Stage::Pending if now >= self.expires_at => Status::Expired,
            Stage::Pending if self.attempts_by_id >= self.attempts_max => Status::MaxAttemptsReached,
            Stage::Pending => Status::Pending,
        }
    }

    /// Sends that were not given back.
    fn sends_made(&self) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.deliveries.iter().filter(|delivery| delivery.state != DeliveryState::Failed)
    }

    /// Resends made so far.
    pub(super) fn resends(&self) -> usize {
        self.sends_made().count().saturating_sub(1)
    }

    /// When its last send that counts was made.
    pub(super) fn last_send_at(&self) -> UnixMillis {
        self.sends_made().next_back().map_or(self.created_at, |delivery| delivery.at)
    }

    /// One clock ran ahead: it ends, and no time of it stays in the future.
    pub(super) fn rebase(&mut self, now: UnixMillis) {
        self.created_at = self.created_at.min(now);
        self.expires_at = self.expires_at.min(now);
        for delivery in &mut self.deliveries {
            delivery.at = delivery.at.min(now);
        }
        match &mut self.stage {
            Stage::Pending => {}
            Stage::Approved { at, redeemed } => {
                *at = (*at).min(now);
                *redeemed = true;
            }
            Stage::Canceled { at } | Stage::Superseded { at } | Stage::Failed { at } => *at = (*at).min(now),
        }
    }

    /// What its holder may see; `resend_at` is the record's to know.
    pub(super) fn view(&self, policy: &Policy, resend_at: UnixMillis, now: UnixMillis) -> ChallengeView {
        let resends_remaining = policy.resend_after_ms.len().saturating_sub(self.resends());
        ChallengeView {
            nonce: self.nonce,
            key: self.key,
            door: self.door,
            channel: self.channel,
            status: self.status(now),
            created_at: self.created_at,
            expires_at: self.expires_at,
            digits: self.digits,
            attempts_remaining: self.attempts_max.saturating_sub(self.attempts_by_id),
            resend_at,
            resends_remaining: u8::try_from(resends_remaining).unwrap_or(u8::MAX),
            deliveries: self.deliveries.clone(),
            metadata: self.metadata.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most numbers in memory have one, and the next size that the allocator has is 320 bytes.
    #[test]
    fn a_challenge_stays_small() {
        assert!(size_of::<Challenge>() <= 256, "{}", size_of::<Challenge>());
    }
}
