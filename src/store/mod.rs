//! Durable snapshots, one per phone number: the port that every backend implements.
//!
//! Owns: the trait, the committer that groups writes, the backends. Never looks inside a snapshot
//! beyond its header ([`crate::record::snapshot`]).

mod backlog;
pub mod committer;
pub mod memory;
pub mod outbox;
pub mod sled_store;
pub mod slow;

use std::{fmt, future, ops::Range};

use async_trait::async_trait;

use crate::record::PhoneNumber;
pub use outbox::{Entry, Outbox, OutboxCounts, OutboxLimits, Shelf, Verdict};

/// The bytes of one number as they stand in the store, with the version their header names.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The header's version; what a [`Change`] must name to replace these bytes.
    pub version: u64,
    /// Header and body, as `record::snapshot::encode` made them.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(v{}, {} bytes)", self.version, self.bytes.len())
    }
}

/// One compare-and-set on one number.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose snapshot.
    pub phone: PhoneNumber,
    /// Version that must be there now; `None`: the number must have no snapshot.
    pub expected: Option<u64>,
    /// What to put there; `None` deletes.
    pub next: Option<Snapshot>,
    /// What it has to tell the operator's back end: put into the outbox by the same atomic write.
    pub events: Vec<Vec<u8>>,
}

/// What became of one [`Change`] of a batch that went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Durable (in the sense of the configured durability).
    Done,
    /// The version was another one; nothing was written for this item.
    Conflict,
}

/// Why a store could not answer. Callers branch on the kind; the text is for the log only.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreFault {
    /// Certainly not done: refused before anything was touched (queue full, disk nearly full, closed).
    #[error("store refused: {0}")]
    Refused(&'static str),
    /// It may have been done or not.
    #[error("store outcome unknown: {0}")]
    Unknown(String),
}

/// A page of a scan in key order.
#[derive(Debug, Default)]
pub struct Page {
    /// Numbers and their snapshots, in ascending order of number.
    pub records: Vec<(PhoneNumber, Snapshot)>,
    /// Pass as `after` to get the next page; `None` at the end.
    pub next: Option<PhoneNumber>,
}

/// A store of snapshots with compare-and-set per number. See `tests/store_contract.rs` for the contract.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// The snapshot of one number, or `None`.
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault>;

    /// Applies each change if its version holds, makes all of them durable, answers per item in order.
    /// Two changes of one number in a batch are applied in order. An `Err` is about the whole batch.
    /// Called from the committer's own thread, so it may block. Only what is durable may be seen by a `load`
    /// before this has answered.
    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault>;

    /// Up to `limit` snapshots of numbers greater than `after`.
    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault>;

    /// Takes `count` user ids out of the store's durable counter, which starts at 1. No id is ever in two leases:
    /// a crash skips those of its lease that were not given out.
    async fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, StoreFault>;

    /// Where events wait for the operator's back end.
    fn outbox(&self) -> &dyn Outbox;

    /// True when other processes may write to the same store; outcomes decided on cached records are then re-checked.
    fn shared(&self) -> bool;

    /// Why a change would be refused right now (disk nearly full); `None`: it would be tried. Cheap: asked by `readyz`.
    fn refusing(&self) -> Option<&'static str> {
        None
    }

    /// Resolves once the store cannot be trusted any more (a flush failed): the process has to end.
    /// A fault of one call alone, say a time-out of a shared store, does not resolve it.
    async fn failure(&self) -> StoreFault {
        future::pending().await
    }

    /// Makes everything durable and lets go of files and locks. Later calls answer `Refused`.
    async fn close(&self) -> Result<(), StoreFault>;
}
