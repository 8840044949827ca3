//! The sweep: reads the store a few records at a time and deletes those that have nothing left to remember.
//!
//! It needs no index and never holds anything up: a bounded number of records per tick, deleted through the committer
//! with the version that was read, so that a number that came to life in between keeps its record. It looks at headers
//! alone and leaves live numbers to their actors. A store that expires keys by itself needs no sweep.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    record::{PhoneNumber, UnixMillis, snapshot::Header},
    store::{Change, Committed, Snapshot, StoreFault},
};

use super::{Directory, meters::as_gauge, registry::Registry, settings::SweepSettings};

/// Deletions under way at one time: a few in a batch, and far from filling the commit queue.
const DELETIONS_AT_ONCE: usize = 64;

/// What one tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Records looked at.
    pub scanned: usize,
    /// Records deleted.
    pub deleted: usize,
    /// True if this tick came to the end of the store; the next one begins anew.
    pub finished: bool,
}

/// Where the sweep stands.
#[derive(Debug)]
pub struct Sweeper {
    directory: Directory,
    settings: SweepSettings,
    after: Option<PhoneNumber>,
    /// Records this pass has left in place.
    kept: usize,
}

impl Sweeper {
    /// A sweep from the store's first record.
    pub fn new(directory: &Directory, settings: SweepSettings) -> Self {
        Self { directory: directory.clone(), settings, after: None, kept: 0 }
    }

    /// Ticks until the directory drains.
    pub async fn run(mut self) {
        let stop = self.registry().stop.clone();
        let mut beats = interval(Duration::from_millis(self.settings.tick_ms.max(1)));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beats.tick() => {}
            }
            if let Err(fault) = self.tick().await {
                tracing::warn!(%fault, "sweep put off");
            }
        }
    }

    /// One bounded step. After the last one of a pass the gauge of records is set.
    ///
    /// # Errors
    /// If the store can't be read; the next tick tries the same place again.
    pub async fn tick(&mut self) -> Result<Swept, StoreFault> {
        let registry = Arc::clone(&self.directory.registry);
        let page = registry.parts.store.scan(self.after, self.settings.records_per_tick.max(1)).await?;
        let now = registry.parts.clock.now();
        let over: Vec<Change> = page.records.iter().filter_map(|(phone, found)| due(*phone, found, now)).collect();
        let mut deleted = 0;
        for changes in over.chunks(DELETIONS_AT_ONCE) {
            let asleep = changes.iter().filter(|change| !registry.is_live(change.phone));
            let outcomes = join_all(asleep.map(|change| registry.parts.committer.commit(change.clone()))).await;
            deleted += outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Done))).count();
        }
        registry.meters.swept.increment(deleted as u64);
        let scanned = page.records.len();
        self.kept += scanned.saturating_sub(deleted);
        self.after = page.next;
        let finished = page.next.is_none();
        if finished {
            registry.meters.store_records.set(as_gauge(std::mem::take(&mut self.kept)));
        }
        Ok(Swept { scanned, deleted, finished })
    }

    fn registry(&self) -> &Registry {
        &self.directory.registry
    }
}

/// The deletion of a record whose time is over.
fn due(phone: PhoneNumber, found: &Snapshot, now: UnixMillis) -> Option<Change> {
    let forget_at = Header::peek(&found.bytes)?.forget_at?;
    (forget_at <= now).then_some(Change { phone, expected: Some(found.version), next: None, events: Vec::new() })
}
