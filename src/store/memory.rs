//! A store in memory, for tests, simulation and trying things out: nothing outlives the process.
//!
//! Owns: the map, and switches for every way in which a real store fails. It never blocks and takes time only
//! from tokio's clock, so it runs in virtual time. Several [`MemoryStore::connect`]ions to one map stand for
//! several processes on one shared store; switches, crash and close are those of one connection.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Bound, Range},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Change, Committed, Entry, Outbox, OutboxCounts, OutboxLimits, Page, Shelf, Snapshot, SnapshotStore, StoreFault,
    Verdict,
    outbox::{count_dropped, count_overflow, place},
};
use crate::record::{PhoneNumber, UnixMillis};

type Snapshots = BTreeMap<PhoneNumber, Snapshot>;

/// What is on disk: the snapshots, the outbox, and how many user ids were leased.
#[derive(Debug, Default)]
struct Disk {
    contents: Mutex<Contents>,
    user_ids_leased: AtomicU64,
    /// Events were put into the outbox.
    added: Notify,
}

/// What is written together.
#[derive(Debug, Default)]
struct Contents {
    snapshots: Snapshots,
    pending: BTreeMap<u64, Entry>,
    dead: BTreeMap<u64, Entry>,
    events: u64,
    limits: OutboxLimits,
}

impl Contents {
    fn shelf(&mut self, shelf: Shelf) -> &mut BTreeMap<u64, Entry> {
        match shelf {
            Shelf::Pending => &mut self.pending,
            Shelf::Dead => &mut self.dead,
        }
    }

    fn counts(&self) -> OutboxCounts {
        OutboxCounts { pending: self.pending.len(), dead: self.dead.len() }
    }

    fn put(&mut self, events: &[Vec<u8>]) {
        for event in events {
            self.events += 1;
            let entry = Entry { id: self.events, tries: 0, due: UnixMillis(0), event: event.clone() };
            let shelf = place(self.counts(), self.limits);
            count_overflow(usize::from(shelf == Shelf::Dead));
            self.shelf(shelf).insert(entry.id, entry);
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.dead.len() > self.limits.dead_max {
            self.dead.pop_first();
            count_dropped(1);
        }
    }

    /// True if the entry was there.
    fn settle(&mut self, id: u64, verdict: Verdict) -> bool {
        let Some(entry) = self.shelf(verdict.of()).remove(&id) else { return false };
        if let Some((shelf, tries, due)) = verdict.leaves() {
            self.shelf(shelf).insert(id, Entry { tries, due, ..entry });
        }
        self.make_room();
        true
    }
}

/// One connection to a map of snapshots. What is in the map is what a real store has on disk.
pub struct MemoryStore {
    disk: Arc<Disk>,
    shared: bool,
    state: Mutex<State>,
    failed: CancellationToken,
}

/// Switches and what is under way.
#[derive(Debug, Default)]
struct State {
    commit_delay: Duration,
    load_delay: Duration,
    refuse_next: u32,
    refuse_all: bool,
    refuse_after: Option<u32>,
    lose_replies: u32,
    fail_flush: bool,
    fail_loads: bool,
    closed: bool,
    /// Batches between their arrival and their durability, by a number of their own.
    under_way: BTreeMap<u64, Vec<Change>>,
    batches: u64,
}

impl MemoryStore {
    /// An empty store. `shared`: answer [`SnapshotStore::shared`] so, as a store of several processes does.
    pub fn new(shared: bool) -> Self {
        Self::over(Arc::default(), shared)
    }

    /// A further connection to the same snapshots, as another process (or the same one after its restart) has.
    pub fn connect(&self) -> Self {
        Self::over(Arc::clone(&self.disk), self.shared)
    }

    fn over(disk: Arc<Disk>, shared: bool) -> Self {
        Self { disk, shared, state: Mutex::default(), failed: CancellationToken::new() }
    }

