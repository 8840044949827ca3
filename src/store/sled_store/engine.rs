//! sled, the log before it and what is between them: one place to read and to write entries.
//!
//! ```text
//! write: batch -> log (append, sync) -> memtable          fold: memtable -> a run -> mark, sync -> the log forgets
//! read:  memtable, then runs, newest first                open: what the log has behind the mark -> memtable
//! ```
//!
//! Why not straight into sled: that costs 8 to 17 µs of CPU per change and a flush that wakes all of sled's threads;
//! a record of the log is one write and one `fdatasync` for the whole batch, and a number that changes three times within
//! a few seconds is written into sled once. Entries are numbers (key: the number, big-endian; value: header and body),
//! kept in runs, and, behind them, the outbox's, in a tree of their own. Never decides who may write.

use std::{
    io,
    ops::{Bound, ControlFlow, Range},
    sync::{Mutex, MutexGuard},
};

use sled::IVec;

use super::{
    SledSettings,
    chunk::{Damaged, Number},
    filter::Filter,
    key::Key,
    memtable::{KeyRange, Memtable, Ops},
    outbox::{BEHIND_NUMBERS, SledOutbox},
    runs::Runs,
    tree::{OpenError, Tree},
    wal::{ENTRY_OVERHEAD, Wal, WalError},
    walk::Walk,
};
use crate::{
    record::{PhoneNumber, snapshot::Header},
    store::{Change, Committed, Page, Snapshot},
};

/// The counter: how many user ids were ever leased.
const USER_IDS_LEASED: &[u8] = b"user_ids_leased";
/// The counter: how often the store was opened.
const OPENINGS: &[u8] = b"openings";
/// The mark: up to which record of the log sled has everything.
const FOLDED: &[u8] = b"folded";
/// Where the log is, in sled's directory.
const LOG: &str = "log";
/// Entries that a fold or a merge writes between two rests: about a millisecond.
const SLICE: usize = 1_024;
/// Slices after which it syncs what it has written so far: a MiB, so that no sync of the log stands behind all of it.
const SLICES_PER_SYNC: usize = 4;
/// Most bytes of an entry of the log beside its value.
const ENTRY_BYTES: usize = ENTRY_OVERHEAD + 10;

/// A read or write that failed, in words that are fit for the log: no path, no key, no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("sled: {0}")]
    Sled(String),
    #[error("{0}: {1}")]
    Io(&'static str, io::ErrorKind),
    #[error("a snapshot without a header")]
    Headless,
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error("a writer panicked")]
    Poisoned,
    /// Nothing was touched: the log is full, and the fold that makes room is still under way.
    #[error("the fold is behind")]
    Behind,
}

impl From<sled::Error> for EngineError {
    fn from(error: sled::Error) -> Self {
        Self::Sled(match error {
            sled::Error::Io(error) => format!("i/o error: {}", error.kind()),
            sled::Error::Corruption { at, .. } => format!("corruption at {at:?}"),
            sled::Error::Unsupported(what) => format!("unsupported: {what}"),
            sled::Error::ReportableBug(what) => format!("bug: {what}"),
            sled::Error::CollectionNotFound(_) => "tree not found".to_owned(),
        })
    }
}

/// Keys and values.
pub(super) type Entries = Vec<(Key, IVec)>;

/// Sled, log and memtable.
pub(super) struct Engine {
    // Before sled: its trees must have been let go of when sled is closed.
    runs: Runs,
    tree: Tree,
    /// One batch at a time: versions are checked and written under it. Poisoned by a panic in the middle of a batch,
    /// which counts as a failure.
    writer: Mutex<Wal>,
    memtable: Memtable,
    filter: Filter,
    pub(super) outbox: SledOutbox,
}

/// What is stored for a number, as far as compare-and-set goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    /// This version, or nothing.
    Is(Option<u64>),
    /// Bytes without a header: no version matches them.
    Unreadable,
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub(super) struct Planned<'a> {
    /// The last wanted state of each number.
    pub(super) ops: Ops,
    pub(super) outcomes: Vec<Committed>,
    /// What its changes have to tell.
    pub(super) events: Vec<&'a [u8]>,
}

