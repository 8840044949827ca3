//! Which numbers are in the batch that is applied but not flushed yet.
//!
//! sled shows a write before it is durable. Who answered on it would promise what a crash may still take back
//! (say, a token renewed by an activation that started while the one before still waits for its commit),
//! so a load of such a number waits for the flush. Owns nothing but that waiting.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::record::PhoneNumber;

/// The numbers of the one batch under way.
#[derive(Debug)]
pub(super) struct InFlight {
    settled: watch::Sender<()>,
    set: Mutex<HashSet<PhoneNumber>>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { settled: watch::Sender::new(()), set: Mutex::default() }
    }
}

impl InFlight {
    /// Marks the numbers until the guard is dropped. One batch at a time: the caller holds the writer's lock.
    pub(super) fn begin(&self, numbers: impl Iterator<Item = PhoneNumber>) -> UntilSettled<'_> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
        UntilSettled(self)
    }

    /// Returns at once if the number is not in a batch under way, else when that batch is settled.
    pub(super) async fn settled(&self, phone: PhoneNumber) {
        while self.contains(phone) {
            let mut settled = self.settled.subscribe();
            // Once more, now that no settling can be missed.
            if !self.contains(phone) || settled.changed().await.is_err() {
                return;
            }
        }
    }

    fn contains(&self, phone: PhoneNumber) -> bool {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).contains(&phone)
    }
}

/// Settles the batch when dropped, whatever came of it.
#[derive(Debug)]
pub(super) struct UntilSettled<'a>(&'a InFlight);

impl Drop for UntilSettled<'_> {
    fn drop(&mut self) {
        self.0.set.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.settled.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// security 11: nothing is decided on a state that is not durable yet.
    #[test]
    fn a_load_waits_for_the_flush_of_its_own_number_only() {
        let phone = |n: u64| PhoneNumber::try_from(n).unwrap();
        let (mine, other) = (phone(989_123_456_789), phone(989_123_456_780));
        let in_flight = InFlight::default();
        let batch = in_flight.begin([mine].into_iter());
        let mut waits = Box::pin(in_flight.settled(mine));
        assert_eq!(waits.as_mut().now_or_never(), None);
        assert_eq!(in_flight.settled(other).now_or_never(), Some(()));
        drop(batch);
        assert_eq!(waits.now_or_never(), Some(()));
        assert_eq!(in_flight.settled(mine).now_or_never(), Some(()));
    }
}
