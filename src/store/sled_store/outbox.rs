//! The outbox in sled: keys behind all numbers in the tree of snapshots, so that one batch holds both.
//!
//! A number's key is eight bytes that begin with 0 (it has 50 bits); an entry's key is `[0xFF][shelf][id, big-endian]`,
//! its value `[tries u8][due u64, big-endian][event]`. Owns the layout, the counts, and the ids. The caller holds the
//! writer's lock for every call that writes.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::engine::{Engine, EngineError};
use crate::{
    record::UnixMillis,
    store::{
        Entry, OutboxCounts, OutboxLimits, Shelf, Verdict,
        outbox::{count_dropped, count_overflow, place},
    },
};

/// What the keys of all entries begin with; those of numbers begin with 0.
pub(super) const BEHIND_NUMBERS: u8 = 0xFF;
/// Key of the counter: how many event ids were ever leased, as a big-endian u64.
const EVENT_IDS_LEASED: &[u8] = b"event_ids_leased";
/// Ids that are taken at once: one more flush in so many events, and at most so many skipped by a restart.
const LEASE: u64 = 1 << 16;

/// What the store remembers of its outbox.
#[derive(Debug)]
pub(super) struct SledOutbox {
    book: Mutex<Book>,
    /// The last id that is durable; later ones are not shown yet.
    shown: AtomicU64,
    added: Arc<Notify>,
}

#[derive(Debug)]
struct Book {
    ids: Range<u64>,
    counts: OutboxCounts,
    limits: OutboxLimits,
}

fn key(shelf: Shelf, id: u64) -> [u8; 10] {
    let mut key = [BEHIND_NUMBERS; 10];
    let (_, rest) = key.split_at_mut(1);
    let (kind, number) = rest.split_at_mut(1);
    kind.fill(match shelf {
        Shelf::Pending => 0,
        Shelf::Dead => 1,
    });
    number.copy_from_slice(&id.to_be_bytes());
    key
}

fn value(tries: u8, due: UnixMillis, event: &[u8]) -> Vec<u8> {
    [&[tries], &due.0.to_be_bytes()[..], event].concat()
}

fn entry(key: &[u8], value: &[u8]) -> Option<Entry> {
    let (_, id) = key.split_last_chunk::<8>()?;
    let (tries, rest) = value.split_first()?;
    let (due, event) = rest.split_first_chunk::<8>()?;
    let due = UnixMillis(u64::from_be_bytes(*due));
    Some(Entry { id: u64::from_be_bytes(*id), tries: *tries, due, event: event.to_vec() })
}

impl SledOutbox {
    /// Counts what is there: all of it is durable.
    pub(super) fn open(tree: &sled::Tree) -> Result<Self, EngineError> {
        let count = |shelf| {
            let all = tree.range(key(shelf, 0)..=key(shelf, u64::MAX)).keys();
            all.map(|key| key.map(|_| 1)).sum::<Result<usize, _>>()
        };
        let counts = OutboxCounts { pending: count(Shelf::Pending)?, dead: count(Shelf::Dead)? };
        let book = Mutex::new(Book { ids: 0..0, counts, limits: OutboxLimits::default() });
        let added = Arc::new(Notify::new());
        if counts.pending > 0 {
            added.notify_one();
        }
        Ok(Self { book, shown: AtomicU64::new(u64::MAX), added })
    }

