//! The embedded store: one directory, one process, sled below.
//!
//! Owns: the order of check, write and answer; the free-space guard; fail-stop. How entries are kept is `engine`'s
//! business, what is done behind the traffic `housekeeping`'s. Never answers a change before it is durable (in the sense of
//! [`Durability`]), and never shows one by `load` either.

mod beat;
mod chunk;
mod engine;
mod filter;
mod housekeeping;
mod key;
mod memtable;
mod merge;
mod outbox;
mod run;
mod runs;
mod tree;
mod wal;
mod walk;

use std::{
    fmt,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use metrics::{Histogram, histogram};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use tree::OpenError;

use engine::{Engine, EngineError, Planned};
use housekeeping::Threads;

use super::{Change, Committed, Outbox, Page, Snapshot, SnapshotStore, StoreFault};
use crate::record::PhoneNumber;

/// What an acknowledged change survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `kill -9` and power loss: each batch is synced before it is answered.
    Fsync,
    /// Power loss may take what was acknowledged in the last [`BUFFERED_FLUSH_EVERY`].
    Buffered,
}

/// How often [`Durability::Buffered`] writes to disk.
pub const BUFFERED_FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Where the embedded store lives and what it may use.
#[derive(Debug, Clone)]
pub struct SledSettings {
    /// sled's own directory; made if missing, and closed to others (mode 0700).
    pub path: PathBuf,
    /// What an acknowledged change survives.
    pub durability: Durability,
    /// MiB of pages kept in memory. Default 256; sled's own default is 1,024. Sled counts a leaf as the next power of two,
    /// and finds out late what is beyond: when a 256th part of its pages was asked for 64 times. So leave some 70 MiB more.
    pub cache_mib: u64,
    /// Below so many MiB of free disk, changes are refused. Default 256: what sled writes while it moves
    /// its 512 KiB segments about, with room for an operator to act. 0 switches the guard off.
    pub free_mib_min: u64,
    /// MiB of bits that tell which numbers there are, so that a new one is not looked for. Default 16: 10 million numbers;
    /// with many more of them some are looked for in vain. 0: every one is looked for.
    pub filter_mib: u64,
    /// MiB of changes that may wait in one segment of the log, and about as much in memory; there are two at most. Above
    /// half of it they are folded at once; when there is no room changes are refused. Default 256: half a minute
    /// of 30,000 changes each.
    pub log_mib: u64,
    /// How often the changes are folded into sled. Default 10 s: a sign-in's changes of one number are one write then,
    /// and a restart has little to replay.
    pub fold_every: Duration,
    /// Runs of numbers that there may be; with so many, folds wait until some are merged. Default 64: more than there are of
    /// a thousand million numbers while merges keep up. From half of it on they take no rests.
    pub runs_max: usize,
}

impl SledSettings {
    /// Defaults, for sled's directory at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Fsync,
            cache_mib: 256,
            free_mib_min: 256,
            filter_mib: 16,
            log_mib: 256,
            fold_every: Duration::from_secs(10),
            runs_max: 64,
        }
    }
}

/// The embedded store.
pub struct SledStore {
    shared: Arc<Shared>,
    durability: Durability,
    /// `None` once closed.
    threads: Mutex<Option<Threads>>,
}

/// What the threads and scans hold, too.
struct Shared {
    /// `None` once closed. A lock, because to let go of sled's file all uses of it have to be over.
    engine: RwLock<Option<Engine>>,
    fault: OnceLock<StoreFault>,
    failed: CancellationToken,
    /// Somebody waits for the fold: it takes no rests.
    in_haste: AtomicBool,
    free_mib_min: AtomicU64,
    /// The store is being closed: no merge is gone on with.
    is_closing: AtomicBool,
    /// Events were put into the outbox.
    added: Arc<Notify>,
    fold_seconds: Histogram,
    merge_seconds: Histogram,
}

