//! Numbers of the last while, each with the latest time it was put in.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::record::{Millis, UnixMillis};

/// A bounded set of numbers that forgets by age.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    at: BTreeMap<u64, UnixMillis>,
    /// About by age: a number that was put in again goes back to the end when it is met. One that was taken out leaves
    /// its place behind until then.
    queue: VecDeque<(UnixMillis, u64)>,
}

impl Recent {
    /// Places kept, which are never fewer than numbers.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Forgets what is older than `window_ms`.
    pub(super) fn advance(&mut self, window_ms: Millis, now: UnixMillis) {
        while let Some((at, number)) = self.queue.front().copied() {
            if now.since(at) < window_ms {
                break;
            }
            self.queue.pop_front();
            match self.at.get(&number).copied() {
                Some(again) if now.since(again) < window_ms => self.queue.push_back((again, number)),
                Some(_) => {
                    self.at.remove(&number);
                }
                None => {}
            }
        }
    }

    /// Puts a number in, or makes it young again. Beyond `max` the oldest is forgotten.
    pub(super) fn put(&mut self, number: u64, now: UnixMillis, max: usize) {
        if self.at.insert(number, now).is_some() {
            return;
        }
        self.queue.push_back((now, number));
        while self.queue.len() > max {
            if let Some((_, oldest)) = self.queue.pop_front() {
                self.at.remove(&oldest);
            }
        }
    }

    /// Takes a number out.
    pub(super) fn take_out(&mut self, number: u64) {
        self.at.remove(&number);
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
        self.at.values_mut().for_each(|at| *at = now);
        self.queue.iter_mut().for_each(|(at, _)| *at = now);
    }
}
