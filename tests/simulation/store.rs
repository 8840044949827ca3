//! A node's connection to the one shared store: passes everything through, and tells the ledger what became durable.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use otpd::{
    record::PhoneNumber,
    store::{Change, Committed, Outbox, Page, Snapshot, SnapshotStore, StoreFault, memory::MemoryStore},
};

use super::ledger::Ledger;

/// One life of one node's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) inner: MemoryStore,
    ledger: Arc<Mutex<Ledger>>,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    batches: BTreeMap<u64, Vec<Change>>,
    next: u64,
}

impl Connection {
    pub(crate) fn new(inner: MemoryStore, ledger: &Arc<Mutex<Ledger>>) -> Self {
        Self { inner, ledger: Arc::clone(ledger), under_way: Mutex::default() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Cuts the node off: of each batch under way the first `kept` changes become durable, and nothing after them.
    /// Answers how many changes were under way.
    pub(crate) async fn crash(&self, kept: usize) -> usize {
        let batches = std::mem::take(&mut self.under_way.lock().unwrap().batches);
        self.inner.crash(kept);
        self.inner.close().await.unwrap();
        for batch in batches.values() {
            for change in batch.iter().take(kept) {
                self.perhaps(change).await;
            }
        }
        batches.values().map(Vec::len).sum()
    }

    /// A change that may have been made: the disk says whether it was.
    async fn perhaps(&self, change: &Change) {
        let found = self.inner.connect().load(change.phone).await.unwrap();
        let mut ledger = self.ledger();
        let made = ledger.may_apply(change) && found.as_ref() != ledger.snapshot(change.phone);
        if made {
            ledger.apply(change);
        }
    }
}

#[async_trait]
impl SnapshotStore for Connection {
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        self.inner.load(phone).await
    }

    /// Between the moment a batch becomes durable and the ledger's entry nobody else runs: there is no await.
    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        let number = {
            let mut under_way = self.under_way.lock().unwrap();
            under_way.next += 1;
            let number = under_way.next;
            under_way.batches.insert(number, batch.to_vec());
            number
        };
        let answer = self.inner.commit(batch).await;
        if self.under_way.lock().unwrap().batches.remove(&number).is_none() {
            return answer; // crashed, and entered then
        }
        match &answer {
            Ok(outcomes) => {
                let done = batch.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Committed::Done);
                done.for_each(|(change, _)| self.ledger().apply(change));
            }
            Err(StoreFault::Unknown(_)) => {
                for change in batch {
                    self.perhaps(change).await;
                }
            }
            Err(StoreFault::Refused(_)) => {}
        }
        answer
    }

    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        self.inner.scan(after, limit).await
    }

    async fn lease_user_ids(&self, count: u64) -> Result<Range<u64>, StoreFault> {
        let leased = self.inner.lease_user_ids(count).await?;
        self.ledger().leased(&leased);
        Ok(leased)
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
