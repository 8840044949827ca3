//! Numbers whose activations keep failing: after a few failures in a row no further one is started for a while, so
//! that a record or a command that kills its actor cannot spin.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dashmap::DashMap;
use tokio::time::Instant;

use crate::record::PhoneNumber;

use super::settings::DirectorySettings;

/// Numbers remembered at most: each took a panic to get here, so only a defect met by everybody fills it, and then
/// quarantining some more would not help.
const NUMBERS_MAX: usize = 10_000;

/// Failed activations, per number.
#[derive(Debug)]
pub(super) struct Quarantine {
    failing: DashMap<PhoneNumber, Failing>,
    /// Size of the map: nearly always 0, and then nothing else is looked at.
    count: AtomicUsize,
    failures_max: u32,
    length: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    in_a_row: u32,
    last: Instant,
}

impl Quarantine {
    pub(super) fn new(settings: &DirectorySettings) -> Self {
        Self {
            failing: DashMap::new(),
            count: AtomicUsize::new(0),
            failures_max: settings.quarantine_failures.max(1),
            length: settings.quarantine(),
        }
    }

    /// How long the number has to wait still; `None`: it may be activated.
    pub(super) fn left(&self, phone: PhoneNumber) -> Option<Duration> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let failing = *self.failing.get(&phone)?;
        let left = self.length.saturating_sub(failing.last.elapsed());
        (failing.in_a_row >= self.failures_max && !left.is_zero()).then_some(left)
    }

    /// One more activation of the number ended without its stop. Failures that lie a quarantine apart are not in a row.
    pub(super) fn failed(&self, phone: PhoneNumber) {
        if self.count.load(Ordering::Relaxed) >= NUMBERS_MAX && !self.failing.contains_key(&phone) {
            return;
        }
        let now = Instant::now();
        let mut failing = self.failing.entry(phone).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Failing { in_a_row: 0, last: now }
        });
        let recent = now.saturating_duration_since(failing.last) < self.length;
        failing.in_a_row = if recent { failing.in_a_row.saturating_add(1) } else { 1 };
        failing.last = now;
    }

    /// An activation of the number ended in order.
    pub(super) fn cleared(&self, phone: PhoneNumber) {
        if self.count.load(Ordering::Relaxed) > 0 && self.failing.remove(&phone).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets those whose time is over. Called by the collector.
    pub(super) fn prune(&self) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.failing.retain(|_, failing| {
            let keep = failing.last.elapsed() < self.length;
            if !keep {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarantine() -> Quarantine {
        Quarantine::new(&DirectorySettings { quarantine_failures: 3, quarantine_ms: 1_000, ..Default::default() })
    }

    fn phone(n: u64) -> PhoneNumber {
        PhoneNumber::try_from(989_120_000_000 + n).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_close_a_number_for_a_while() {
        let quarantine = quarantine();
        quarantine.failed(phone(1));
        quarantine.failed(phone(1));
        assert_eq!(quarantine.left(phone(1)), None);
        quarantine.failed(phone(1));
        assert_eq!(quarantine.left(phone(1)), Some(Duration::from_secs(1)));
        assert_eq!(quarantine.left(phone(2)), None, "others are not held back");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(quarantine.left(phone(1)), None);
        quarantine.prune();
        assert!(quarantine.failing.is_empty());
        assert_eq!(quarantine.count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_in_order_or_time_between_breaks_the_row() {
        let quarantine = quarantine();
        for _ in 0..2 {
            quarantine.failed(phone(1));
            quarantine.failed(phone(1));
            quarantine.cleared(phone(1));
        }
        assert_eq!(quarantine.left(phone(1)), None);
        for _ in 0..4 {
            quarantine.failed(phone(2));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(quarantine.left(phone(2)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_remembers_is_bounded() {
        let quarantine = quarantine();
        for n in 0..NUMBERS_MAX as u64 + 10 {
            quarantine.failed(phone(n));
        }
        assert_eq!(quarantine.failing.len(), NUMBERS_MAX);
    }
}
