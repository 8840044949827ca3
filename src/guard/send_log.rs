//! The sends of the last window, oldest first; `velocity` and `conversion` count over it.
//!
//! An entry's index never changes: it is its place since the log began. Whoever counts keeps the indices it has come to.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::record::UnixMillis;

/// Stands for "no entry".
const NONE: u64 = u64::MAX;

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// Nobody has typed its code.
    Unverified,
    /// Somebody has.
    Verified,
    /// It certainly was not sent, so it says nothing of the number.
    Void,
}

/// One send.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) at: UnixMillis,
    pub(super) fate: Fate,
    /// A `record_only` rule would have refused it: rules in that mode count as if it had not been sent, so that they find
    /// what they would find if they were in force.
    pub(super) shadow: bool,
    /// The send before it to the same number.
    before: u64,
}

/// The log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct SendLog {
    /// Index of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    /// The newest entry of each number.
    newest: BTreeMap<u64, u64>,
}

impl SendLog {
    /// Index of the first entry.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Index of the next entry to come.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(self.entries.len() as u64)
    }

    /// Entries kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of that index, if it is still there.
    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The oldest entry.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// Appends a send; its index.
    pub(super) fn push(&mut self, number: u64, at: UnixMillis, shadow: bool) -> u64 {
        let index = self.next();
        let before = self.newest.insert(number, index).unwrap_or(NONE);
        self.entries.push_back(Entry { number, at, fate: Fate::Unverified, shadow, before });
        index
    }

    /// Forgets the oldest entry.
    pub(super) fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if self.newest.get(&entry.number) == Some(&self.first) {
            self.newest.remove(&entry.number);
        }
        self.first += 1;
    }

    /// Sets what became of a send that was open until now; the entry if there was one.
    pub(super) fn settle(&mut self, index: u64, fate: Fate) -> Option<Entry> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get_mut(place).filter(|entry| entry.fate == Fate::Unverified)?;
        entry.fate = fate;
        Some(*entry)
    }

    /// The unverified sends to a number, newest first.
    pub(super) fn unverified_of(&self, number: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut index = self.newest.get(&number).copied().unwrap_or(NONE);
        while let Some(entry) = self.get(index) {
            if entry.fate == Fate::Unverified {
                found.push(index);
            }
            index = entry.before;
        }
        found
    }
}
