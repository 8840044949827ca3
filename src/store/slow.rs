//! A store whose disk is slow, for trying out what a server does then.
//!
//! Each batch waits before it goes to the store below. Everything else is that store's own: what is read comes out of its
//! memory as a rule, on a slow disk as well.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Change, Committed, Outbox, Page, Snapshot, SnapshotStore, StoreFault};
use crate::record::PhoneNumber;

/// The store below, and how slow it is made.
pub struct SlowStore {
    below: Arc<dyn SnapshotStore>,
    delay: Duration,
}

impl SlowStore {
    /// A store over `below` in which a batch takes so much longer.
    pub fn over(below: Arc<dyn SnapshotStore>, delay: Duration) -> Self {
        Self { below, delay }
    }
}

#[async_trait]
impl SnapshotStore for SlowStore {
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        self.below.load(phone).await
    }

    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        tokio::time::sleep(self.delay).await;
        self.below.commit(batch).await
    }

    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        self.below.scan(after, limit).await
    }

    async fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, StoreFault> {
        self.below.lease_user_ids(count).await
    }

    fn outbox(&self) -> &dyn Outbox {
        self.below.outbox()
    }

    fn shared(&self) -> bool {
        self.below.shared()
    }

    fn refusing(&self) -> Option<&'static str> {
        self.below.refusing()
    }

    async fn failure(&self) -> StoreFault {
        self.below.failure().await
    }

    async fn close(&self) -> Result<(), StoreFault> {
        self.below.close().await
    }
}

impl fmt::Debug for SlowStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowStore").field("delay", &self.delay).finish_non_exhaustive()
    }
}
