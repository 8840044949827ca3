//! sled 0.34.7 as it is: what it promises, and what has to be done beside it.
//!
//! Owns: sled's directory, its tree of snapshots (key: the number, big-endian; value: header and body), and the
//! syncs that sled leaves out. Never decides who may write, and never puts a path into an error.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsString,
    fs::{self, DirBuilder, File, Permissions},
    io,
    ops::{Bound, Range},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock, statvfs};

use super::outbox::{BEHIND_NUMBERS, SledOutbox};
use crate::{
    record::{PhoneNumber, snapshot::Header},
    store::{Change, Committed, Entry, Page, Shelf, Snapshot, Verdict},
};

/// Why the store could not be opened. Without paths: the caller knows which one it named.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// sled holds a lock on its file for as long as it is open.
    #[error("the store is already in use by another process")]
    InUse,
    /// The directory can't be made, closed to others or read.
    #[error("the store's directory cannot be used: {0}")]
    Directory(io::ErrorKind),
    /// sled can't read what is there.
    #[error("the store cannot be opened: {0}")]
    Engine(String),
}

/// Key of the counter: how many user ids were ever leased, as a big-endian u64.
const USER_IDS_LEASED: &[u8] = b"user_ids_leased";

/// A read or write that failed, in words that are fit for the log: no path, no key, no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("sled: {0}")]
    Sled(String),
    #[error("{0}: {1}")]
    Io(&'static str, io::ErrorKind),
    #[error("a snapshot without a header")]
    Headless,
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

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> EngineError {
    move |error| EngineError::Io(doing, error.kind())
}

/// The last wanted state of each number of a batch, in key order: sled takes a sorted batch with 0.85 of the CPU.
pub(super) type Writes<'a> = BTreeMap<PhoneNumber, Write<'a>>;

/// What is wanted of a number, and what its changes have to tell.
#[derive(Debug, Default)]
pub(super) struct Write<'a> {
    pub(super) next: Option<&'a Snapshot>,
    pub(super) events: Vec<&'a [u8]>,
}

/// An open sled with one tree.
pub(super) struct Engine {
    // `tree` before `db`: fields drop in this order, and the last one to go releases the lock.
    tree: sled::Tree,
    /// What is of no number: the counter of user ids.
    common: sled::Tree,
    db: sled::Db,
    pub(super) outbox: SledOutbox,
    path: PathBuf,
    /// sled's own file once more, to sync it.
    file: File,
    /// Names of the blob files that are on disk for certain.
    synced_blobs: Mutex<HashSet<OsString>>,
}

/// What is stored for a number, as far as compare-and-set goes.
#[derive(PartialEq, Eq)]
enum Current {
    Is(Option<u64>),
    /// Bytes without a header: no version matches them.
    Unreadable,
}

impl Engine {
    pub(super) fn open(path: &Path, cache_mib: u64) -> Result<Self, OpenError> {
        let directory = |error: io::Error| OpenError::Directory(error.kind());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(directory)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(directory)?;
        // No flush by timer: the committer flushes before it answers, and a second one would only compete.
        // No compression: records are small and the log would gain nothing but CPU.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_mib.max(1) << 20)
            .flush_every_ms(None)
            .use_compression(false);
        let db = config.open().map_err(open_error)?;
        let tree = db.open_tree("snapshots").map_err(open_error)?;
        let common = db.open_tree("common").map_err(open_error)?;
        let file = File::open(path.join("db")).map_err(directory)?;
        let outbox = SledOutbox::open(&tree).map_err(|error| OpenError::Engine(error.to_string()))?;
        let path_of = path.to_owned();
        let engine = Self { tree, common, db, outbox, path: path_of, file, synced_blobs: Mutex::default() };
        engine.make_durable().map_err(|error| OpenError::Engine(error.to_string()))?;
        // sled syncs neither its settings nor the names of its files: a power loss could leave a log
        // without the directory entry it is found by.
        for name in
            [path.join("conf"), path.join("blobs"), path.to_owned()].iter().map(PathBuf::as_path).chain(path.parent())
        {
            // A relative path of one part has the parent "".
            let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
            File::open(name).and_then(|entry| entry.sync_all()).map_err(directory)?;
        }
        Ok(engine)
    }

