//! Whether the server lives: it is killed on purpose now and then, and then nobody is to blame.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::{sync::watch, time::Instant};

/// Open while the server lives.
#[derive(Debug)]
pub(super) struct Gate {
    open: watch::Sender<bool>,
    kills: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { open: watch::Sender::new(true), kills: AtomicU64::new(0), last: Mutex::default() }
    }

    /// To be called before the kill, so that no request fails unexplained.
    pub(super) fn close(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Kills so far.
    pub(super) fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// True if the server was killed since.
    pub(super) fn was_killed_since(&self, then: Instant) -> bool {
        self.kills() > 0 && self.last.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| then < last)
    }

    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until the server lives.
    pub(super) async fn passed(&self) {
        // The sender lives as long as we do.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}
