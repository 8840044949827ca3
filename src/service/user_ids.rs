//! Fresh user ids: integers from blocks that the store leases.
//!
//! A crash skips what is left of a block and never repeats one. An id that a sign-in did not need (the number had
//! an account) goes back to the pool.

use std::{ops::Range, sync::Arc};

use tokio::sync::Mutex;

use crate::{
    phone::Fault,
    store::{SnapshotStore, StoreFault},
};

/// Ids per lease: one durable write per so many new users; at most so many are skipped by a crash.
const BLOCK: u64 = 1_000;

/// The pool of leased ids.
pub struct UserIds {
    store: Arc<dyn SnapshotStore>,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    fresh: Range<u64>,
    returned: Vec<u64>,
}

impl std::fmt::Debug for UserIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserIds").finish_non_exhaustive()
    }
}

impl UserIds {
    /// An empty pool over a store; the first id leases a block.
    pub fn new(store: Arc<dyn SnapshotStore>) -> Self {
        Self { store, pool: Mutex::default() }
    }

    /// An id that no user has. Leases a block when the pool is empty.
    pub async fn take(&self) -> Result<u64, Fault> {
        let mut pool = self.pool.lock().await;
        if let Some(id) = pool.returned.pop() {
            return Ok(id);
        }
        if pool.fresh.is_empty() {
            pool.fresh = self.store.lease_user_ids(BLOCK).await.map_err(|fault| match fault {
                // Nobody was given an id, whatever the store did.
                StoreFault::Refused(_) | StoreFault::Unknown(_) => Fault::StorageRefused,
            })?;
        }
        pool.fresh.next().ok_or(Fault::StorageRefused)
    }

    /// Takes back an id that was certainly not used.
    pub async fn give_back(&self, id: u64) {
        self.pool.lock().await.returned.push(id);
    }
}