    /// From now on a batch is durable only this long after it came, and a load takes that long.
    pub fn slow(&self, commit: Duration, load: Duration) {
        let mut state = self.state();
        (state.commit_delay, state.load_delay) = (commit, load);
    }

    /// Refuses the next `batches`, untouched.
    pub fn refuse_next(&self, batches: u32) {
        self.state().refuse_next = batches;
    }

    /// Refuses every batch while set, as a nearly full disk does.
    pub fn refuse_all(&self, refuse: bool) {
        let mut state = self.state();
        (state.refuse_all, state.refuse_after) = (refuse, None);
    }

    /// Takes the next `batches` and then refuses, as [`Self::refuse_all`] does: a disk that fills up in the middle of
    /// something.
    pub fn refuse_after(&self, batches: u32) {
        self.state().refuse_after = Some(batches);
    }

    /// Applies the next `batches` and answers that their outcome is unknown, as a shared store behind a
    /// broken connection does.
    pub fn lose_reply(&self, batches: u32) {
        self.state().lose_replies = batches;
    }

    /// Fails the flush of the next batch: it is lost, and the store with it.
    pub fn fail_flush(&self) {
        self.state().fail_flush = true;
    }

    /// Fails every load while set.
    pub fn fail_loads(&self, fail: bool) {
        self.state().fail_loads = fail;
    }

    /// What `kill -9` does to batches under way: of each the first `kept` changes are durable, the rest
    /// is lost, and none is answered as done.
    pub fn crash(&self, kept: usize) {
        let mut map = self.map();
        for batch in std::mem::take(&mut self.state().under_way).into_values() {
            for change in batch.iter().take(kept) {
                apply(&mut map, change);
            }
            self.disk.added.notify_one();
        }
    }

    /// How many snapshots there are.
    pub fn len(&self) -> usize {
        self.map().snapshots.len()
    }

    /// True if there is no snapshot.
    pub fn is_empty(&self) -> bool {
        self.map().snapshots.is_empty()
    }

    fn map(&self) -> MutexGuard<'_, Contents> {
        self.disk.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch in: its number, and how long it takes.
    fn admit(&self, batch: &[Change]) -> Result<(u64, Duration), StoreFault> {
        let mut state = self.state();
        self.open(&state)?;
        match state.refuse_after {
            Some(0) => state.refuse_all = true,
            Some(left) => state.refuse_after = Some(left - 1),
            None => {}
        }
        if state.refuse_all {
            return Err(StoreFault::Refused("store refuses everything"));
        }
        if let Some(left) = state.refuse_next.checked_sub(1) {
            state.refuse_next = left;
            return Err(StoreFault::Refused("store refuses this batch"));
        }
        state.batches += 1;
        let number = state.batches;
        state.under_way.insert(number, batch.to_vec());
        Ok((number, state.commit_delay))
    }

    /// The moment at which a batch becomes durable, if no crash came first.
    fn settle(&self, number: u64) -> Result<Vec<Committed>, StoreFault> {
        // The map before the state, as in `crash`: the two locks are always taken in this order.
        let mut map = self.map();
        let mut state = self.state();
        let Some(batch) = state.under_way.remove(&number) else {
            return Err(StoreFault::Unknown("crashed".to_owned()));
        };
        if state.fail_flush {
            self.failed.cancel();
            return Err(StoreFault::Unknown("flush failed".to_owned()));
        }
        let outcomes = batch.iter().map(|change| apply(&mut map, change)).collect();
        if batch.iter().any(|change| !change.events.is_empty()) {
            self.disk.added.notify_one();
        }
        if let Some(left) = state.lose_replies.checked_sub(1) {
            state.lose_replies = left;
            return Err(StoreFault::Unknown("reply lost".to_owned()));
        }
        Ok(outcomes)
    }

