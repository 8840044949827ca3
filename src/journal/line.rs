//! The lines of the journal.
//!
//! ```text
//! {"type":"state","at":1790000000000,"file":"1790000000000.state","sha256":"…","policy":"…","sends":true,"start":true}
//! {"type":"asked","at":…,"ticket":7,"request":"…","dialect":"v1","channel":"sms","country":"IR","kind":"mobile","parts":1,
//!  "tries_max":2,"number":"<32 hex>","masked":"+98******4567","ip":"192.0.2.7","rule":null,"recorded":["runs"],"cost":90200}
//! {"type":"settled","at":…,"ticket":7,"billed_tries":1,"cost":45100}
//! {"type":"verified","at":…,"number":"<32 hex>","masked":"+98******4567"}
//! {"type":"gap","at":…,"lines":12}
//! ```
//!
//! Times are milliseconds since 1970, money is in millionths of the currency. `rule`: who refused, `null` if it was allowed.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    guard::{Country, GuardPolicy, NumberKind, Rule, Ticket},
    record::{IdKind, Keyring, Label, PhoneNumber, SealedId, UnixMillis},
};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The guard as it stands here.
    State(StateLine),
    /// A message was asked for.
    Asked(Box<AskedLine>),
    /// What became of an allowed one.
    Settled {
        /// When.
        at: UnixMillis,
        /// Which.
        ticket: Ticket,
        /// Tries that were billed.
        billed_tries: u8,
        /// What they cost, millionths.
        cost: u64,
    },
    /// A code was typed.
    Verified {
        /// When.
        at: UnixMillis,
        /// Whose, sealed.
        number: String,
        /// For people.
        masked: String,
    },
    /// Lines are missing here; a state follows.
    Gap {
        /// When it was noticed.
        at: UnixMillis,
        /// How many.
        lines: u64,
    },
}

/// Where the guard's state is, and under which rules it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateLine {
    /// When.
    pub at: UnixMillis,
    /// Name of the file.
    pub file: String,
    /// Of its bytes, as hexadecimal digits.
    pub sha256: String,
    /// Stands for all figures of the policy, likewise.
    pub policy: String,
    /// Messages really leave the machine: what `auto` meant.
    pub sends: bool,
    /// A process began; else the state is told in passing.
    pub start: bool,
}

/// A state with its bytes.
#[derive(Debug)]
pub struct Stated {
    /// The line, without `file` and `sha256`, which the writer fills in.
    pub line: StateLine,
    /// What [`crate::guard::snapshot::encode`] made.
    pub bytes: Vec<u8>,
}

/// A message that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedLine {
    /// When.
    pub at: UnixMillis,
    /// Names it; rises by one.
    pub ticket: Ticket,
    /// The request's id.
    pub request: String,
    /// By which API.
    pub dialect: String,
    /// By what it was to travel.
    pub channel: Label,
    /// To which country.
    pub country: Option<Country>,
    /// To what kind of line.
    pub kind: NumberKind,
    /// Parts it is billed as.
    pub parts: u8,
    /// How often it might have been tried.
    pub tries_max: u8,
    /// To whom, sealed.
    pub number: String,
    /// For people.
    pub masked: String,
    /// The client.
    pub ip: IpAddr,
    /// Who refused it.
    pub rule: Option<Rule>,
    /// Who only recorded it.
    pub recorded: Vec<Rule>,
    /// What was set aside for it, millionths.
    pub cost: u64,
}

impl StateLine {
    /// True if these are the bytes it names.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        self.sha256 == hex(bytes)
    }
}

impl Line {
    /// When it was decided.
    pub fn at(&self) -> UnixMillis {
        match self {
            Self::State(line) => line.at,
            Self::Asked(line) => line.at,
            Self::Settled { at, .. } | Self::Verified { at, .. } | Self::Gap { at, .. } => *at,
        }
    }

    /// Seals a number for a line: `nonce` makes it another text each time.
    pub fn seal(keys: &Keyring, number: PhoneNumber, nonce: u64) -> String {
        keys.seal(keys.current(), IdKind::Journal, number, nonce).to_hex()
    }

    /// Opens a sealed number; `None` without the key.
    pub fn open(keys: &Keyring, sealed: &str) -> Option<PhoneNumber> {
        Some(keys.open(IdKind::Journal, SealedId::from_hex(sealed)?)?.phone)
    }
}

/// What stands for a policy in the journal.
pub fn state_digest(policy: &GuardPolicy) -> String {
    let bytes = bincode::serde::encode_to_vec(policy, bincode::config::standard()).unwrap_or_default();
    hex(&bytes)
}

/// SHA-256 as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
