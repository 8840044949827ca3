//! Which verification at Twilio a reference of ours belongs to, while Twilio wants to know how it ends.
//!
//! Bounded in number and in time. Only in memory: what a restart forgets ends by itself after ten minutes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::record::{Millis, SECOND, UnixMillis};

/// How long Twilio keeps a verification open.
const LIFE_MS: Millis = 600 * SECOND;

/// Verifications that are open.
pub(super) struct Pending {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_reference: HashMap<String, Entry>,
    /// The references by age, the oldest first.
    by_age: BTreeMap<u64, String>,
    /// The number of the next one.
    next: u64,
}

struct Entry {
    sid: String,
    since: UnixMillis,
    number: u64,
}

impl Pending {
    /// Room for `max`, at least one.
    pub(super) fn new(max: usize) -> Self {
        Self { max, state: Mutex::default() }
    }

    /// Remembers a verification. True if an open one had to be forgotten for it.
    pub(super) fn remember(&self, reference: &str, sid: &str, now: UnixMillis) -> bool {
        self.with(|state| {
            state.remove(reference);
            while state.by_age.first_key_value().is_some_and(|(_, oldest)| state.is_over(oldest, now)) {
                state.remove_oldest();
            }
            let forgotten = state.by_reference.len() >= self.max && state.remove_oldest();
            let number = state.next;
            state.next += 1;
            state.by_age.insert(number, reference.to_owned());
            let entry = Entry { sid: sid.to_owned(), since: now, number };
            state.by_reference.insert(reference.to_owned(), entry);
            forgotten
        })
    }

    /// Gives a verification out, once.
    pub(super) fn take(&self, reference: &str, now: UnixMillis) -> Option<String> {
        self.with(|state| {
            let is_over = state.is_over(reference, now);
            state.remove(reference).filter(|_| !is_over)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Every change is whole before anything can panic.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn is_over(&self, reference: &str, now: UnixMillis) -> bool {
        self.by_reference.get(reference).is_none_or(|entry| now.0.saturating_sub(entry.since.0) >= LIFE_MS)
    }

    fn remove(&mut self, reference: &str) -> Option<String> {
        let entry = self.by_reference.remove(reference)?;
        self.by_age.remove(&entry.number);
        Some(entry.sid)
    }

    fn remove_oldest(&mut self) -> bool {
        match self.by_age.pop_first() {
            Some((_, oldest)) => self.by_reference.remove(&oldest).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_700_000_000_000);

    fn after(millis: Millis) -> UnixMillis {
        UnixMillis(START.0 + millis)
    }

    #[test]
    fn a_verification_is_given_out_once_and_within_its_life() {
        let pending = Pending::new(3);
        assert!(!pending.remember("a", "VE1", START));
        assert_eq!(pending.take("a", after(LIFE_MS - 1)).as_deref(), Some("VE1"));
        assert_eq!(pending.take("a", after(1)), None);
        pending.remember("a", "VE2", START);
        assert_eq!(pending.take("a", after(LIFE_MS)), None);
        // A clock that ran back makes nothing old.
        pending.remember("a", "VE3", START);
        assert_eq!(pending.take("a", UnixMillis(0)).as_deref(), Some("VE3"));
    }

    /// The oldest open one makes room, and only that is a loss; what is over makes room for nothing.
    #[test]
    fn the_oldest_makes_room() {
        let pending = Pending::new(2);
        assert!(!pending.remember("a", "VE1", START));
        assert!(!pending.remember("b", "VE2", after(1)));
        assert!(!pending.remember("a", "VE3", after(2)), "the same reference takes no second place");
        assert!(pending.remember("c", "VE4", after(3)));
        assert_eq!(pending.take("b", after(3)), None, "the oldest, since a was renewed");
        assert_eq!(pending.take("a", after(3)).as_deref(), Some("VE3"));
        assert!(!pending.remember("d", "VE5", after(LIFE_MS + 3)));
        assert!(!pending.remember("e", "VE6", after(LIFE_MS + 3)), "c was over");
        pending.with(|state| assert_eq!((state.by_age.len(), state.by_reference.len()), (2, 2)));
    }
}
