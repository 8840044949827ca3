//! sled 0.34.7 as it is: what it promises, and what has to be done beside it.
//!
//! Owns: sled's directory, the names of its trees (the outbox, counters, one tree for each part of a run), and the syncs
//! that sled leaves out. Never puts a path into an error.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, DirBuilder, File, Permissions},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock, statvfs};
use sled::IVec;

use super::{
    engine::{EngineError, Entries},
    key::Key,
    memtable::KeyRange,
    outbox::BEHIND_NUMBERS,
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

/// The outbox's entries.
const OUTBOX: &str = "outbox";
/// Counters, and the list of runs.
const COMMON: &str = "common";
/// What the name of a part's tree begins with; its id follows.
const PART: &[u8] = b"part-";
/// Numbers and events one by one, as they were kept before there were runs.
const ONE_BY_ONE: &str = "snapshots";
/// The list of runs.
const RUNS: &[u8] = b"runs";

/// An open sled.
pub(super) struct Tree {
    // The trees before `db`: fields drop in this order, and the last one to go releases the lock.
    outbox: sled::Tree,
    counters: sled::Tree,
    db: sled::Db,
    path: PathBuf,
    /// sled's own file once more, to sync it.
    file: File,
    /// Names of the blob files that are on disk for certain.
    synced_blobs: Mutex<HashSet<OsString>>,
}

impl Tree {
    /// Opens or makes it; the directory is closed to others (mode 0700).
    pub(super) fn open(path: &Path, cache_mib: u64) -> Result<Self, OpenError> {
        let directory = |error: io::Error| OpenError::Directory(error.kind());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(directory)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(directory)?;
        // No flush by timer: what is acknowledged stands in the log, and a fold flushes for itself.
        // No compression: records are small and sled's log would gain nothing but CPU.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_mib.max(1) << 20)
            .flush_every_ms(None)
            .use_compression(false);
        let db = config.open().map_err(open_error)?;
        let outbox = db.open_tree(OUTBOX).map_err(open_error)?;
        let counters = db.open_tree(COMMON).map_err(open_error)?;
        let file = File::open(path.join("db")).map_err(directory)?;
        let tree = Self { outbox, counters, db, path: path.to_owned(), file, synced_blobs: Mutex::default() };
        tree.make_durable().map_err(|error| OpenError::Engine(error.to_string()))?;
        // sled syncs neither its settings nor the names of its files: a power loss could leave a log
        // without the directory entry it is found by.
        for name in
            [path.join("conf"), path.join("blobs"), path.to_owned()].iter().map(PathBuf::as_path).chain(path.parent())
        {
            // A relative path of one part has the parent "".
            let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
            File::open(name).and_then(|entry| entry.sync_all()).map_err(directory)?;
        }
        Ok(tree)
    }

    /// MiB that an ordinary user may still write to the file system.
    pub(super) fn free_mib(&self) -> io::Result<u64> {
        let disk = statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >> 20)
    }

    /// What stands under a key of the outbox.
    pub(super) fn get(&self, key: &Key) -> Result<Option<IVec>, EngineError> {
        Ok(self.outbox.get(key)?)
    }

    /// The first `limit` entries of a range of the outbox.
    pub(super) fn range(&self, range: KeyRange, limit: usize) -> Result<Entries, EngineError> {
        let entries = self.outbox.range(range).take(limit);
        // A key that is none of ours is passed over.
        let ours = |entry: Result<(IVec, IVec), _>| entry.map(|(key, value)| Key::new(&key).map(|key| (key, value)));
        Ok(entries.filter_map(|entry| ours(entry).transpose()).collect::<Result<_, _>>()?)
    }

    /// Writes or deletes an entry of the outbox. One by one and not with `apply_batch`, which holds a process-wide lock:
    /// every load would wait on a runtime thread for the whole of it.
    pub(super) fn write(&self, key: &Key, value: Option<&IVec>) -> Result<(), EngineError> {
        match value {
            Some(value) => self.outbox.insert(key, value)?,
            None => self.outbox.remove(key)?,
        };
        Ok(())
    }

    /// The chunks of a part; none, if it is new.
    pub(super) fn part(&self, id: u64) -> Result<sled::Tree, EngineError> {
        Ok(self.db.open_tree(part_name(id))?)
    }

    /// The parts that there are.
    pub(super) fn part_ids(&self) -> Vec<u64> {
        let id = |name: IVec| Some(u64::from_be_bytes(name.strip_prefix(PART)?.try_into().ok()?));
        self.db.tree_names().into_iter().filter_map(id).collect()
    }

    /// Frees a part that nobody reads any more.
    pub(super) fn drop_part(&self, id: u64) -> Result<(), EngineError> {
        self.db.drop_tree(part_name(id))?;
        Ok(())
    }

    /// The list of runs as it was set last.
    pub(super) fn list_of_runs(&self) -> Result<Option<IVec>, EngineError> {
        Ok(self.counters.get(RUNS)?)
    }

    /// Sets the list of runs, and makes it and all that was written before it durable.
    pub(super) fn set_list_of_runs(&self, list: &[u8]) -> Result<(), EngineError> {
        self.counters.insert(RUNS, list)?;
        self.make_durable()
    }

    /// Numbers that stand one by one, as before there were runs; `None`: there are none. Events that stand behind them
    /// go into the outbox.
    pub(super) fn begin_adoption(&self) -> Result<Option<sled::Iter>, EngineError> {
        if !self.db.tree_names().iter().any(|name| name == ONE_BY_ONE.as_bytes()) {
            return Ok(None);
        }
        let one_by_one = self.db.open_tree(ONE_BY_ONE)?;
        for event in one_by_one.range([BEHIND_NUMBERS]..) {
            let (key, value) = event?;
            self.outbox.insert(key, value)?;
        }
        Ok(Some(one_by_one.range(..[BEHIND_NUMBERS])))
    }

    /// What [`Self::begin_adoption`] found stands elsewhere now, and durably.
    pub(super) fn end_adoption(&self) -> Result<(), EngineError> {
        self.db.drop_tree(ONE_BY_ONE)?;
        self.make_durable()
    }

    /// A counter; 0 if it was never set.
    pub(super) fn counter(&self, name: &[u8]) -> Result<u64, EngineError> {
        let read = |bytes: IVec| bytes.as_ref().try_into().map(u64::from_be_bytes);
        let value = self.counters.get(name)?.map(read).transpose();
        Ok(value.map_err(|_| EngineError::Sled("a counter is damaged".to_owned()))?.unwrap_or(0))
    }

    /// Sets a counter, and makes it and all that was written before it durable.
    pub(super) fn set_counter(&self, name: &[u8], value: u64) -> Result<(), EngineError> {
        self.counters.insert(name, &value.to_be_bytes())?;
        self.make_durable()
    }

    /// Moves a durable counter on by `count`.
    pub(super) fn lease(&self, counter: &[u8], count: u64) -> Result<Range<u64>, EngineError> {
        let leased = self.counter(counter)?;
        self.set_counter(counter, leased + count)?;
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

    /// As a kill leaves it: what sled has written stands, what it holds back is lost with the process.
    #[cfg(test)]
    pub(super) fn close_abruptly(self) {
        let path = self.path.clone();
        drop(self);
        await_unlock(&path.join("db")).unwrap();
    }

    /// Lets sled go; returns when the lock is free, so that the next open in this or another process succeeds.
    pub(super) fn close(self) -> Result<(), EngineError> {
        self.make_durable()?;
        let Self { outbox, counters, db, path, .. } = self;
        drop((outbox, counters));
        drop(db);
        await_unlock(&path.join("db")).map_err(io_error("release of the store's lock"))
    }
}

/// sled's helper threads may hold its file for a moment longer than its owner.
const UNLOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// Waits until sled's file is nobody's.
pub(super) fn await_unlock(path: &Path) -> io::Result<()> {
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

fn part_name(id: u64) -> Vec<u8> {
    [PART, &id.to_be_bytes()].concat()
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> EngineError {
    move |error| EngineError::Io(doing, error.kind())
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

    /// security 11: large neighbours end up in blob files, and those are synced, too.
    #[test]
    fn leaves_of_large_records_go_to_blobs_that_are_synced() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path(), 16).unwrap();
        for number in 0..64_u64 {
            tree.write(&Key::from(number.to_be_bytes()), Some(&IVec::from(vec![7; 16 << 10]))).unwrap();
            tree.make_durable().unwrap();
        }
        let present: HashSet<_> =
            fs::read_dir(directory.path().join("blobs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!present.is_empty(), "sled keeps such leaves elsewhere: this guard has become idle");
        // Not equal: sled removes old ones behind our back.
        assert!(present.is_subset(&tree.synced_blobs.lock().unwrap()));
    }

    #[test]
    fn leases_follow_each_other_across_openings() {
        let directory = tempfile::tempdir().unwrap();
        for opening in 0..3 {
            let tree = Tree::open(directory.path(), 16).unwrap();
            assert_eq!(tree.lease(b"ids", 10).unwrap(), opening * 10 + 1..opening * 10 + 11);
            tree.close().unwrap();
        }
    }
}
