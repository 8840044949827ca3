//! Numbers of the last while, each with the latest time it was put in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::record::{Millis, UnixMillis};

/// A bounded set of numbers that forgets by age. Kept as numbers and times alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<u64, UnixMillis>", into = "BTreeMap<u64, UnixMillis>")]
pub(super) struct Recent {
    at: BTreeMap<u64, UnixMillis>,
    /// The same, oldest first.
    by_age: BTreeSet<(UnixMillis, u64)>,
}

impl From<BTreeMap<u64, UnixMillis>> for Recent {
    fn from(at: BTreeMap<u64, UnixMillis>) -> Self {
        let by_age = at.iter().map(|(number, at)| (*at, *number)).collect();
        Self { at, by_age }
    }
}

impl From<Recent> for BTreeMap<u64, UnixMillis> {
    fn from(recent: Recent) -> Self {
        recent.at
    }
}

impl Recent {
    /// Numbers kept.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// Forgets what is older than `window_ms`.
    pub(super) fn advance(&mut self, window_ms: Millis, now: UnixMillis) {
        while self.by_age.first().is_some_and(|(at, _)| now.since(*at) >= window_ms) {
            self.forget_oldest();
        }
    }

    /// Puts a number in, or makes it young again. Beyond `max` the oldest is forgotten.
    pub(super) fn put(&mut self, number: u64, now: UnixMillis, max: usize) {
        self.take_out(number);
        self.at.insert(number, now);
        self.by_age.insert((now, number));
        while self.len() > max {
            self.forget_oldest();
        }
    }

    /// Takes a number out.
    pub(super) fn take_out(&mut self, number: u64) {
        if let Some(at) = self.at.remove(&number) {
            self.by_age.remove(&(at, number));
        }
    }

    /// True if the number was put in within the window.
    pub(super) fn has(&self, number: u64, window_ms: Millis, now: UnixMillis) -> bool {
        self.at.get(&number).is_some_and(|at| now.since(*at) < window_ms)
    }

    /// The numbers below, nearest first, and those above, with their times; what is too old may be among them.
    pub(super) fn around(
        &self,
        number: u64,
        reach: u64,
    ) -> (impl Iterator<Item = (u64, UnixMillis)>, impl Iterator<Item = (u64, UnixMillis)>) {
        let below = self.at.range(number.saturating_sub(reach)..number).rev();
        let above = self.at.range(number.saturating_add(1)..=number.saturating_add(reach));
        (below.map(|(number, at)| (*number, *at)), above.map(|(number, at)| (*number, *at)))
    }

    /// Makes everything as young as `now`: the clock was wrong before.
    pub(super) fn restart(&mut self, now: UnixMillis) {
        let renewed: BTreeMap<u64, UnixMillis> = self.at.keys().map(|number| (*number, now)).collect();
        *self = renewed.into();
    }

    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.by_age.pop_first() {
            self.at.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 3;

    fn numbers(recent: &Recent) -> Vec<u64> {
        recent.at.keys().copied().collect()
    }

    /// A number that was taken out, or put in before, is as old as the last time it was put in.
    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::default();
        for (at, number) in [(1, 1), (2, 2), (3, 3), (4, 1)] {
            recent.put(number, UnixMillis(at), MAX);
        }
        recent.take_out(2);
        recent.put(2, UnixMillis(5), MAX);
        recent.put(4, UnixMillis(6), MAX);
        assert_eq!(numbers(&recent), [1, 2, 4], "3 was the oldest");
        recent.advance(2, UnixMillis(6));
        assert_eq!(numbers(&recent), [2, 4]);
    }

    #[test]
    fn it_is_kept_whole() {
        let mut recent = Recent::default();
        for number in 1..=3 {
            recent.put(number, UnixMillis(10 + number), MAX);
        }
        let bytes = bincode::serde::encode_to_vec(&recent, bincode::config::standard()).unwrap();
        let (mut kept, _): (Recent, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        kept.put(9, UnixMillis(20), MAX);
        assert_eq!(numbers(&kept), [2, 3, 9]);
        kept.restart(UnixMillis(30));
        kept.advance(10, UnixMillis(39));
        assert_eq!(kept.len(), 3, "as young as the clock now says");
    }
}