impl SledStore {
    /// Opens or makes the store. Blocks: 0.3 s with ten million records after a crash, and once 3 s per
    /// million if it is from before there were runs.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has it open.
    pub fn open(settings: &SledSettings) -> Result<Self, OpenError> {
        let engine = Engine::open(settings)?;
        let shared = Arc::new(Shared {
            added: engine.outbox.added(),
            engine: RwLock::new(Some(engine)),
            fault: OnceLock::new(),
            failed: CancellationToken::new(),
            in_haste: AtomicBool::new(false),
            free_mib_min: AtomicU64::new(settings.free_mib_min),
            is_closing: AtomicBool::new(false),
            fold_seconds: histogram!("otpd_store_fold_seconds"),
            merge_seconds: histogram!("otpd_store_merge_seconds"),
        });
        let threads =
            shared.threads(settings).map_err(|error| OpenError::Engine(format!("no thread: {}", error.kind())))?;
        Ok(Self { shared, durability: settings.durability, threads: Mutex::new(Some(threads)) })
    }

    /// Changes the limit of [`SledSettings::free_mib_min`] while running.
    pub fn set_free_mib_min(&self, mib: u64) {
        self.shared.free_mib_min.store(mib, Ordering::Relaxed);
    }

    fn is_fsync(&self) -> bool {
        self.durability == Durability::Fsync
    }

    fn fold_soon(&self, in_haste: bool) {
        self.shared.in_haste.fetch_or(in_haste, Ordering::Relaxed);
        if let Some(threads) = &*self.threads.lock().unwrap_or_else(PoisonError::into_inner) {
            threads.fold();
        }
    }

    fn commit_now(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        let engine = self.shared.engine()?;
        let engine = engine.as_ref().ok_or(CLOSED)?;
        let mut wal = engine.writer().map_err(|error| self.shared.fail(&error))?;
        self.shared.room(engine).map_err(StoreFault::Refused)?;
        let (entries, bytes) = weight(batch);
        self.shared.writable(engine.make_room(&mut wal, entries, bytes)).inspect_err(|_| self.fold_soon(true))?;
        // A read that fails has changed nothing, and one bad page must not end the process for all numbers.
        let Planned { mut ops, outcomes, events } = engine.plan(batch).map_err(|error| {
            tracing::error!(%error, "cannot read a version");
            StoreFault::Refused("stored version unreadable")
        })?;
        self.shared.writable(engine.outbox.add(engine, &mut ops, &events))?;
        self.shared.writable(engine.write(&mut wal, ops, self.is_fsync()))?;
        let half_full = wal.is_half_full();
        drop(wal);
        if !events.is_empty() {
            engine.outbox.ring();
        }
        if half_full {
            self.fold_soon(engine.is_folding());
        }
        Ok(outcomes)
    }
}

/// Entries and bytes that a batch may come to.
fn weight(batch: &[Change]) -> (usize, usize) {
    let of = |change: &Change| {
        // Each event may bury a dead letter, which is one more entry.
        let events: usize = change.events.iter().map(|event| event.len() + EVENT_HEADER).sum();
        (1 + 2 * change.events.len(), change.next.as_ref().map_or(0, |next| next.bytes.len()) + events)
    };
    batch.iter().map(of).fold((0, 0), |(entries, bytes), (more, longer)| (entries + more, bytes + longer))
}

const CLOSED: StoreFault = StoreFault::Refused("store closed");

/// What is written of an event beside it: tries and when it is due.
const EVENT_HEADER: usize = 9;

impl Shared {
    fn engine(&self) -> Result<RwLockReadGuard<'_, Option<Engine>>, StoreFault> {
        if self.failed.is_cancelled() {
            return Err(StoreFault::Refused("store failed"));
        }
        Ok(self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asked before anything is touched: a write that meets a full disk is fatal, a refusal is not.
    fn room(&self, engine: &Engine) -> Result<(), &'static str> {
        let wanted_mib = self.free_mib_min.load(Ordering::Relaxed);
        if wanted_mib == 0 {
            return Ok(());
        }
        match engine.free_mib() {
            Ok(free) if free >= wanted_mib => Ok(()),
            Ok(_) => Err("disk nearly full"),
            Err(_) => Err("free disk space unknown"),
        }
    }

