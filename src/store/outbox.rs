//! The outbox: events that wait in the store until the operator's back end has them.
//!
//! An event is put in by the same atomic write as the change it tells of ([`Change::events`](super::Change)), so of
//! both or of neither a crash leaves something. It goes when it is delivered, or to the dead letters when that is given
//! up. A store knows nothing of what an event says.
//!
//! Both lists are bounded, and hitting a bound never refuses a change: while as many events wait as may, a new one goes
//! straight to the dead letters, and there the oldest makes room for it. Both are counted.

use std::fmt;

use async_trait::async_trait;
use metrics::counter;

use super::StoreFault;
use crate::record::UnixMillis;

/// An event in the outbox or among the dead letters.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1. Grows with every event and is never used twice, not even after a crash.
    pub id: u64,
    /// Deliveries that were tried.
    pub tries: u8,
    /// When the next one is due; 0: at once.
    pub due: UnixMillis,
    /// What was put in.
    pub event: Vec<u8>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} tries, {} bytes)", self.id, self.tries, self.event.len())
    }
}

/// Bounds of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Events that may wait. Default 100,000: some 10 MiB.
    pub pending_max: usize,
    /// Dead letters kept. Default 10,000.
    pub dead_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { pending_max: 100_000, dead_max: 10_000 }
    }
}

/// How much is in the two lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Events that wait.
    pub pending: usize,
    /// Dead letters.
    pub dead: usize,
}

/// One of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// What waits for its delivery.
    Pending,
    /// What could not be delivered.
    Dead,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered: it waits no more.
    Delivered,
    /// It waits for a further try.
    Again {
        /// Deliveries that were tried.
        tries: u8,
        /// When the next one is due.
        due: UnixMillis,
    },
    /// Given up: it becomes a dead letter.
    Dead {
        /// Deliveries that were tried.
        tries: u8,
    },
    /// A dead letter that is to be delivered after all: it waits as if it were new.
    Revived,
    /// A dead letter that nobody wants.
    Dropped,
}

impl Verdict {
    /// Where the entry has to be for this to become of it.
    pub(super) fn of(self) -> Shelf {
        match self {
            Self::Delivered | Self::Again { .. } | Self::Dead { .. } => Shelf::Pending,
            Self::Revived | Self::Dropped => Shelf::Dead,
        }
    }

    /// Where it is afterwards, with its tries and when it is due; `None`: gone.
    pub(super) fn leaves(self) -> Option<(Shelf, u8, UnixMillis)> {
        match self {
            Self::Delivered | Self::Dropped => None,
            Self::Again { tries, due } => Some((Shelf::Pending, tries, due)),
            Self::Dead { tries } => Some((Shelf::Dead, tries, UnixMillis(0))),
            Self::Revived => Some((Shelf::Pending, 0, UnixMillis(0))),
        }
    }

    /// Has it to be durable when it is answered? What a crash takes back of the others is delivered or tried once more,
    /// which is no harm; a flush for each would compete with those that people wait for.
    pub(super) fn is_lasting(self) -> bool {
        matches!(self, Self::Dead { .. } | Self::Revived | Self::Dropped)
    }
}

/// The outbox of a store. See `tests/store_contract/outbox.rs` for the contract.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Sets the bounds, from the next event on.
    fn limit(&self, limits: OutboxLimits);

    /// Puts in events of no number, and makes them durable.
    async fn note(&self, events: Vec<Vec<u8>>) -> Result<(), StoreFault>;

    /// Up to `limit` entries with ids greater than `after`, in ascending order; only what is durable.
    async fn entries(&self, shelf: Shelf, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFault>;

    /// Carries out the verdicts and answers how many of their entries were there.
    async fn settle(&self, verdicts: Vec<(u64, Verdict)>) -> Result<usize, StoreFault>;

    /// How much there is.
    fn counts(&self) -> OutboxCounts;

    /// Resolves once events were put in that no earlier call has resolved for.
    async fn added(&self);
}

/// Where a new event goes, and whether the oldest dead letter makes room for it.
pub(super) fn place(counts: OutboxCounts, limits: OutboxLimits) -> Shelf {
    if counts.pending < limits.pending_max { Shelf::Pending } else { Shelf::Dead }
}

/// Counts events that went straight to the dead letters.
pub(super) fn count_overflow(events: usize) {
    count("overflow", events);
}

/// Counts dead letters that made room.
pub(super) fn count_dropped(letters: usize) {
    count("dropped", letters);
}

/// Seldom, so the handle is looked up each time.
fn count(outcome: &'static str, events: usize) {
    if events > 0 {
        counter!("otpd_webhooks_total", "outcome" => outcome).increment(events as u64);
    }
}