    /// MiB that an ordinary user may still write to the file system.
    pub(super) fn free_mib(&self) -> io::Result<u64> {
        let disk = statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >> 20)
    }

    pub(super) fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, EngineError> {
        let Some(bytes) = self.tree.get(phone.to_key())? else { return Ok(None) };
        snapshot(&bytes).map(Some).ok_or(EngineError::Headless)
    }

    pub(super) fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, EngineError> {
        let from = after.map_or(Bound::Unbounded, |phone| Bound::Excluded(phone.to_key()));
        let mut page = Page::default();
        let entries = (from.map(|key| key.to_vec()), Bound::Excluded(vec![BEHIND_NUMBERS]));
        for entry in self.tree.range(entries) {
            let (key, value) = entry?;
            if page.records.len() >= limit.max(1) {
                page.next = page.records.last().map(|(phone, _)| *phone);
                break;
            }
            match PhoneNumber::from_key(&key).zip(snapshot(&value)) {
                Some(record) => page.records.push(record),
                // One bad entry must not end every sweep before the numbers behind it.
                None => tracing::warn!("an entry of the store is no snapshot of a number, skipped"),
            }
        }
        Ok(page)
    }

    /// Checks each change against what is stored and what the changes before it in the batch leave behind.
    pub(super) fn plan<'a>(&self, batch: &'a [Change]) -> Result<(Writes<'a>, Vec<Committed>), EngineError> {
        let mut writes = Writes::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for change in batch {
            let current = match writes.get(&change.phone) {
                Some(write) => Current::Is(write.next.map(|next| next.version)),
                None => self.current(change.phone)?,
            };
            outcomes.push(if current == Current::Is(change.expected) {
                let write = writes.entry(change.phone).or_default();
                write.next = change.next.as_ref();
                write.events.extend(change.events.iter().map(Vec::as_slice));
                Committed::Done
            } else {
                Committed::Conflict
            });
        }
        Ok((writes, outcomes))
    }

    fn current(&self, phone: PhoneNumber) -> Result<Current, EngineError> {
        let Some(bytes) = self.tree.get(phone.to_key())? else { return Ok(Current::Is(None)) };
        Ok(Header::peek(&bytes).map_or(Current::Unreadable, |header| Current::Is(Some(header.version))))
    }

    /// Writes one by one and not with `apply_batch`, which holds a process-wide lock: every load would wait
    /// on a runtime thread for a whole batch (4 ms at 512). Nobody needs a batch to be atomic: before the flush
    /// none of it is promised, and each change is of one key. But a change and what it has to tell are of several, and
    /// whichever came first, a crash could leave one without the other: those few keys are one batch of sled's.
    pub(super) fn apply(&self, writes: &Writes<'_>) -> Result<(), EngineError> {
        self.outbox.provide_ids(self, writes.values().map(|write| write.events.len()).sum())?;
        for (phone, Write { next, events }) in writes {
            if !events.is_empty() {
                let mut batch = sled::Batch::default();
                match next {
                    Some(next) => batch.insert(&phone.to_key(), next.bytes.as_slice()),
                    None => batch.remove(&phone.to_key()),
                }
                self.outbox.add(&self.tree, &mut batch, events.iter().copied())?;
                self.tree.apply_batch(batch)?;
                continue;
            }
            match next {
                Some(next) => self.tree.insert(phone.to_key(), next.bytes.as_slice())?,
                None => self.tree.remove(phone.to_key())?,
            };
        }
        Ok(())
    }

    /// Puts events of no number into the outbox.
    pub(super) fn note(&self, events: &[Vec<u8>]) -> Result<(), EngineError> {
        self.outbox.provide_ids(self, events.len())?;
        let mut batch = sled::Batch::default();
        self.outbox.add(&self.tree, &mut batch, events.iter().map(Vec::as_slice))?;
        Ok(self.tree.apply_batch(batch)?)
    }

    pub(super) fn entries(&self, shelf: Shelf, after: u64, limit: usize) -> Result<Vec<Entry>, EngineError> {
        self.outbox.entries(&self.tree, shelf, after, limit)
    }

    pub(super) fn settle(&self, verdicts: &[(u64, Verdict)]) -> Result<(usize, bool), EngineError> {
        self.outbox.settle(&self.tree, verdicts)
    }

    /// Moves the durable counter of user ids on by `count`.
    pub(super) fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, EngineError> {
        self.lease(USER_IDS_LEASED, count)
    }

    /// Moves a durable counter on by `count`.
    pub(super) fn lease(&self, counter: &[u8], count: u64) -> Result<Range<u64>, EngineError> {
        let read = |bytes: sled::IVec| bytes.as_ref().try_into().map(u64::from_be_bytes);
        let leased = self.common.get(counter)?.map(read).transpose();
        let leased = leased.map_err(|_| EngineError::Sled("a counter of ids is damaged".to_owned()))?;
        let leased = leased.unwrap_or(0);
        self.common.insert(counter, &(leased + count).to_be_bytes())?;
        self.make_durable()?;
        Ok(leased + 1..leased + 1 + count)
    }

    /// `flush()` writes sled's buffers and waits for `sync_file_range`, which reaches neither the file's size nor
    /// the disk's own cache: it survives `kill -9`, not power loss. So the file is synced after it.
    pub(super) fn make_durable(&self) -> Result<(), EngineError> {
        self.db.flush()?;
        self.sync_blobs()?;
        self.file.sync_data().map_err(io_error("sync of the store's file"))
    }

    /// sled moves what exceeds ~128 KiB into files of its own and never syncs them. A record is far smaller, but
    /// sled also writes whole leaves (up to some 26 records): 26 large neighbours are enough.
    /// Mostly the directory is empty: a few µs.
    fn sync_blobs(&self) -> Result<(), EngineError> {
        let error = io_error("sync of a blob");
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = self.path.join("blobs");
        let (mut present, mut fresh) = (HashSet::new(), false);
        for entry in fs::read_dir(&directory).map_err(&error)? {
            let entry = entry.map_err(&error)?;
            let name = entry.file_name();
            if !synced.contains(&name) {
                match File::open(entry.path()).and_then(|blob| blob.sync_all()) {
                    Ok(()) => fresh = true,
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue, // collected meanwhile
                    Err(other) => return Err(error(other)),
                }
            }
            present.insert(name);
        }
        if fresh {
            File::open(&directory).and_then(|directory| directory.sync_all()).map_err(&error)?;
        }
        *synced = present;
        Ok(())
    }

    /// Every sync fails from now on: `/dev/null` knows none.
    #[cfg(test)]
    pub(super) fn break_sync(&mut self) {
        self.file = File::open("/dev/null").unwrap();
    }

    /// Last flush; returns when the lock is free, so that the next open in this or another process succeeds.
    pub(super) fn close(self) -> Result<(), EngineError> {
        self.make_durable()?;
        let Self { tree, common, db, path, .. } = self;
        drop((tree, common));
        drop(db);
        await_unlock(&path.join("db")).map_err(io_error("release of the store's lock"))
    }
}

