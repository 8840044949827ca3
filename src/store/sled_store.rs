//! The embedded store: one directory, one process, sled below.
//!
//! Owns: the order of check, apply, flush and answer; the free-space guard; fail-stop. What sled itself does
//! and does not do is `engine`'s business. Never answers a change before it is durable
//! (in the sense of [`Durability`]), and never shows one by `load` either.

mod engine;
mod in_flight;
mod outbox;

use std::{
    fmt,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use engine::OpenError;
use engine::{Engine, EngineError};
use in_flight::InFlight;

use super::{
    Change, Committed, Entry, Outbox, OutboxCounts, OutboxLimits, Page, Shelf, Snapshot, SnapshotStore, StoreFault,
    Verdict,
};
use crate::record::PhoneNumber;

/// What an acknowledged change survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `kill -9` and power loss: each batch is flushed and synced before it is answered.
    Fsync,
    /// `kill -9` or power loss may take what was acknowledged in the last [`BUFFERED_FLUSH_EVERY`].
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
    /// MiB of pages kept in memory. Default 256; sled's own default is 1,024. Sled goes beyond it under
    /// sustained writes (6 GiB were seen with 1 GiB set), so leave room.
    pub cache_mib: u64,
    /// Below so many MiB of free disk, changes are refused. Default 256: what sled writes while it moves
    /// its 512 KiB segments about, with room for an operator to act. 0 switches the guard off.
    pub free_mib_min: u64,
}

impl SledSettings {
    /// Defaults, for sled's directory at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), durability: Durability::Fsync, cache_mib: 256, free_mib_min: 256 }
    }
}

/// The embedded store.
pub struct SledStore {
    shared: Arc<Shared>,
    in_flight: InFlight,
    durability: Durability,
    free_mib_min: AtomicU64,
    flusher: Mutex<Option<Flusher>>,
}

/// What the flusher's thread and scans hold, too.
struct Shared {
    /// One batch at a time: versions are checked and written under it. Poisoned by a panic inside sled,
    /// which counts as a failure.
    writer: Mutex<()>,
    /// `None` once closed. A lock, because to let go of sled's file all uses of it have to be over.
    engine: RwLock<Option<Engine>>,
    /// Something was acknowledged that is not flushed yet (buffered only).
    dirty: AtomicBool,
    fault: OnceLock<StoreFault>,
    failed: CancellationToken,
    /// Events were put into the outbox.
    added: Arc<Notify>,
}

impl SledStore {
    /// Opens or makes the store. Blocks: 0.3 s per million records after a crash.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has it open.
    pub fn open(settings: &SledSettings) -> Result<Self, OpenError> {
        let engine = Engine::open(&settings.path, settings.cache_mib)?;
        let added = engine.outbox.added();
        let shared = Arc::new(Shared {
            added,
            writer: Mutex::new(()),
            engine: RwLock::new(Some(engine)),
            dirty: AtomicBool::new(false),
            fault: OnceLock::new(),
            failed: CancellationToken::new(),
        });
        let flusher = match settings.durability {
            Durability::Fsync => None,
            Durability::Buffered => {
                let flusher = Flusher::start(Arc::clone(&shared));
                Some(flusher.map_err(|error| OpenError::Engine(format!("no thread: {}", error.kind())))?)
            }
        };
        Ok(Self {
            shared,
            in_flight: InFlight::default(),
            durability: settings.durability,
            free_mib_min: AtomicU64::new(settings.free_mib_min),
            flusher: Mutex::new(flusher),
        })
    }

    /// Changes the limit of [`SledSettings::free_mib_min`] while running.
    pub fn set_free_mib_min(&self, mib: u64) {
        self.free_mib_min.store(mib, Ordering::Relaxed);
    }

    fn room(&self, engine: &Engine) -> Result<(), &'static str> {
        has_room(engine, self.free_mib_min.load(Ordering::Relaxed))
    }

    fn commit_now(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        let Ok(_turn) = self.shared.writer.lock() else {
            return Err(self.shared.fail("a batch before this one panicked"));
        };
        let engine = self.shared.engine()?;
        let engine = engine.as_ref().ok_or(CLOSED)?;
        self.room(engine).map_err(StoreFault::Refused)?;
        // A read that fails has changed nothing, and one bad page must not end the process for all numbers.
        let (writes, outcomes) = engine.plan(batch).map_err(|error| {
            tracing::error!(%error, "cannot read a version");
            StoreFault::Refused("stored version unreadable")
        })?;
        if writes.is_empty() {
            return Ok(outcomes);
        }
        match self.durability {
            Durability::Fsync => {
                // Held until after a failure is on record, so no load can see what was never flushed.
                let _in_flight = self.in_flight.begin(writes.keys().copied());
                let durable = engine.apply(&writes).and_then(|()| engine.make_durable());
                durable.map_err(|error| self.shared.fail(&error))?;
                engine.outbox.show();
            }
            Durability::Buffered => {
                self.shared.dirty.store(true, Ordering::Release);
                engine.apply(&writes).map_err(|error| self.shared.fail(&error))?;
                // Again: the flusher may have come between, and flushed a part.
                self.shared.dirty.store(true, Ordering::Release);
                engine.outbox.show();
            }
        }
        Ok(outcomes)
    }
}

/// Asked before sled is touched: a flush that meets a full disk is fatal, a refusal is not.
fn has_room(engine: &Engine, wanted_mib: u64) -> Result<(), &'static str> {
    if wanted_mib == 0 {
        return Ok(());
    }
    match engine.free_mib() {
        Ok(free) if free >= wanted_mib => Ok(()),
        Ok(_) => Err("disk nearly full"),
        Err(_) => Err("free disk space unknown"),
    }
}

