//! What loads found in the tree lately: the change that follows a load is checked against the same version a moment later,
//! and to look for it once more costs as much as the load did.
//!
//! Only what the tree says, so it is asked after the memtable, and each fold begins a new round: what was read before the
//! fold ended is never noted after it. Owns nothing but that.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::record::PhoneNumber;

/// Most numbers remembered in a round: some 4 MiB. Beyond it the tree is asked twice.
const SEEN_MAX: usize = 1 << 17;

/// What is stored for a number, as far as compare-and-set goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Current {
    /// This version, or nothing.
    Is(Option<u64>),
    /// Bytes without a header: no version matches them.
    Unreadable,
}

/// The round of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round(u64);

/// What loads of this round found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    round: u64,
    found: HashMap<PhoneNumber, Current>,
}

impl Seen {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before the memtable and the tree are.
    pub(super) fn round(&self) -> Round {
        Round(self.notes().round)
    }

    /// Notes what the tree said in `round`, unless that is over.
    pub(super) fn note(&self, round: Round, phone: PhoneNumber, found: Current) {
        let mut notes = self.notes();
        if notes.round == round.0 && notes.found.len() < SEEN_MAX {
            notes.found.insert(phone, found);
        }
    }

    /// What the tree has, if a load of this round has seen it.
    pub(super) fn get(&self, phone: PhoneNumber) -> Option<Current> {
        self.notes().found.get(&phone).copied()
    }

    /// The tree has changed; to be called before the memtable lets go of what is new in it.
    pub(super) fn next_round(&self) {
        let mut notes = self.notes();
        notes.round += 1;
        let over = std::mem::take(&mut notes.found);
        drop(notes);
        drop(over); // outside of the lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_fold_ended_is_not_noted_after_it() {
        let phone = PhoneNumber::try_from(989_120_000_001_u64).unwrap();
        let seen = Seen::default();
        let round = seen.round();
        seen.note(round, phone, Current::Is(Some(7)));
        assert_eq!(seen.get(phone), Some(Current::Is(Some(7))));
        seen.next_round();
        assert_eq!(seen.get(phone), None);
        seen.note(round, phone, Current::Is(Some(7)));
        assert_eq!(seen.get(phone), None);
        seen.note(seen.round(), phone, Current::Is(Some(8)));
        assert_eq!(seen.get(phone), Some(Current::Is(Some(8))));
    }
}