/// sled's helper threads may hold its file for a moment longer than its owner.
const UNLOCK_WAIT_MAX: Duration = Duration::from_secs(5);

fn await_unlock(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let started = Instant::now();
    while let Err(held) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if started.elapsed() > UNLOCK_WAIT_MAX {
            return Err(held.into());
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    Ok(()) // closing the file releases it again
}

fn snapshot(bytes: &[u8]) -> Option<Snapshot> {
    let version = Header::peek(bytes)?.version;
    Some(Snapshot { version, bytes: bytes.to_vec() })
}

fn open_error(error: sled::Error) -> OpenError {
    // sled has no kind of its own for a lock that is held; tests/store_contract.rs holds this text in place.
    if matches!(&error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock")) {
        return OpenError::InUse;
    }
    OpenError::Engine(EngineError::from(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::snapshot::SCHEMA;

    /// security 11: large neighbours end up in blob files, and those are synced, too.
    #[test]
    fn leaves_of_large_records_go_to_blobs_that_are_synced() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path(), 16).unwrap();
        let mut bytes = Header { schema: SCHEMA, version: 1, forget_at: None }.to_bytes().to_vec();
        bytes.resize(16 << 10, 7);
        let large = Snapshot { version: 1, bytes };
        for number in 0..64_u64 {
            let phone = PhoneNumber::try_from(989_120_000_000 + number).unwrap();
            let write = Write { next: Some(&large), events: Vec::new() };
            engine.apply(&Writes::from([(phone, write)])).unwrap();
            engine.make_durable().unwrap();
        }
        let present: HashSet<_> =
            fs::read_dir(directory.path().join("blobs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!present.is_empty(), "sled keeps such leaves elsewhere: this guard has become idle");
        // Not equal: sled removes old ones behind our back.
        assert!(present.is_subset(&engine.synced_blobs.lock().unwrap()));
    }

    #[test]
    fn a_value_without_header_matches_no_version_and_stops_no_scan() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path(), 16).unwrap();
        let phone = PhoneNumber::try_from(989_120_000_000).unwrap();
        engine.tree.insert(phone.to_key(), b"?").unwrap();
        engine.tree.insert(b"no number", b"?").unwrap();
        assert!(matches!(engine.load(phone), Err(EngineError::Headless)));
        for expected in [None, Some(0), Some(u64::MAX)] {
            let batch = [Change { phone, expected, next: None, events: Vec::new() }];
            let (writes, outcomes) = engine.plan(&batch).unwrap();
            assert!(writes.is_empty());
            assert_eq!(outcomes, [Committed::Conflict]);
        }
        assert!(engine.scan(None, 10).unwrap().records.is_empty());
    }
}