    pub(super) fn added(&self) -> Arc<Notify> {
        Arc::clone(&self.added)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limit(&self, limits: OutboxLimits) {
        self.book().limits = limits;
    }

    pub(super) fn counts(&self) -> OutboxCounts {
        self.book().counts
    }

    /// Sees to it that `count` ids are at hand; to be called before anything of a batch is written, because it flushes.
    pub(super) fn provide_ids(&self, engine: &Engine, count: usize) -> Result<(), EngineError> {
        let mut book = self.book();
        let count = count as u64;
        let at_hand = book.ids.end - book.ids.start;
        if count == 0 || at_hand >= count {
            return Ok(());
        }
        let leased = engine.lease(EVENT_IDS_LEASED, count.max(LEASE))?;
        // What was at hand is skipped: a batch's ids must follow each other.
        self.shown.store(leased.start - 1, Ordering::Release);
        book.ids = leased;
        Ok(())
    }

    /// Adds the events to what `batch` writes, if there were ids provided for them.
    pub(super) fn add<'a>(
        &self,
        tree: &sled::Tree,
        batch: &mut sled::Batch,
        events: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), EngineError> {
        let mut book = self.book();
        let mut overflow = 0;
        for event in events {
            let id = book.ids.next().ok_or_else(|| EngineError::Sled("no event id at hand".to_owned()))?;
            let shelf = place(book.counts, book.limits);
            batch.insert(&key(shelf, id), value(0, UnixMillis(0), event));
            match shelf {
                Shelf::Pending => book.counts.pending += 1,
                Shelf::Dead => overflow += 1,
            }
        }
        count_dropped(book.bury(tree, batch, overflow)?);
        count_overflow(overflow);
        Ok(())
    }

    /// What was added is durable now.
    pub(super) fn show(&self) {
        let last = self.book().ids.start.wrapping_sub(1);
        if self.shown.swap(last, Ordering::AcqRel) != last {
            self.added.notify_one();
        }
    }

    pub(super) fn entries(
        &self,
        tree: &sled::Tree,
        shelf: Shelf,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, EngineError> {
        let (first, last) = (after.saturating_add(1), self.shown.load(Ordering::Acquire));
        if first > last {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for found in tree.range(key(shelf, first)..=key(shelf, last)).take(limit) {
            let (key, value) = found?;
            entries.extend(entry(&key, &value));
        }
        Ok(entries)
    }

    /// Carries out the verdicts, each in an atomic write. True: to be flushed.
    pub(super) fn settle(&self, tree: &sled::Tree, verdicts: &[(u64, Verdict)]) -> Result<(usize, bool), EngineError> {
        let mut book = self.book();
        let (mut there, mut lasting, mut made_room, mut revived) = (0, false, 0, false);
        for (id, verdict) in verdicts {
            let from = key(verdict.of(), *id);
            let Some(found) = tree.get(from)? else { continue };
            let event = found.get(9..).unwrap_or_default();
            let mut batch = sled::Batch::default();
            batch.remove(&from);
            if let Some((shelf, tries, due)) = verdict.leaves() {
                batch.insert(&key(shelf, *id), value(tries, due, event));
            }
            *book.count(verdict.of()) -= 1;
            match verdict.leaves() {
                Some((Shelf::Dead, ..)) => made_room += book.bury(tree, &mut batch, 1)?,
                Some((Shelf::Pending, ..)) => book.counts.pending += 1,
                None => {}
            }
            tree.apply_batch(batch)?;
            there += 1;
            lasting |= verdict.is_lasting();
            revived |= *verdict == Verdict::Revived;
        }
        drop(book);
        count_dropped(made_room);
        if revived {
            self.added.notify_one();
        }
        Ok((there, lasting))
    }
}

impl Book {
    fn count(&mut self, shelf: Shelf) -> &mut usize {
        match shelf {
            Shelf::Pending => &mut self.counts.pending,
            Shelf::Dead => &mut self.counts.dead,
        }
    }

    /// So many more dead letters; of too many the oldest go. Answers how many went.
    fn bury(&mut self, tree: &sled::Tree, batch: &mut sled::Batch, more: usize) -> Result<usize, EngineError> {
        let excess = (self.counts.dead + more).saturating_sub(self.limits.dead_max);
        let mut gone = 0;
        if more > 0 && excess > 0 {
            for oldest in tree.range(key(Shelf::Dead, 0)..=key(Shelf::Dead, u64::MAX)).keys().take(excess) {
                batch.remove(oldest?);
                gone += 1;
            }
        }
        self.counts.dead = self.counts.dead + more - gone;
        Ok(gone)
    }
}