impl Engine {
    pub(super) fn open(settings: &SledSettings) -> Result<Self, OpenError> {
        let tree = Tree::open(&settings.path, settings.cache_mib)?;
        let cannot = |error: EngineError| OpenError::Engine(error.to_string());
        let (wal, replayed) = open_log(&tree, settings).map_err(cannot)?;
        let (writer, memtable) = (Mutex::new(wal), Memtable::of(replayed));
        let runs = Runs::open(&tree, settings.runs_max).map_err(cannot)?;
        let filter = Filter::new(settings.filter_mib);
        let engine = Self { runs, tree, writer, memtable, filter, outbox: SledOutbox::default() };
        engine.outbox.count(&engine).map_err(cannot)?;
        Ok(engine)
    }

    /// The turn to write.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Wal>, EngineError> {
        self.writer.lock().map_err(|_| EngineError::Poisoned)
    }

    /// MiB that an ordinary user may still write to the file system.
    pub(super) fn free_mib(&self) -> io::Result<u64> {
        self.tree.free_mib()
    }

    /// What stands under a key.
    pub(super) fn get(&self, key: &Key) -> Result<Option<IVec>, EngineError> {
        match (self.memtable.get(key), number_of(key)) {
            (Some(wanted), _) => Ok(wanted),
            (None, Some(number)) => self.runs.get(number),
            (None, None) => self.tree.get(key),
        }
    }

    /// The first `limit` entries of a range that sled has.
    fn older(&self, range: KeyRange, limit: usize) -> Result<Entries, EngineError> {
        match &range.0 {
            Bound::Included(first) | Bound::Excluded(first) if number_of(first).is_none() => {
                self.tree.range(range, limit)
            }
            Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => self.runs.range(&range, limit),
        }
    }

    /// The entry of a number.
    fn of(&self, phone: PhoneNumber) -> Result<Option<IVec>, EngineError> {
        let key = Key::from(phone.to_key());
        if self.filter.may_have(&key) { self.get(&key) } else { Ok(None) }
    }

    pub(super) fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, EngineError> {
        self.of(phone)?.map(|bytes| snapshot(&bytes).ok_or(EngineError::Headless)).transpose()
    }

    /// Up to `limit` entries of a range, in order, and behind which key to go on; `None` at its end.
    pub(super) fn range(&self, range: &KeyRange, limit: usize) -> Result<(Entries, Option<Key>), EngineError> {
        let limit = limit.max(1);
        let (mut from, end) = *range;
        loop {
            // The memtable first: what a fold takes out of it meanwhile is in sled by then.
            let (newer, newer_end) = self.memtable.range(&(from, end), limit);
            let older = self.older((from, newer_end.map_or(end, Bound::Included)), limit)?;
            let older_end = if older.len() == limit { older.last().map(|(key, _)| *key) } else { None };
            // Up to here both have said everything.
            let sure = [newer_end, older_end].into_iter().flatten().min();
            let mut merged: Ops = older.into_iter().map(|(key, value)| (key, Some(value))).collect();
            merged.extend(newer);
            if let Some(sure) = &sure {
                merged.retain(|key, _| key <= sure);
            }
            let live = merged.into_iter().filter_map(|(key, value)| Some((key, value?)));
            let mut entries: Vec<_> = live.take(limit + 1).collect();
            let cut = entries.len() > limit;
            entries.truncate(limit);
            let next = if cut { entries.last().map(|(key, _)| *key) } else { sure };
            match next {
                Some(next) if entries.is_empty() => from = Bound::Excluded(next), // nothing but deletions
                next => return Ok((entries, next)),
            }
        }
    }

    pub(super) fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, EngineError> {
        let mut range = numbers(after.map(|phone| Key::from(phone.to_key())));
        loop {
            let (entries, next) = self.range(&range, limit)?;
            let mut page = Page::default();
            for (key, value) in &entries {
                match PhoneNumber::from_key(key.as_ref()).zip(snapshot(value)) {
                    Some(record) => page.records.push(record),
                    // One bad entry must not end every sweep before the numbers behind it.
                    None => tracing::warn!("an entry of the store is no snapshot of a number, skipped"),
                }
            }
            page.next = next.and_then(|_| page.records.last().map(|(phone, _)| *phone));
            match next {
                Some(next) if page.records.is_empty() => range.0 = Bound::Excluded(next),
                _ => return Ok(page),
            }
        }
    }

    /// Checks each change against what is stored and what the changes before it in the batch leave behind. Reads only.
    pub(super) fn plan<'a>(&self, batch: &'a [Change]) -> Result<Planned<'a>, EngineError> {
        let mut planned = Planned { outcomes: Vec::with_capacity(batch.len()), ..Planned::default() };
        for change in batch {
            let key = Key::from(change.phone.to_key());
            let current = match planned.ops.get(&key) {
                Some(wanted) => version(wanted.as_ref()),
                None => version(self.of(change.phone)?.as_ref()),
            };
            planned.outcomes.push(if current == Current::Is(change.expected) {
                planned.ops.insert(key, change.next.as_ref().map(|next| IVec::from(next.bytes.as_slice())));
                planned.events.extend(change.events.iter().map(Vec::as_slice));
                Committed::Done
            } else {
                Committed::Conflict
            });
        }
        Ok(planned)
    }

    /// Sees to it that a batch of so many entries and bytes can be written, before anything of it is touched: if need be
    /// by going on in another segment, which is possible while nothing is being folded.
    pub(super) fn make_room(&self, wal: &mut Wal, entries: usize, bytes: usize) -> Result<(), EngineError> {
        let bytes = (bytes + entries * ENTRY_BYTES) as u64;
        if !wal.has_room(bytes) {
            if self.memtable.is_folding() {
                return Err(EngineError::Behind);
            }
            self.rotate(wal)?;
        }
        if wal.has_room(bytes) { Ok(()) } else { Err(EngineError::Behind) }
    }

    /// Writes a batch, and makes it durable if it is to be. It is seen after that, and not before.
    pub(super) fn write(&self, wal: &mut Wal, ops: Ops, durable: bool) -> Result<(), EngineError> {
        if ops.is_empty() {
            return Ok(());
        }
        wal.append(&ops)?;
        if durable {
            wal.sync()?;
        }
        self.filter.add(ops.keys().filter(|key| number_of(key).is_some()));
        self.memtable.apply(ops);
        Ok(())
    }

    /// What was written so far is to be folded; what comes from now on is the next fold's.
    fn rotate(&self, wal: &mut Wal) -> Result<(), EngineError> {
        wal.seal()?;
        self.memtable.rotate(wal.last());
        Ok(())
    }

    /// Puts the memtable into sled and lets the log forget it; answers how many entries there were. One at a time.
    /// It need not be atomic: until the mark behind it is durable the log has all of it, and what a crash leaves half
    /// done is done once more. `rest` is called between slices, so that others have their turn at cores and disk.
    pub(super) fn fold(&self, mut rest: impl FnMut()) -> Result<usize, EngineError> {
        if !self.memtable.is_folding() {
            let mut wal = self.writer()?;
            // Once more, with the turn to write: a full log may have made the writer rotate.
            if !self.memtable.is_folding() && !self.memtable.is_empty() {
                self.rotate(&mut wal)?;
            }
        }
        let Some((folding, upto)) = self.memtable.folding() else { return Ok(0) };
        let (mut run, mut taken) = (self.runs.writer(&self.tree), 0);
        for (key, value) in &*folding {
            match number_of(key) {
                Some(number) => run.put((number, value.as_deref()))?,
                None => self.tree.write(key, value.as_ref())?,
            }
            taken += 1;
            if taken % SLICE == 0 {
                self.sync_now_and_then(taken)?;
                rest();
            }
        }
        if let Some(run) = run.finish()? {
            self.runs.add(&self.tree, run)?;
        }
        self.tree.set_counter(FOLDED, upto)?;
        self.memtable.folded();
        self.writer()?.forget(upto)?;
        Ok(taken)
    }

    /// Makes some runs one if it is time to, and drops what is not needed any more; answers whether. `pace` is called
    /// between slices, and may end it. One at a time.
    pub(super) fn merge(&self, mut pace: impl FnMut() -> ControlFlow<()>) -> Result<bool, EngineError> {
        let mut taken = 0;
        let merged = self.runs.merge(&self.tree, SLICE, || {
            taken += SLICE;
            self.sync_now_and_then(taken)?;
            Ok(pace())
        })?;
        self.runs.drop_retired(&self.tree, pace)?;
        Ok(merged)
    }

    /// After so many entries in all.
    fn sync_now_and_then(&self, written: usize) -> Result<(), EngineError> {
        if written.is_multiple_of(SLICE * SLICES_PER_SYNC) { self.tree.make_durable() } else { Ok(()) }
    }

    /// The runs, as far as how many there are.
    pub(super) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Begins another filter, if it is time to: the walk is to go through all there is then.
    pub(super) fn begin_filter(&self) -> Result<Option<Walk>, EngineError> {
        if !self.filter.is_due() {
            return Ok(None);
        }
        let _turn = self.writer()?;
        self.filter.begin();
        Ok(Some(Walk::default()))
    }

    /// Notes a page of the numbers there are in the filter that was begun; answers the rest of the walk.
    pub(super) fn filter_page(&self, walk: Walk) -> Result<Option<Walk>, EngineError> {
        let rest = walk.page(&self.memtable, &self.runs, &self.filter)?;
        if rest.is_none() {
            self.filter.finish();
        }
        Ok(rest)
    }

    /// While one fold was under way so much came that the next one must hurry, or there will be no room.
    pub(super) fn must_hurry(&self) -> Result<bool, EngineError> {
        Ok(self.writer()?.is_mostly_full())
    }

    /// Is a fold under way?
    pub(super) fn is_folding(&self) -> bool {
        self.memtable.is_folding()
    }

    /// Moves the durable counter of user ids on by `count`.
    pub(super) fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, EngineError> {
        self.lease(USER_IDS_LEASED, count)
    }

    /// Moves a durable counter on by `count`.
    pub(super) fn lease(&self, counter: &[u8], count: u64) -> Result<Range<u64>, EngineError> {
        self.tree.lease(counter, count)
    }

    /// The last folds, then all files are let go.
    pub(super) fn close(self) -> Result<(), EngineError> {
        while self.memtable.is_folding() || !self.memtable.is_empty() {
            self.fold(|| ())?;
        }
        drop(self.runs);
        self.tree.close()
    }

    /// Every sync of the log fails from now on.
    #[cfg(test)]
    pub(super) fn break_sync(&self) {
        self.writer().unwrap().break_sync();
    }
}

fn open_log(tree: &Tree, settings: &SledSettings) -> Result<(Wal, Ops), EngineError> {
    let epoch = tree.lease(OPENINGS, 1)?.start;
    let folded = tree.counter(FOLDED)?;
    Ok(Wal::open(&settings.path.join(LOG), epoch, folded, settings.log_mib.max(1) << 20)?)
}

/// The entries of numbers behind `after`.
pub(super) fn numbers(after: Option<Key>) -> KeyRange {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Excluded(Key::from([BEHIND_NUMBERS])))
}

/// The number whose key it is; `None`: a key of the outbox.
pub(super) fn number_of(key: &Key) -> Option<Number> {
    key.as_ref().try_into().ok().filter(|[first, ..]: &Number| *first < BEHIND_NUMBERS)
}

fn version(bytes: Option<&IVec>) -> Current {
    let Some(bytes) = bytes else { return Current::Is(None) };
    Header::peek(bytes).map_or(Current::Unreadable, |header| Current::Is(Some(header.version)))
}

fn snapshot(bytes: &[u8]) -> Option<Snapshot> {
    let version = Header::peek(bytes)?.version;
    Some(Snapshot { version, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests;