const CLOSED: StoreFault = StoreFault::Refused("store closed");

impl Shared {
    fn engine(&self) -> Result<RwLockReadGuard<'_, Option<Engine>>, StoreFault> {
        if self.failed.is_cancelled() {
            return Err(StoreFault::Refused("store failed"));
        }
        Ok(self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fail-stop: after a failed write neither sled's pages nor the page cache can be trusted, so nothing
    /// is answered any more, not even a load.
    fn fail(&self, error: &(impl fmt::Display + ?Sized)) -> StoreFault {
        let fault = self.fault.get_or_init(|| StoreFault::Unknown(error.to_string())).clone();
        self.failed.cancel();
        fault
    }

    fn flush_if_dirty(&self) {
        // Cleared first: what is applied from here on is the next round's.
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return;
        }
        let Ok(engine) = self.engine() else { return };
        if let Some(Err(error)) = engine.as_ref().map(Engine::make_durable) {
            self.fail(&error);
        }
    }

    /// Last flush, then sled's files and lock are let go. The second time there is nothing to do.
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
    /// Read inline: 6 to 14 µs cold, less than a hop to another thread costs. Waits if the number is in a
    /// batch that is not flushed yet.
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        self.in_flight.settled(phone).await;
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
        let Ok(_turn) = self.shared.writer.lock() else {
            return Err(self.shared.fail("a batch before this one panicked"));
        };
        let engine = self.shared.engine()?;
        let engine = engine.as_ref().ok_or(CLOSED)?;
        self.room(engine).map_err(StoreFault::Refused)?;
        // Durable before it is used, whatever the durability of records is: an id must never be given out twice.
        engine.lease_user_ids(count).map_err(|error| self.shared.fail(&error))
    }

    fn shared(&self) -> bool {
        false
    }

    fn refusing(&self) -> Option<&'static str> {
        match self.shared.engine() {
            Ok(engine) => engine.as_ref().map_or(Some("store closed"), |engine| self.room(engine).err()),
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
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take();
        let shared = Arc::clone(&self.shared);
        let close = move || {
            drop(flusher); // joins its thread
            shared.close()
        };
        tokio::task::spawn_blocking(close).await.unwrap_or_else(|_| Err(self.shared.fail("close panicked")))
    }
}

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

    /// As [`Self::beside`], as the one writer, with room on the disk. True from `act`: to be flushed.
    async fn write_beside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Engine) -> Result<(T, bool), EngineError> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let (wanted, durability) = (self.free_mib_min.load(Ordering::Relaxed), self.durability);
        self.beside(move |shared, engine| {
            let Ok(_turn) = shared.writer.lock() else { return Err(shared.fail("a batch before this one panicked")) };
            has_room(engine, wanted).map_err(StoreFault::Refused)?;
            let written = act(engine).and_then(|(answer, lasting)| {
                if lasting && durability == Durability::Fsync {
                    engine.make_durable()?;
                }
                Ok(answer)
            });
            let answer = written.map_err(|error| shared.fail(&error))?;
            shared.dirty.store(true, Ordering::Release);
            engine.outbox.show();
            Ok(answer)
        })
        .await
    }
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
        self.write_beside(move |engine| Ok((engine.note(&events)?, true))).await
    }

    async fn entries(&self, shelf: Shelf, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFault> {
        let read = move |_: &Shared, engine: &Engine| {
            engine.entries(shelf, after, limit).map_err(|error| StoreFault::Unknown(error.to_string()))
        };
        self.beside(read).await
    }

    async fn settle(&self, verdicts: Vec<(u64, Verdict)>) -> Result<usize, StoreFault> {
        self.write_beside(move |engine| engine.settle(&verdicts)).await
    }

    fn counts(&self) -> OutboxCounts {
        let engine = self.shared.engine();
        engine.ok().and_then(|engine| engine.as_ref().map(|engine| engine.outbox.counts())).unwrap_or_default()
    }

    async fn added(&self) {
        self.shared.added.notified().await;
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("durability", &self.durability)
            .field("free_mib_min", &self.free_mib_min)
            .field("fault", &self.shared.fault)
            .finish_non_exhaustive()
    }
}

/// Flushes every [`BUFFERED_FLUSH_EVERY`] on its own thread, until dropped.
struct Flusher {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flusher {
    fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&stop);
        let run = move || {
            let (stopped, wake) = &*told;
            let mut stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            while !*stopped {
                let woken = wake.wait_timeout(stopped, BUFFERED_FLUSH_EVERY);
                stopped = woken.unwrap_or_else(PoisonError::into_inner).0;
                shared.flush_if_dirty();
            }
        };
        let thread = thread::Builder::new().name("store-flusher".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(Err(_panic)) = self.thread.take().map(thread::JoinHandle::join) {
            tracing::error!("the store's flusher panicked");
        }
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
        store.shared.engine.write().unwrap().as_mut().unwrap().break_sync();
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

    /// What was applied waits for its sync before anyone may see it.
    #[tokio::test]
    async fn a_load_in_the_middle_of_a_batch_waits() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(&SledSettings::at(directory.path())).unwrap();
        let change = create(989_120_000_001);
        let batch = store.in_flight.begin([change.phone].into_iter());
        let mut load = store.load(change.phone);
        assert!(futures_util::poll!(load.as_mut()).is_pending());
        drop(batch);
        assert_eq!(load.await.unwrap(), None);
    }
}