    /// Fail-stop: after a failed write neither sled's pages nor the page cache can be trusted, so nothing
    /// is answered any more, not even a load.
    fn fail(&self, error: &(impl fmt::Display + ?Sized)) -> StoreFault {
        let fault = self.fault.get_or_init(|| StoreFault::Unknown(error.to_string())).clone();
        self.failed.cancel();
        fault
    }

    /// A write that was refused before it began, or one after which nothing is certain.
    fn writable<T>(&self, written: Result<T, EngineError>) -> Result<T, StoreFault> {
        written.map_err(|error| {
            if matches!(error, EngineError::Behind) {
                return StoreFault::Refused("the fold is behind");
            }
            self.fail(&error)
        })
    }

    fn with_engine<T>(&self, act: impl FnOnce(&Engine) -> Result<T, EngineError>) -> Option<T> {
        let engine = self.engine().ok()?;
        let done = act(engine.as_ref()?);
        done.map_err(|error| self.fail(&error)).ok()
    }

    /// Last fold, then all files and sled's lock are let go. The second time there is nothing to do.
    fn close(&self) -> Result<(), StoreFault> {
        let Some(engine) = self.engine.write().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        if self.failed.is_cancelled() {
            return Err(StoreFault::Refused("store failed"));
        }
        engine.close().map_err(|error| self.fail(&error))
    }
}

