//! The outbox in the embedded store: keys behind all numbers in the same tree, so that one record of the log holds both.
//!
//! A number's key is eight bytes that begin with 0 (it has 50 bits); an entry's key is `[0xFF][shelf][id, big-endian]`,
//! its value `[tries u8][due u64, big-endian][event]`. An event that is delivered before the next fold never sees the
//! tree. Owns the layout, the counts, and the ids. The caller holds the writer's lock for every call that writes.

use std::{
    collections::BTreeSet,
    ops::{Bound, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    CLOSED, EVENT_HEADER, Shared, SledStore,
    engine::{Engine, EngineError},
    key::Key,
    memtable::{KeyRange, Ops},
};
use crate::{
    record::UnixMillis,
    store::{
        Entry, Outbox, OutboxCounts, OutboxLimits, Shelf, StoreFault, Verdict,
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
#[derive(Debug, Default)]
pub(super) struct SledOutbox {
    book: Mutex<Book>,
    added: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Book {
    /// Leased and not given out.
    ids: Range<u64>,
    counts: OutboxCounts,
    limits: OutboxLimits,
}

fn key(shelf: Shelf, id: u64) -> Key {
    let mut key = [BEHIND_NUMBERS; 10];
    let (_, rest) = key.split_at_mut(1);
    let (kind, number) = rest.split_at_mut(1);
    kind.fill(match shelf {
        Shelf::Pending => 0,
        Shelf::Dead => 1,
    });
    number.copy_from_slice(&id.to_be_bytes());
    key.into()
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

/// The entries of a shelf with ids in the range.
fn shelf_range(shelf: Shelf, ids: (Bound<u64>, Bound<u64>)) -> KeyRange {
    let bound = |id: Bound<u64>, end: u64| match id {
        Bound::Included(id) => Bound::Included(key(shelf, id)),
        Bound::Excluded(id) => Bound::Excluded(key(shelf, id)),
        Bound::Unbounded => Bound::Included(key(shelf, end)),
    };
    (bound(ids.0, 0), bound(ids.1, u64::MAX))
}

const WHOLE: (Bound<u64>, Bound<u64>) = (Bound::Unbounded, Bound::Unbounded);

/// Entries read at a time while they are counted.
const COUNTED_AT_ONCE: usize = 1 << 10;

impl SledOutbox {
    /// Counts what is there: all of it is durable.
    pub(super) fn count(&self, engine: &Engine) -> Result<(), EngineError> {
        let count = |shelf| {
            let (mut range, mut count) = (shelf_range(shelf, WHOLE), 0);
            loop {
                let (entries, next) = engine.range(&range, COUNTED_AT_ONCE)?;
                count += entries.len();
                match next {
                    Some(last) => range.0 = Bound::Excluded(last),
                    None => return Ok::<_, EngineError>(count),
                }
            }
        };
        let counts = OutboxCounts { pending: count(Shelf::Pending)?, dead: count(Shelf::Dead)? };
        self.book().counts = counts;
        if counts.pending > 0 {
            self.added.notify_one();
        }
        Ok(())
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

    /// Adds the events to what a batch writes.
    pub(super) fn add(&self, engine: &Engine, ops: &mut Ops, events: &[&[u8]]) -> Result<(), EngineError> {
        let mut book = self.book();
        let count = events.len() as u64;
        if book.ids.end - book.ids.start < count {
            // What was at hand is skipped: a batch's ids must follow each other.
            book.ids = engine.lease(EVENT_IDS_LEASED, count.max(LEASE))?;
        }
        let mut overflow = 0;
        for event in events {
            let id = book.ids.next().ok_or_else(|| EngineError::Sled("no event id at hand".to_owned()))?;
            let shelf = place(book.counts, book.limits);
            ops.insert(key(shelf, id), Some(value(0, UnixMillis(0), event).into()));
            match shelf {
                Shelf::Pending => book.counts.pending += 1,
                Shelf::Dead => overflow += 1,
            }
        }
        count_dropped(book.bury(engine, ops, overflow)?);
        count_overflow(overflow);
        Ok(())
    }

    /// Events were added, and can be read now.
    pub(super) fn ring(&self) {
        self.added.notify_one();
    }

    pub(super) fn entries(
        &self,
        engine: &Engine,
        shelf: Shelf,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, EngineError> {
        let (entries, _) = engine.range(&shelf_range(shelf, (Bound::Excluded(after), Bound::Unbounded)), limit)?;
        Ok(entries.iter().filter_map(|(key, value)| entry(key.as_ref(), value)).collect())
    }

    /// What the verdicts come to: how many of their entries are there, what is to be written, and whether it is to be
    /// durable before it is answered.
    pub(super) fn settle(&self, engine: &Engine, verdicts: &[(u64, Verdict)]) -> Result<Settled, EngineError> {
        let mut book = self.book();
        let mut settled = Settled::default();
        for (id, verdict) in verdicts {
            let from = key(verdict.of(), *id);
            let found = match settled.ops.get(&from) {
                Some(wanted) => wanted.clone(),
                None => engine.get(&from)?,
            };
            let Some(found) = found else { continue };
            let event = found.get(9..).unwrap_or_default();
            settled.ops.insert(from, None);
            if let Some((shelf, tries, due)) = verdict.leaves() {
                settled.ops.insert(key(shelf, *id), Some(value(tries, due, event).into()));
            }
            *book.count(verdict.of()) -= 1;
            match verdict.leaves() {
                Some((Shelf::Dead, ..)) => count_dropped(book.bury(engine, &mut settled.ops, 1)?),
                Some((Shelf::Pending, ..)) => book.counts.pending += 1,
                None => {}
            }
            settled.there += 1;
            settled.lasting |= verdict.is_lasting();
            settled.revived |= *verdict == Verdict::Revived;
        }
        Ok(settled)
    }
}

/// What verdicts come to.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// How many of their entries are there.
    pub(super) there: usize,
    /// What is to be written.
    pub(super) ops: Ops,
    /// It has to be durable before it is answered.
    pub(super) lasting: bool,
    /// There is something to deliver again.
    pub(super) revived: bool,
}

impl Book {
    fn count(&mut self, shelf: Shelf) -> &mut usize {
        match shelf {
            Shelf::Pending => &mut self.counts.pending,
            Shelf::Dead => &mut self.counts.dead,
        }
    }

    /// So many more dead letters; of too many the oldest go. Answers how many went.
    fn bury(&mut self, engine: &Engine, ops: &mut Ops, more: usize) -> Result<usize, EngineError> {
        let excess = (self.counts.dead + more).saturating_sub(self.limits.dead_max);
        let mut gone = 0;
        if more > 0 && excess > 0 {
            let range = shelf_range(Shelf::Dead, WHOLE);
            // Those that this batch has buried before are still there to be read: as many more are looked at.
            let (stored, _) = engine.range(&range, excess + ops.len())?;
            let stored = stored.into_iter().map(|(key, _)| key);
            let new = ops.range(range).filter(|(_, value)| value.is_some()).map(|(key, _)| *key);
            let mut oldest: BTreeSet<Key> = stored.chain(new).collect();
            oldest.retain(|key| ops.get(key).is_none_or(Option::is_some));
            for key in oldest.into_iter().take(excess) {
                ops.insert(key, None);
                gone += 1;
            }
        }
        self.counts.dead = self.counts.dead + more - gone;
        Ok(gone)
    }
}

/// More than an event comes to; a segment that ends up a little longer than it may be harms nobody.
const EVENT_BYTES: usize = 4 << 10;

impl SledStore {
    /// Runs `act` on a blocking thread, because it reads cold pages or waits for the writer's lock.
    async fn beside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &Engine) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let shared = Arc::clone(&self.shared);
        let act = move || {
            let engine = shared.engine()?;
            act(&shared, engine.as_ref().ok_or(CLOSED)?)
        };
        let done = tokio::task::spawn_blocking(act).await;
        done.unwrap_or_else(|_| Err(StoreFault::Unknown("a thread of the store died".to_owned())))
    }

    /// As [`Self::beside`], as the one writer and with room for so many entries and bytes. What `act` answers is written.
    async fn write_beside<T: Send + 'static>(
        &self,
        (entries, bytes): (usize, usize),
        act: impl FnOnce(&Engine) -> Result<Written<T>, EngineError> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let fsync = self.is_fsync();
        self.beside(move |shared, engine| {
            let mut wal = engine.writer().map_err(|error| shared.fail(&error))?;
            shared.room(engine).map_err(StoreFault::Refused)?;
            shared.writable(engine.make_room(&mut wal, entries, bytes))?;
            let written = act(engine).and_then(|Written { answer, ops, lasting, tells }| {
                engine.write(&mut wal, ops, lasting && fsync)?;
                Ok((answer, tells))
            });
            let (answer, tells) = shared.writable(written)?;
            if tells {
                engine.outbox.ring();
            }
            Ok(answer)
        })
        .await
    }
}

/// What is to be written of the outbox.
struct Written<T> {
    answer: T,
    ops: Ops,
    /// Durable before it is answered.
    lasting: bool,
    /// There is something to deliver.
    tells: bool,
}

#[async_trait]
impl Outbox for SledStore {
    fn limit(&self, limits: OutboxLimits) {
        if let Ok(engine) = self.shared.engine()
            && let Some(engine) = engine.as_ref()
        {
            engine.outbox.limit(limits);
        }
    }

    async fn note(&self, events: Vec<Vec<u8>>) -> Result<(), StoreFault> {
        let bytes = events.iter().map(|event| event.len() + EVENT_HEADER).sum();
        self.write_beside((2 * events.len(), bytes), move |engine| {
            let (mut ops, events) = (Ops::new(), events.iter().map(Vec::as_slice).collect::<Vec<_>>());
            engine.outbox.add(engine, &mut ops, &events)?;
            Ok(Written { answer: (), ops, lasting: true, tells: !events.is_empty() })
        })
        .await
    }

    async fn entries(&self, shelf: Shelf, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFault> {
        let read = move |_: &Shared, engine: &Engine| {
            engine.outbox.entries(engine, shelf, after, limit).map_err(|error| StoreFault::Unknown(error.to_string()))
        };
        self.beside(read).await
    }

    async fn settle(&self, verdicts: Vec<(u64, Verdict)>) -> Result<usize, StoreFault> {
        let most = (3 * verdicts.len(), verdicts.len() * EVENT_BYTES);
        self.write_beside(most, move |engine| {
            let Settled { there, ops, lasting, revived } = engine.outbox.settle(engine, &verdicts)?;
            Ok(Written { answer: there, ops, lasting, tells: revived })
        })
        .await
    }

    fn counts(&self) -> OutboxCounts {
        let engine = self.shared.engine();
        engine.ok().and_then(|engine| engine.as_ref().map(|engine| engine.outbox.counts())).unwrap_or_default()
    }

    async fn added(&self) {
        self.shared.added.notified().await;
    }
}