    fn writable(&self) -> Result<MutexGuard<'_, Contents>, StoreFault> {
        // The map before the state, as everywhere.
        let map = self.map();
        let state = self.state();
        self.open(&state)?;
        if state.refuse_all { Err(StoreFault::Refused("store refuses everything")) } else { Ok(map) }
    }

    fn open(&self, state: &State) -> Result<(), StoreFault> {
        if state.closed {
            return Err(StoreFault::Refused("store closed"));
        }
        if self.failed.is_cancelled() {
            return Err(StoreFault::Refused("store failed"));
        }
        Ok(())
    }
}

fn apply(map: &mut Contents, change: &Change) -> Committed {
    if map.snapshots.get(&change.phone).map(|now| now.version) != change.expected {
        return Committed::Conflict;
    }
    match &change.next {
        Some(next) => map.snapshots.insert(change.phone, next.clone()),
        None => map.snapshots.remove(&change.phone),
    };
    map.put(&change.events);
    Committed::Done
}

/// Forgets a batch whose `commit` was dropped half way, together with the process that made it.
struct UnderWay<'a> {
    store: &'a MemoryStore,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.store.state().under_way.remove(&self.number);
    }
}

/// `tokio::time::sleep` of nothing still waits for the next tick.
async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        let delay = self.state().load_delay;
        wait(delay).await;
        {
            let state = self.state();
            self.open(&state)?;
            if state.fail_loads {
                return Err(StoreFault::Unknown("load failed".to_owned()));
            }
        }
        Ok(self.map().snapshots.get(&phone).cloned())
    }

    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        let (number, delay) = self.admit(batch)?;
        let _under_way = UnderWay { store: self, number };
        wait(delay).await;
        self.settle(number)
    }

    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        self.open(&self.state())?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let map = self.map();
        let mut rest = map.snapshots.range((from, Bound::Unbounded));
        let records: Vec<_> = rest.by_ref().take(limit.max(1)).map(|(phone, now)| (*phone, now.clone())).collect();
        let next = rest.next().and_then(|_| records.last()).map(|(phone, _)| *phone);
        Ok(Page { records, next })
    }

    async fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, StoreFault> {
        self.open(&self.state())?;
        let leased = self.disk.user_ids_leased.fetch_add(count, Ordering::SeqCst);
        Ok(leased + 1..leased + 1 + count)
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }

    fn shared(&self) -> bool {
        self.shared
    }

    fn refusing(&self) -> Option<&'static str> {
        let state = self.state();
        state.refuse_all.then_some("store refuses everything")
    }

    async fn failure(&self) -> StoreFault {
        self.failed.cancelled().await;
        StoreFault::Unknown("flush failed".to_owned())
    }

    async fn close(&self) -> Result<(), StoreFault> {
        self.state().closed = true;
        Ok(())
    }
}

/// Written at once and never slow, but refused while batches are.
#[async_trait]
impl Outbox for MemoryStore {
    fn limit(&self, limits: OutboxLimits) {
        self.map().limits = limits;
    }

    async fn note(&self, events: Vec<Vec<u8>>) -> Result<(), StoreFault> {
        self.writable()?.put(&events);
        self.disk.added.notify_one();
        Ok(())
    }

    async fn entries(&self, shelf: Shelf, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFault> {
        self.open(&self.state())?;
        let mut map = self.map();
        let later = map.shelf(shelf).range((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    async fn settle(&self, verdicts: Vec<(u64, Verdict)>) -> Result<usize, StoreFault> {
        let mut map = self.writable()?;
        let there = verdicts.iter().filter(|(id, verdict)| map.settle(*id, *verdict)).count();
        if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Revived) {
            self.disk.added.notify_one();
        }
        Ok(there)
    }

    fn counts(&self) -> OutboxCounts {
        self.map().counts()
    }

    async fn added(&self) {
        self.disk.added.notified().await;
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("shared", &self.shared)
            .field("records", &self.len())
            .finish_non_exhaustive()
    }
}
