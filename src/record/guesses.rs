//! The guess budget of a number: consecutive failures of checks by number alone.
//!
//! NIST SP 800-63B 3.2.2: at most 100 in a row, with a delay that grows from 30 s to an hour. It survives new
//! codes, purposes, dialects and restarts; only a success resets it. Checks by id do not draw on it, so a
//! stranger who knows the number cannot lock its owner out.

use serde::{Deserialize, Serialize};

use super::{
    outcome::Refusal,
    policy::GuessPolicy,
    time::{DAY, Millis, UnixMillis},
};

/// Consecutive failures and the delay they brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guesses {
    failures: u16,
    last_at: UnixMillis,
    delayed_until: UnixMillis,
}

/// A number without an account forgets its failures this long after the last.
const FORGOTTEN_AFTER_MS: Millis = DAY;

impl Guesses {
    pub(super) fn failures(&self) -> u16 {
        self.failures
    }

    pub(super) fn delayed_until(&self) -> UnixMillis {
        self.delayed_until
    }

    /// May a check by number be compared now?
    pub(super) fn may_check(&self, policy: &GuessPolicy, has_account: bool, now: UnixMillis) -> Result<(), Refusal> {
        if self.failures >= policy.stop_at {
            // With an account it does not end by itself: then the wait is one to ask again after, and no promise.
            let from = if has_account { now } else { self.last_at };
            return Err(Refusal::GuessStopped { until: from.plus(FORGOTTEN_AFTER_MS).max(now.plus(1)) });
        }
        if now < self.delayed_until {
            return Err(Refusal::GuessDelayed { until: self.delayed_until });
        }
        Ok(())
    }

    /// Counts a check as failed, before it is compared.
    pub(super) fn count(&mut self, policy: &GuessPolicy, now: UnixMillis) {
        self.failures = self.failures.saturating_add(1);
        self.last_at = now;
        if let Some(beyond) = self.failures.checked_sub(policy.free.saturating_add(1)) {
            let doubled = policy.delay_ms.saturating_mul(1_u64.checked_shl(u32::from(beyond)).unwrap_or(u64::MAX));
            self.delayed_until = now.plus(doubled.min(policy.delay_max_ms));
        }
    }

    /// A success, or an unlock.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn forget_at(&self, has_account: bool) -> Option<UnixMillis> {
        let kept = self.failures > 0 && !has_account;
        kept.then(|| self.last_at.plus(FORGOTTEN_AFTER_MS).max(self.delayed_until))
    }

    pub(super) fn purge(&mut self, has_account: bool, now: UnixMillis) {
        if self.forget_at(has_account).is_some_and(|at| at <= now) {
            self.clear();
        }
    }

    pub(super) fn rebase(&mut self, wrong: UnixMillis, now: UnixMillis) {
        self.last_at = self.last_at.min(now);
        self.delayed_until = now.plus(self.delayed_until.since(wrong)).min(self.delayed_until);
    }
}
