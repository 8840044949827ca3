//! The tree, the log before it and what is between them: one place to read and to write entries.
//!
//! ```text
//! write: batch -> log (append, sync) -> memtable          fold: memtable -> tree -> mark, sync -> the log forgets
//! read:  memtable, then tree                              open: what the log has behind the mark -> memtable
//! ```
//!
//! Why not straight into the tree: that costs 8 to 17 µs of CPU per change and a flush that wakes all of sled's threads;
//! a record of the log is one write and one `fdatasync` for the whole batch, and a number that changes three times within
//! a few seconds is written into the tree once. Entries are numbers (key: the number, big-endian; value: header and body)
//! and, behind them, the outbox's. Never decides who may write.

use std::{
    io,
    ops::{Bound, Range},
    sync::{Mutex, MutexGuard},
};

use sled::IVec;

use super::{
    SledSettings,
    key::Key,
    memtable::{KeyRange, Memtable, Ops},
    outbox::{BEHIND_NUMBERS, SledOutbox},
    seen::{Current, Seen},
    tree::{OpenError, Tree},
    wal::{ENTRY_OVERHEAD, Wal, WalError},
};
use crate::{
    record::{PhoneNumber, snapshot::Header},
    store::{Change, Committed, Page, Snapshot},
};

/// The counter: how many user ids were ever leased.
const USER_IDS_LEASED: &[u8] = b"user_ids_leased";
/// The counter: how often the store was opened.
const OPENINGS: &[u8] = b"openings";
/// The mark: up to which record of the log the tree has everything.
const FOLDED: &[u8] = b"folded";
/// Where the log is, in sled's directory.
const LOG: &str = "log";
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

/// Tree, log and memtable.
pub(super) struct Engine {
    tree: Tree,
    /// One batch at a time: versions are checked and written under it. Poisoned by a panic in the middle of a batch,
    /// which counts as a failure.
    writer: Mutex<Wal>,
    memtable: Memtable,
    seen: Seen,
    pub(super) outbox: SledOutbox,
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// The last wanted state of each number, and what its changes have to tell.
    pub(super) ops: Ops,
    pub(super) outcomes: Vec<Committed>,
    /// There are events among it.
    pub(super) tells: bool,
}

impl Engine {
    pub(super) fn open(settings: &SledSettings) -> Result<Self, OpenError> {
        let tree = Tree::open(&settings.path, settings.cache_mib)?;
        let cannot = |error: EngineError| OpenError::Engine(error.to_string());
        let (wal, replayed) = open_log(&tree, settings).map_err(cannot)?;
        let (writer, memtable) = (Mutex::new(wal), Memtable::of(replayed));
        let engine = Self { tree, writer, memtable, seen: Seen::default(), outbox: SledOutbox::default() };
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
        match self.memtable.get(key) {
            Some(wanted) => Ok(wanted),
            None => self.tree.get(key),
        }
    }

    pub(super) fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, EngineError> {
        let (round, key) = (self.seen.round(), Key::from(phone.to_key()));
        let found = match self.memtable.get(&key) {
            Some(wanted) => wanted,
            None => {
                let found = self.tree.get(&key)?;
                self.seen.note(round, phone, version(found.as_ref()));
                found
            }
        };
        found.map(|bytes| snapshot(&bytes).ok_or(EngineError::Headless)).transpose()
    }

    /// The version that a change has to name.
    fn current(&self, phone: PhoneNumber) -> Result<Current, EngineError> {
        let key = Key::from(phone.to_key());
        if let Some(wanted) = self.memtable.get(&key) {
            return Ok(version(wanted.as_ref()));
        }
        match self.seen.get(phone) {
            Some(seen) => Ok(seen),
            None => Ok(version(self.tree.get(&key)?.as_ref())),
        }
    }

