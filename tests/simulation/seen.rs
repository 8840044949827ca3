//! A record as the store has it, read from outside through its serialized form: what the ledger's rules look at.
//!
//! The core's own types are closed to tests, and rules that read them through the core's own functions would share
//! its mistakes.

use otpd::record::{Arrival, DAY, Move, PhoneNumber, invariants, snapshot};
use serde::Deserialize;

/// A decoded record. Times are milliseconds since 1970.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Seen {
    pub(crate) version: u64,
    pub(crate) seen_at: u64,
    pub(crate) challenges: Vec<SeenChallenge>,
    pub(crate) sends: SeenSends,
    pub(crate) guesses: SeenGuesses,
    pub(crate) account: Option<SeenAccount>,
    pub(crate) sessions: Vec<SeenSession>,
    pub(crate) grants: Vec<SeenGrant>,
    pub(crate) answers: Vec<SeenAnswer>,
    pub(crate) claim: Option<SeenClaim>,
    pub(crate) parcel: Option<SeenParcel>,
    pub(crate) blocks: Vec<SeenStrikes>,
    pub(crate) passwords: SeenPasswords,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SeenStrikes {
    /// `Code` or `Password`.
    pub(crate) asked: String,
    pub(crate) address: u64,
    pub(crate) count: u8,
    pub(crate) blocked: bool,
    pub(crate) until: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenPasswords {
    pub(crate) guesses: SeenGuesses,
    pub(crate) comparing: Vec<SeenComparing>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenComparing {
    pub(crate) nonce: u64,
    pub(crate) address: u64,
    pub(crate) at: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenChallenge {
    pub(crate) nonce: u64,
    pub(crate) stage: SeenStage,
    pub(crate) created_at: u64,
    pub(crate) expires_at: u64,
    pub(crate) attempts_max: u8,
    pub(crate) attempts_by_id: u8,
    pub(crate) attempts_by_number: u8,
    pub(crate) deliveries: Vec<SeenDelivery>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum SeenStage {
    Pending,
    Approved { at: u64, redeemed: bool },
    Canceled { at: u64 },
    Superseded { at: u64 },
    Failed { at: u64 },
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenDelivery {
    pub(crate) number: u8,
    pub(crate) route: Option<String>,
    pub(crate) state: String,
    pub(crate) repeated: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenSends {
    pub(crate) sends: Vec<SeenSent>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenSent {
    pub(crate) at: u64,
    pub(crate) challenge: u64,
    pub(crate) delivery: u8,
    pub(crate) answered: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenGuesses {
    pub(crate) failures: u16,
    pub(crate) last_at: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenAccount {
    pub(crate) user_id: u64,
    pub(crate) profile: SeenProfile,
    pub(crate) active: bool,
    pub(crate) password: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenProfile {
    pub(crate) bio: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenSession {
    pub(crate) nonce: u64,
    pub(crate) door: SeenDoor,
    pub(crate) generation: u32,
    pub(crate) rotated_at: u64,
    pub(crate) expires_at: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenDoor {
    pub(crate) purpose: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenGrant {
    pub(crate) nonce: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenAnswer {
    pub(crate) at: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenClaim {
    pub(crate) from: PhoneNumber,
    pub(crate) session: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeenParcel {
    pub(crate) to: PhoneNumber,
    pub(crate) session: u64,
    pub(crate) account: SeenAccount,
}

impl Seen {
    /// Reads a snapshot and holds the core's own invariants of a record at rest against it.
    pub(crate) fn read(phone: PhoneNumber, bytes: &[u8]) -> Result<Self, String> {
        let record = snapshot::decode(phone, bytes).map_err(|unreadable| unreadable.to_string())?;
        invariants::check_record(&record).map_err(str::to_owned)?;
        let value = serde_json::to_value(&record).map_err(|error| error.to_string())?;
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    pub(crate) fn challenge(&self, nonce: u64) -> Option<&SeenChallenge> {
        self.challenges.iter().find(|challenge| challenge.nonce == nonce)
    }

    pub(crate) fn delivery(&self, nonce: u64, delivery: u8) -> Option<&SeenDelivery> {
        self.challenge(nonce)?.deliveries.iter().find(|it| it.number == delivery)
    }

    pub(crate) fn session(&self, nonce: u64) -> Option<&SeenSession> {
        self.sessions.iter().find(|session| session.nonce == nonce)
    }

    pub(crate) fn comparing(&self, nonce: u64) -> Option<&SeenComparing> {
        self.passwords.comparing.iter().find(|comparing| comparing.nonce == nonce)
    }

    pub(crate) fn has_password(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.password.is_some())
    }

    /// Is a send still counted that failed? One that was made twice may have failed for two reasons.
    pub(crate) fn keeps_failed(&self, nonce: u64, delivery: u8) -> bool {
        let of = |it: &&SeenDelivery| it.number == delivery && it.state == "Failed" && !it.repeated;
        let failed = self.challenge(nonce).is_some_and(|challenge| challenge.deliveries.iter().any(|it| of(&it)));
        failed && self.sends.sends.iter().any(|sent| (sent.challenge, sent.delivery) == (nonce, delivery))
    }

    /// Wrong answers that are held against an address.
    pub(crate) fn strikes(&self, asked: &str, address: u64) -> Option<&SeenStrikes> {
        self.blocks.iter().find(|strikes| strikes.asked == asked && strikes.address == address)
    }

    /// Is there an account that is shut?
    pub(crate) fn is_shut(&self) -> bool {
        self.account.as_ref().is_some_and(|account| !account.active)
    }

    /// The account on its way to or from this number.
    pub(crate) fn change(&self, phone: PhoneNumber) -> Option<Move> {
        let claim = self.claim.as_ref().map(|it| Move { from: it.from, to: phone, session: it.session });
        claim.or_else(|| self.parcel.as_ref().map(|it| Move { from: phone, to: it.to, session: it.session }))
    }

    /// Has it something that must still be remembered at `now`? Worked out apart from `forget_at`.
    pub(crate) fn still_matters(&self, now: u64) -> Option<&'static str> {
        let recent = |at: u64| now < at + DAY;
        let reasons = [
            (self.account.is_some(), "an account"),
            (self.claim.is_some() || self.parcel.is_some(), "an account on its way"),
            (self.sends.sends.iter().any(|sent| recent(sent.at)), "sends of the day"),
            (self.guesses.failures > 0 && recent(self.guesses.last_at), "failures of the day"),
            (
                self.passwords.guesses.failures > 0 && recent(self.passwords.guesses.last_at),
                "wrong passwords of the day",
            ),
            (self.blocks.iter().any(|strikes| now < strikes.until), "a blocked address"),
            (self.answers.iter().any(|answer| recent(answer.at)), "kept answers"),
            (self.challenges.iter().any(|challenge| recent(challenge.created_at)), "challenges of the day"),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }
}

impl SeenDelivery {
    /// Is it as far as that, or further? What would not arrive may have been taken by another gateway since.
    pub(crate) fn has_come(&self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Delivered => self.state == "Delivered",
            Arrival::Sent | Arrival::Undelivered => !["Sending", "Unknown", "Failed"].contains(&self.state.as_str()),
        }
    }

    /// May it come to be `new`? A failure and a delivery are ends; what will not arrive may be another gateway's.
    pub(crate) fn may_become(&self, new: &Self) -> bool {
        let (old, next) = (self.state.as_str(), new.state.as_str());
        let by_same = self.route == new.route;
        match old {
            _ if old == next => by_same,
            "Sending" => true,
            "Accepted" | "Unknown" => by_same && ["Sent", "Delivered", "Undelivered"].contains(&next),
            "Sent" => by_same && ["Delivered", "Undelivered"].contains(&next),
            "Undelivered" => !by_same && next == "Accepted",
            _ => false,
        }
    }
}

impl SeenChallenge {
    pub(crate) fn is_approved(&self) -> bool {
        matches!(self.stage, SeenStage::Approved { .. })
    }

    pub(crate) fn has_failed(&self, delivery: u8) -> bool {
        self.deliveries.iter().any(|it| it.number == delivery && it.state == "Failed")
    }
}
