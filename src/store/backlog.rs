//! How long a change that comes now would wait until it is durable, estimated from the batches before it.
//!
//! A disk that has become slow shows in the time of a batch, one that hangs in the age of the batch under way. Who would
//! wait too long is refused at once: later he would have given up by himself, and his change be made for nobody.
//! Owns: the figures. Never refuses by itself: that is the committer's business.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::committer::CommitterSettings;

/// The figures. Written by the committer's loop alone, read by everyone; a torn look at them is an estimate all the same.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Times are counted from here.
    zero: Instant,
    /// Time of a batch, in nanoseconds: a moving average.
    batch_ns: AtomicU64,
    /// Bytes of a change: a moving average.
    change_bytes: AtomicU64,
    /// When the batch under way began, in nanoseconds; 0: there is none.
    began_ns: AtomicU64,
}

impl Backlog {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { zero: Instant::now(), batch_ns: zero(), change_bytes: zero(), began_ns: zero() }
    }

    /// A batch goes to the store.
    pub(super) fn begun(&self) {
        self.began_ns.store(self.now_ns(), Ordering::Relaxed);
    }

    /// It is durable, or was refused.
    pub(super) fn ended(&self, changes: usize, bytes: usize) {
        let took = self.now_ns().saturating_sub(self.began_ns.swap(0, Ordering::Relaxed));
        let each = (bytes / changes.max(1)).try_into().unwrap_or(u64::MAX);
        self.batch_ns.store(toward(self.batch_ns.load(Ordering::Relaxed), took), Ordering::Relaxed);
        self.change_bytes.store(toward(self.change_bytes.load(Ordering::Relaxed), each), Ordering::Relaxed);
    }

    /// The wait of a change that finds so many before it in the queue.
    ///
    /// Nothing before it: none, whatever is known of the disk. Somebody has to find out that it is well again.
    pub(super) fn wait(&self, queued: usize, settings: &CommitterSettings) -> Duration {
        let began_ns = self.began_ns.load(Ordering::Relaxed);
        if queued == 0 && began_ns == 0 {
            return Duration::ZERO;
        }
        let batch_ns = self.batch_ns.load(Ordering::Relaxed);
        // Of the batch under way what is missing to the average; one that takes longer may take as long again.
        let rest_ns = if began_ns == 0 { 0 } else { self.now_ns().saturating_sub(began_ns).abs_diff(batch_ns) };
        let room = settings.batch_bytes_max / self.change_bytes().max(1);
        let batches = 1 + queued / room.clamp(1, settings.batch_max.max(1));
        let batches = u64::try_from(batches).unwrap_or(u64::MAX);
        Duration::from_nanos(rest_ns.saturating_add(batch_ns.saturating_mul(batches)))
    }

    fn change_bytes(&self) -> usize {
        self.change_bytes.load(Ordering::Relaxed).try_into().unwrap_or(usize::MAX)
    }

    /// From 1, because 0 means that no batch is under way.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// The average with one more: up by half the way, so that a slow disk is known after two batches; down by an eighth, so
/// that one quick batch among slow ones does not hide them.
fn toward(average: u64, next: u64) -> u64 {
    match average {
        0 => next,
        _ if next > average => average + (next - average) / 2,
        _ => average - (average - next).div_ceil(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: CommitterSettings = CommitterSettings {
        queue_max: 4096,
        batch_max: 100,
        batch_bytes_max: 100_000,
        record_bytes_max: 65_536,
        gap: Duration::from_millis(1),
        wait_max: Duration::from_secs(2),
    };

    async fn batch(backlog: &Backlog, ms: u64, changes: usize, bytes: usize) {
        backlog.begun();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        backlog.ended(changes, bytes);
    }

    fn wait_ms(backlog: &Backlog, queued: usize) -> u128 {
        backlog.wait(queued, &SETTINGS).as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_that_of_the_batches_before_it_and_its_own() {
        let backlog = Backlog::new();
        assert_eq!(wait_ms(&backlog, 50), 0, "nothing is known yet");
        batch(&backlog, 100, 10, 3_000).await;
        assert_eq!(wait_ms(&backlog, 0), 0, "nothing before it");
        assert_eq!((wait_ms(&backlog, 99), wait_ms(&backlog, 100), wait_ms(&backlog, 250)), (100, 200, 300));
        backlog.begun();
        assert_eq!(wait_ms(&backlog, 0), 200, "the one under way, and its own");
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(wait_ms(&backlog, 0), 140);
    }

    #[tokio::test(start_paused = true)]
    async fn large_changes_fill_a_batch_sooner() {
        let backlog = Backlog::new();
        batch(&backlog, 100, 10, 100_000).await;
        assert_eq!((wait_ms(&backlog, 9), wait_ms(&backlog, 10), wait_ms(&backlog, 35)), (100, 200, 400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_hangs_is_seen_before_it_ends() {
        let backlog = Backlog::new();
        batch(&backlog, 10, 1, 300).await;
        backlog.begun();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(wait_ms(&backlog, 0), 3_000);
    }

    /// Slow is known after two batches, and forgotten after a few dozen quick ones.
    #[tokio::test(start_paused = true)]
    async fn the_average_rises_fast_and_falls_slowly() {
        let backlog = Backlog::new();
        batch(&backlog, 4, 1, 300).await;
        batch(&backlog, 1_000, 1, 300).await;
        assert_eq!(wait_ms(&backlog, 1), 502);
        batch(&backlog, 1_000, 1, 300).await;
        assert_eq!(wait_ms(&backlog, 1), 751);
        batch(&backlog, 4, 1, 300).await;
        assert_eq!(wait_ms(&backlog, 1), 657);
        for _ in 0..40 {
            batch(&backlog, 4, 1, 300).await;
        }
        assert!(wait_ms(&backlog, 1) < 10, "{}", wait_ms(&backlog, 1));
    }
}