    /// Up to `limit` entries of a range, in order, and behind which key to go on; `None` at its end.
    pub(super) fn range(&self, range: &KeyRange, limit: usize) -> Result<(Entries, Option<Key>), EngineError> {
        let limit = limit.max(1);
        let (mut from, end) = *range;
        loop {
            // The memtable first: what a fold takes out of it meanwhile is in the tree by then.
            let (newer, newer_end) = self.memtable.range(&(from, end), limit);
            let tree_end = newer_end.map_or(end, Bound::Included);
            let older = self.tree.range((from, tree_end), limit)?;
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
        let from = after.map_or(Bound::Unbounded, |phone| Bound::Excluded(Key::from(phone.to_key())));
        let mut range = (from, Bound::Excluded(Key::from([BEHIND_NUMBERS])));
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

    /// Checks each change against what is stored and what the changes before it in the batch leave behind.
    pub(super) fn plan(&self, batch: &[Change]) -> Result<Planned, EngineError> {
        let mut planned = Planned { outcomes: Vec::with_capacity(batch.len()), ..Planned::default() };
        let mut events = Vec::new();
        for change in batch {
            let key = Key::from(change.phone.to_key());
            let current = match planned.ops.get(&key) {
                Some(wanted) => version(wanted.as_ref()),
                None => self.current(change.phone)?,
            };
            planned.outcomes.push(if current == Current::Is(change.expected) {
                planned.ops.insert(key, change.next.as_ref().map(|next| IVec::from(next.bytes.as_slice())));
                events.extend(change.events.iter().map(Vec::as_slice));
                Committed::Done
            } else {
                Committed::Conflict
            });
        }
        planned.tells = !events.is_empty();
        self.outbox.provide_ids(self, events.len())?;
        self.outbox.add(self, &mut planned.ops, &events)?;
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
        self.memtable.apply(ops);
        Ok(())
    }

    /// What was written so far is to be folded; what comes from now on is the next fold's.
    fn rotate(&self, wal: &mut Wal) -> Result<(), EngineError> {
        wal.seal()?;
        self.memtable.rotate(wal.last());
        Ok(())
    }

    /// Puts the memtable into the tree and lets the log forget it; answers how many entries there were. One at a time.
    /// It need not be atomic: until the mark behind it is durable the log has all of it, and what a crash leaves half
    /// done is done once more.
    pub(super) fn fold(&self) -> Result<usize, EngineError> {
        if !self.memtable.is_folding() {
            let mut wal = self.writer()?;
            // Once more, with the turn to write: a full log may have made the writer rotate.
            if !self.memtable.is_folding() && !self.memtable.is_empty() {
                self.rotate(&mut wal)?;
            }
        }
        let Some((folding, upto)) = self.memtable.folding() else { return Ok(0) };
        self.tree.write(&folding)?;
        self.tree.set_counter(FOLDED, upto)?;
        self.seen.next_round();
        self.memtable.folded();
        self.writer()?.forget(upto)?;
        Ok(folding.len())
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
        // Twice: one may have been under way.
        while self.fold()? > 0 {}
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

fn version(bytes: Option<&IVec>) -> Current {
    let Some(bytes) = bytes else { return Current::Is(None) };
    Header::peek(bytes).map_or(Current::Unreadable, |header| Current::Is(Some(header.version)))
}

fn snapshot(bytes: &[u8]) -> Option<Snapshot> {
    let version = Header::peek(bytes)?.version;
    Some(Snapshot { version, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::snapshot::SCHEMA;

    fn open(directory: &tempfile::TempDir) -> Engine {
        let settings = SledSettings { cache_mib: 16, log_mib: 1, ..SledSettings::at(directory.path()) };
        Engine::open(&settings).unwrap()
    }

    fn phone(number: u64) -> PhoneNumber {
        PhoneNumber::try_from(989_120_000_000 + number).unwrap()
    }

    fn bytes(version: u64, length: usize) -> Vec<u8> {
        let mut bytes = Header { schema: SCHEMA, version, forget_at: None }.to_bytes().to_vec();
        bytes.resize(length.max(bytes.len()), 7);
        bytes
    }

    fn change(number: u64, from: u64, to: u64) -> Change {
        let version = |version: u64| (version > 0).then_some(version);
        let next = version(to).map(|version| Snapshot { version, bytes: bytes(version, 100) });
        Change { phone: phone(number), expected: version(from), next, events: Vec::new() }
    }

    fn commit(engine: &Engine, batch: &[Change]) {
        let mut wal = engine.writer().unwrap();
        let planned = engine.plan(batch).unwrap();
        assert!(planned.outcomes.iter().all(|outcome| *outcome == Committed::Done));
        engine.write(&mut wal, planned.ops, true).unwrap();
    }

    fn versions(engine: &Engine, limit: usize) -> Vec<(u64, u64)> {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = engine.scan(after, limit).unwrap();
            assert!(page.records.len() <= limit);
            found.extend(page.records.iter().map(|(phone, it)| (phone.as_u64() - 989_120_000_000, it.version)));
            let Some(next) = page.next else { return found };
            after = Some(next);
        }
    }

    #[test]
    fn a_value_without_header_matches_no_version_and_stops_no_scan() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(&directory);
        let stray = |key: &[u8]| (Key::new(key).unwrap(), Some(IVec::from(b"?")));
        engine.tree.write(&Ops::from([stray(&phone(0).to_key()), stray(b"no number")])).unwrap();
        assert!(matches!(engine.load(phone(0)), Err(EngineError::Headless)));
        for expected in [None, Some(0), Some(u64::MAX)] {
            let batch = [Change { phone: phone(0), expected, next: None, events: Vec::new() }];
            let planned = engine.plan(&batch).unwrap();
            assert!(planned.ops.is_empty());
            assert_eq!(planned.outcomes, [Committed::Conflict]);
        }
        assert!(engine.scan(None, 10).unwrap().records.is_empty());
        assert!(engine.scan(None, 1).unwrap().records.is_empty());
    }

    /// Reads are the same whether a number is in the tree, in what is being folded, or in what came since, and a
    /// deletion in an upper layer hides what is below.
    #[test]
    fn tree_and_both_maps_read_as_one() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(&directory);
        commit(&engine, &(0..9).map(|n| change(n, 0, 1)).collect::<Vec<_>>());
        assert_eq!(engine.fold().unwrap(), 9);
        commit(&engine, &[change(1, 1, 2), change(2, 1, 0), change(10, 0, 1), change(11, 0, 1)]);
        engine.rotate(&mut engine.writer().unwrap()).unwrap();
        commit(&engine, &[change(1, 2, 3), change(3, 1, 0), change(2, 0, 5), change(10, 1, 0), change(12, 0, 1)]);
        let expected = [(0, 1), (1, 3), (2, 5), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (11, 1), (12, 1)];
        for limit in 1..12 {
            assert_eq!(versions(&engine, limit), expected, "limit {limit}");
        }
        assert_eq!(engine.load(phone(1)).unwrap().map(|found| found.version), Some(3));
        assert_eq!(engine.load(phone(10)).unwrap(), None);
        assert_eq!(engine.fold().unwrap(), 4, "the rotated map first");
        assert_eq!(versions(&engine, 3), expected);
        assert_eq!(engine.fold().unwrap(), 5);
        assert_eq!(versions(&engine, 3), expected);
        assert_eq!(engine.fold().unwrap(), 0);
    }

    /// Whatever stage a fold had reached when the process ended, what is read afterwards is the same.
    #[test]
    fn what_was_written_is_there_again_wherever_a_fold_stood() {
        let directory = tempfile::tempdir().unwrap();
        let expected = [(0, 3), (2, 1), (3, 1)];
        for stage in 0..5 {
            let engine = open(&directory);
            let before = versions(&engine, 10);
            let reset: Vec<_> = before.iter().map(|(n, version)| change(*n, *version, 0)).collect();
            commit(&engine, &reset);
            commit(&engine, &[change(0, 0, 1), change(1, 0, 1)]);
            commit(&engine, &[change(0, 1, 2), change(2, 0, 1)]);
            if stage > 0 {
                engine.rotate(&mut engine.writer().unwrap()).unwrap();
            }
            commit(&engine, &[change(0, 2, 3), change(1, 1, 0), change(3, 0, 1)]);
            let (folding, upto) = engine.memtable.folding().unwrap_or_default();
            if stage > 1 {
                engine.tree.write(&folding).unwrap();
            }
            if stage > 2 {
                engine.tree.set_counter(FOLDED, upto).unwrap();
            }
            if stage > 3 {
                engine.memtable.folded();
                engine.writer().unwrap().forget(upto).unwrap();
            }
            engine.tree.close_abruptly();
            let engine = open(&directory);
            assert_eq!(versions(&engine, 10), expected, "stage {stage}");
            engine.close().unwrap();
        }
    }

    /// A log without room is a refusal before anything is touched, and over with the fold.
    #[test]
    fn a_full_log_refuses_until_it_is_folded() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(&directory);
        let fill = |number: u64| -> Result<(), EngineError> {
            let mut wal = engine.writer()?;
            engine.make_room(&mut wal, 1, 100_000)?;
            let next = Some(Snapshot { version: 1, bytes: bytes(1, 100_000) });
            let planned = engine.plan(&[Change { phone: phone(number), expected: None, next, events: Vec::new() }])?;
            engine.write(&mut wal, planned.ops, true)
        };
        // Two segments of 1 MiB: the second begins by itself.
        let written = (0..).take_while(|number| fill(*number).is_ok()).count() as u64;
        assert_eq!(written, 20);
        assert!(matches!(fill(written), Err(EngineError::Behind)));
        assert_eq!(engine.fold().unwrap(), 10);
        fill(written).unwrap();
        engine.fold().unwrap();
        assert_eq!(versions(&engine, 100).len(), 21);
        engine.tree.close_abruptly();
        assert_eq!(versions(&open(&directory), 100).len(), 21);
    }
}
