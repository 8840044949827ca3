//! The memory store with a count of its loads: an actor reads its record once when it starts, so no load means that
//! no actor was started, whatever the metrics of the process say of other tests.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use otpd::{
    record::PhoneNumber,
    store::{Change, Committed, Outbox, Page, Snapshot, SnapshotStore, StoreFault, memory::MemoryStore},
};

/// Counts loads and commits, and hands everything on.
#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Arc<MemoryStore>,
    loads: AtomicUsize,
    changes: AtomicUsize,
}

impl CountingStore {
    pub(crate) fn over(inner: Arc<MemoryStore>) -> Self {
        Self { inner, loads: AtomicUsize::new(0), changes: AtomicUsize::new(0) }
    }

    /// Records read so far: actors started.
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// Changes written so far.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SnapshotStore for CountingStore {
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.load(phone).await
    }

    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        self.changes.fetch_add(batch.len(), Ordering::SeqCst);
        self.inner.commit(batch).await
    }

    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        self.inner.scan(after, limit).await
    }

    async fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, StoreFault> {
        self.inner.lease_user_ids(count).await
    }

    fn outbox(&self) -> &dyn Outbox {
        self.inner.outbox()
    }

    fn shared(&self) -> bool {
        self.inner.shared()
    }

    fn refusing(&self) -> Option<&'static str> {
        self.inner.refusing()
    }

    async fn failure(&self) -> StoreFault {
        self.inner.failure().await
    }

    async fn close(&self) -> Result<(), StoreFault> {
        self.inner.close().await
    }
}
