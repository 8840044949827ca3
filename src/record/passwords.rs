//! Comparing passwords: which comparisons are under way, and how many have failed in a row.
//!
//! A comparison takes tens of milliseconds and is made outside the core. So it has two steps: [`PasswordTries::begin`]
//! counts the try as failed *before* anything is compared, and [`PasswordTries::end`] says what came of it. A
//! comparison that never ends (the process did) stays counted.

use serde::{Deserialize, Serialize};

use super::{
    guesses::Guesses,
    time::{DAY, MINUTE, Millis, UnixMillis},
};

/// Most comparisons under way at one number.
pub(super) const COMPARING_MAX: usize = 8;
/// Longest time for a comparison; after it the process must have ended in between.
pub(super) const COMPARING_MS: Millis = MINUTE;
/// A lost one still strikes its address until nobody could be blocked for it any more.
const LOST_KEPT_MS: Millis = DAY;

/// One comparison under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comparing {
    pub(super) nonce: u64,
    pub(super) address: u64,
    pub(super) at: UnixMillis,
}

/// Tries with a password, of all addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PasswordTries {
    /// Failures in a row, by the same rule as those of codes and counted apart from them.
    pub(super) guesses: Guesses,
    comparing: Vec<Comparing>,
}

impl PasswordTries {
    /// Comparisons under way.
    pub(super) fn comparing(&self) -> usize {
        self.comparing.len()
    }

    /// Comparisons under way that this address asked for.
    pub(super) fn comparing_of(&self, address: u64) -> usize {
        self.comparing.iter().filter(|comparing| comparing.address == address).count()
    }

    pub(super) fn is_under_way(&self, nonce: u64) -> bool {
        self.comparing.iter().any(|comparing| comparing.nonce == nonce)
    }

    pub(super) fn begin(&mut self, comparing: Comparing) {
        self.comparing.push(comparing);
    }

    /// Ends a comparison; `None` if it is not under way (any more).
    pub(super) fn end(&mut self, nonce: u64) -> Option<Comparing> {
        let place = self.comparing.iter().position(|comparing| comparing.nonce == nonce)?;
        Some(self.comparing.remove(place))
    }

    /// Comparisons whose time is over: each counts against its address as a wrong one.
    pub(super) fn lost(&mut self, now: UnixMillis) -> Vec<Comparing> {
        let is_lost = |comparing: &Comparing| comparing.at.plus(COMPARING_MS) <= now;
        let lost = self.comparing.iter().copied().filter(is_lost).collect();
        self.comparing.retain(|comparing| !is_lost(comparing));
        lost
    }

    /// The account has gone, or has come: they are not about the one there is now.
    pub(super) fn abandon(&mut self) {
        self.comparing.clear();
    }

    pub(super) fn forget_at(&self, has_account: bool) -> Option<UnixMillis> {
        let comparing = self.comparing.iter().map(|comparing| comparing.at.plus(LOST_KEPT_MS)).max();
        comparing.max(self.guesses.forget_at(has_account))
    }

    pub(super) fn purge(&mut self, has_account: bool, now: UnixMillis) {
        self.guesses.purge(has_account, now);
        self.comparing.retain(|comparing| now < comparing.at.plus(LOST_KEPT_MS));
    }

    pub(super) fn rebase(&mut self, wrong: UnixMillis, now: UnixMillis) {
        self.guesses.rebase(wrong, now);
        for comparing in &mut self.comparing {
            comparing.at = comparing.at.min(now);
        }
    }
}