#[async_trait]
impl SnapshotStore for SledStore {
    /// Read inline: 6 to 14 µs cold, less than a hop to another thread costs. Of a batch that is not durable yet nothing
    /// is seen: who decides on what was before meets a conflict.
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        let engine = self.shared.engine()?;
        engine.as_ref().ok_or(CLOSED)?.load(phone).map_err(|error| StoreFault::Unknown(error.to_string()))
    }

    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        self.commit_now(batch)
    }

    /// On a blocking thread: a cold page of some hundred records takes milliseconds.
    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        let shared = Arc::clone(&self.shared);
        let scan = move || {
            let engine = shared.engine()?;
            let engine = engine.as_ref().ok_or(CLOSED)?;
            engine.scan(after, limit).map_err(|error| StoreFault::Unknown(error.to_string()))
        };
        tokio::task::spawn_blocking(scan).await.unwrap_or_else(|_| Err(StoreFault::Unknown("scan died".to_owned())))
    }

    async fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, StoreFault> {
        let engine = self.shared.engine()?;
        let engine = engine.as_ref().ok_or(CLOSED)?;
        let _turn = engine.writer().map_err(|error| self.shared.fail(&error))?;
        self.shared.room(engine).map_err(StoreFault::Refused)?;
        // Durable before it is used, whatever the durability of records is: an id must never be given out twice.
        engine.lease_user_ids(count).map_err(|error| self.shared.fail(&error))
    }

    fn shared(&self) -> bool {
        false
    }

    fn refusing(&self) -> Option<&'static str> {
        match self.shared.engine() {
            Ok(engine) => engine.as_ref().map_or(Some("store closed"), |engine| self.shared.room(engine).err()),
            Err(_) => Some("store failed"),
        }
    }

    async fn failure(&self) -> StoreFault {
        self.shared.failed.cancelled().await;
        self.shared.fail("store failed")
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }

    async fn close(&self) -> Result<(), StoreFault> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.in_haste.store(true, Ordering::Relaxed);
        self.shared.is_closing.store(true, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let close = move || {
            drop(threads); // joins them
            shared.close()
        };
        tokio::task::spawn_blocking(close).await.unwrap_or_else(|_| Err(self.shared.fail("close panicked")))
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("durability", &self.durability)
            .field("free_mib_min", &self.shared.free_mib_min)
            .field("fault", &self.shared.fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        record::snapshot::{Header, SCHEMA},
        store::committer::{Committer, CommitterSettings},
    };

    fn create(number: u64) -> Change {
        let bytes = Header { schema: SCHEMA, version: 1, forget_at: None }.to_bytes().to_vec();
        Change {
            phone: number.try_into().unwrap(),
            expected: None,
            next: Some(Snapshot { version: 1, bytes }),
            events: Vec::new(),
        }
    }

    /// A store whose disk fails from now on.
    fn broken(durability: Durability) -> (Arc<SledStore>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let settings = SledSettings { durability, cache_mib: 16, ..SledSettings::at(directory.path()) };
        let store = SledStore::open(&settings).unwrap();
        store.shared.engine.read().unwrap().as_ref().unwrap().break_sync();
        (Arc::new(store), directory)
    }

    /// security 11: after a failed sync nothing is answered as done, and no load tells what may be lost.
    #[tokio::test]
    async fn a_failed_sync_stops_the_store() {
        let (store, _directory) = broken(Durability::Fsync);
        let first = create(989_120_000_001);
        assert!(matches!(store.commit(std::slice::from_ref(&first)).await, Err(StoreFault::Unknown(_))));
        assert!(matches!(store.failure().await, StoreFault::Unknown(text) if text.contains("sync")));
        assert!(matches!(store.load(first.phone).await, Err(StoreFault::Refused(_))));
        assert!(matches!(store.commit(&[create(989_120_000_002)]).await, Err(StoreFault::Refused(_))));
        assert!(store.scan(None, 1).await.is_err());
        assert_eq!(store.refusing(), Some("store failed"));
        assert!(store.close().await.is_err());
    }

    /// With as many runs as there may be nothing is folded, so the log fills up and refuses; nothing of it is lost.
    #[tokio::test]
    async fn too_many_runs_stop_the_fold_and_then_the_changes() {
        let directory = tempfile::tempdir().unwrap();
        let fold_every = Duration::from_millis(1);
        let settings =
            SledSettings { cache_mib: 16, log_mib: 1, free_mib_min: 0, ..SledSettings::at(directory.path()) };
        let store = SledStore::open(&SledSettings { runs_max: 1, fold_every, ..settings.clone() }).unwrap();
        let runs = |store: &SledStore| store.shared.engine().unwrap().as_ref().unwrap().runs().len();
        store.commit(&[create(989_120_000_000)]).await.unwrap();
        while runs(&store) == 0 {
            tokio::task::yield_now().await; // the folder's thread is at it
        }
        let mut taken = 0;
        let refused = loop {
            let mut change = create(989_120_000_001 + taken);
            if let Some(next) = &mut change.next {
                next.bytes.resize(50_000, 7);
            }
            match store.commit(&[change]).await {
                Ok(_) => taken += 1,
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, StoreFault::Refused("the fold is behind")), "{refused}");
        assert_eq!((taken, runs(&store)), (40, 1), "two segments of 1 MiB");
        store.close().await.unwrap();
        let store = SledStore::open(&settings).unwrap();
        assert_eq!(store.scan(None, 100).await.unwrap().records.len(), 41);
        store.close().await.unwrap();
    }

    /// Buffered, the flush fails behind everybody's back; the process is told all the same, without traffic.
    #[tokio::test]
    async fn a_failed_background_flush_is_fatal_without_a_further_commit() {
        let (store, _directory) = broken(Durability::Buffered);
        let (tell, told) = mpsc::channel();
        let on_fatal = Box::new(move |fault: &StoreFault| tell.send(fault.clone()).unwrap());
        let committer = Committer::start(Arc::clone(&store) as _, CommitterSettings::default(), on_fatal).unwrap();
        assert_eq!(committer.commit(create(989_120_000_001)).await.unwrap(), Committed::Done);
        let fault = tokio::task::spawn_blocking(move || told.recv()).await.unwrap().unwrap();
        assert!(matches!(fault, StoreFault::Unknown(_)));
        assert!(!committer.accepting());
        assert!(matches!(committer.commit(create(989_120_000_002)).await, Err(StoreFault::Refused(_))));
        assert!(committer.close().await.is_err());
    }
}
