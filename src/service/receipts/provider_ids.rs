//! Providers' own ids of messages and what we call them: for receipts that name nothing else.
//!
//! In memory alone: after a restart such a receipt is about no message that is known, and is ignored. Bounded; when it is
//! full the oldest is forgotten and counted.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use metrics::{Counter, counter};

use crate::{
    metrics as names,
    record::{Millis, UnixMillis},
};

/// A gateway's name and the id that its provider gave.
type Key = (&'static str, Box<str>);

/// The index. `Debug` shows no id.
pub(super) struct ProviderIds {
    kept: Mutex<Kept>,
    most: usize,
    life_ms: Millis,
    full: Counter,
}

#[derive(Default)]
struct Kept {
    references: HashMap<Key, (Box<str>, UnixMillis)>,
    /// In the order they came, oldest first; one that came again stands in it twice, under two times.
    order: VecDeque<(Key, UnixMillis)>,
}

impl fmt::Debug for ProviderIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderIds").field("most", &self.most).field("life_ms", &self.life_ms).finish_non_exhaustive()
    }
}

impl ProviderIds {
    pub(super) fn new(most: usize, life_ms: Millis) -> Self {
        let full = counter!(names::OVERLOAD, "limit" => "receipt_ids");
        Self { kept: Mutex::default(), most: most.max(1), life_ms, full }
    }

    /// Remembers what we call a message.
    pub(super) fn remember(&self, route: &'static str, id: &str, reference: &str, now: UnixMillis) {
        let mut kept = self.kept();
        kept.forget(now.minus(self.life_ms));
        while kept.order.len() >= self.most {
            kept.forget_oldest();
            self.full.increment(1);
        }
        let key = (route, Box::from(id));
        kept.order.push_back((key.clone(), now));
        kept.references.insert(key, (Box::from(reference), now));
    }

    /// What we call the message that this provider's id is of, if it was handed over within the time.
    pub(super) fn reference(&self, route: &'static str, id: &str, now: UnixMillis) -> Option<String> {
        let mut kept = self.kept();
        kept.forget(now.minus(self.life_ms));
        kept.references.get(&(route, Box::from(id))).map(|(reference, _)| reference.to_string())
    }

    /// Whoever panicked with it left it whole: each change is one insertion or removal.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets what came at `until` or before.
    fn forget(&mut self, until: UnixMillis) {
        while self.order.front().is_some_and(|(_, at)| *at <= until) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, at)) = self.order.pop_front() else { return };
        // One that came again since is younger than its first place in the order.
        if self.references.get(&key).is_some_and(|(_, since)| *since <= at) {
            self.references.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UnixMillis = UnixMillis(1_800_000_000_000);

    fn sizes(ids: &ProviderIds) -> (usize, usize) {
        let kept = ids.kept();
        (kept.order.len(), kept.references.len())
    }

    #[test]
    fn an_id_is_remembered_for_its_life_and_its_gateway() {
        let ids = ProviderIds::new(10, 1_000);
        ids.remember("kavenegar", "1", "a-0", T);
        assert_eq!(ids.reference("kavenegar", "1", T.plus(999)).as_deref(), Some("a-0"));
        assert_eq!(ids.reference("mshastra", "1", T), None);
        assert_eq!(ids.reference("kavenegar", "2", T), None);
        assert_eq!(ids.reference("kavenegar", "1", T.plus(1_000)), None);
        assert_eq!(sizes(&ids), (0, 0));
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let ids = ProviderIds::new(3, 1_000);
        for (n, at) in (0..100).zip(0..) {
            ids.remember("kavenegar", &format!("{n}"), "a-0", T.plus(at));
            let (order, references) = sizes(&ids);
            assert!(order <= 3 && references <= 3);
        }
        let known = |n: u32| ids.reference("kavenegar", &n.to_string(), T.plus(100)).is_some();
        assert_eq!([96, 97, 98, 99].map(known), [false, true, true, true]);
    }

    /// A provider that gives one id twice means the newer message.
    #[test]
    fn an_id_that_comes_again_is_the_newer() {
        let ids = ProviderIds::new(2, 1_000);
        ids.remember("kavenegar", "1", "a-0", T);
        ids.remember("kavenegar", "1", "b-0", T.plus(500));
        assert_eq!(ids.reference("kavenegar", "1", T.plus(1_000)).as_deref(), Some("b-0"));
        ids.remember("kavenegar", "2", "c-0", T.plus(600));
        assert_eq!(ids.reference("kavenegar", "1", T.plus(1_000)).as_deref(), Some("b-0"));
        assert_eq!(ids.reference("kavenegar", "1", T.plus(1_500)), None);
    }
}
