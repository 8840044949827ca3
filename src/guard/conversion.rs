//! Prefixes whose codes are not used: they close, and reopen by themselves.
//!
//! ```text
//!            too few verified                    time is over
//!   open ──────────────────────────> closed ────────────────────> trial: a few sends
//!    ^                                 ^                            │   │
//!    │                                 └── none of them verified ───┘   │
//!    │                                     (twice as long)              │
//!    └────────────────────────── enough of them verified ───────────────┘
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    event::GuardEvent,
    policy::{ConversionRule, Mode},
    send_log::{Entry, Fate, SendLog},
    velocity::block,
};
use crate::record::{Millis, UnixMillis};

/// What the counts were made for; for other figures they are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Basis {
    digits: u8,
    window_ms: Millis,
    mature_ms: Millis,
    /// Counts as if what a `record_only` rule found had not been sent.
    shadow: bool,
}

/// Mature sends of a prefix.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Count {
    /// The first entry counted: what was sent before the prefix closed says nothing after it has opened again.
    from: u64,
    sends: u32,
    unverified: u32,
}

/// A prefix that is not open.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Closure {
    phase: Phase,
    /// How often in a row it was closed.
    times: u8,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Phase {
    Closed {
        until: UnixMillis,
    },
    Trial {
        /// The first entry of the log that may belong to it.
        from: u64,
        sends: u32,
        verified: u32,
        last_at: UnixMillis,
    },
}

/// Counts and closures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Conversion {
    basis: Basis,
    /// The first entry that is not yet mature.
    mature_to: u64,
    /// The first entry that is still in the window.
    from: u64,
    counts: BTreeMap<u64, Count>,
    closures: BTreeMap<u64, Closure>,
}

impl Conversion {
    /// Prefixes that are closed or on trial.
    pub(super) fn closed(&self) -> usize {
        self.closures.len()
    }

    /// Makes the counts anew from the log if they were made for other figures. Closures stay unless the prefixes differ.
    pub(super) fn fit(&mut self, rule: &ConversionRule, log: &SendLog) {
        let shadow = rule.mode == Mode::RecordOnly;
        let basis = Basis { digits: rule.digits, window_ms: rule.window_ms, mature_ms: rule.mature_ms, shadow };
        if !rule.mode.looks() {
            *self = Self::default();
        } else if self.basis != basis {
            let closures =
                if self.basis.digits == basis.digits { std::mem::take(&mut self.closures) } else { BTreeMap::new() };
            *self = Self { basis, mature_to: log.first(), from: log.first(), counts: BTreeMap::new(), closures };
        }
    }

    /// Counts what has become mature, and lets go of what has left the window.
    pub(super) fn advance(&mut self, log: &SendLog, now: UnixMillis) {
        while let Some(entry) = log.get(self.mature_to).filter(|entry| now.since(entry.at) >= self.basis.mature_ms) {
            self.mature(self.mature_to, entry);
            self.mature_to += 1;
        }
        while let Some(entry) = log.get(self.from).filter(|entry| now.since(entry.at) >= self.basis.window_ms) {
            self.leave(self.from, entry);
            self.from += 1;
        }
    }

    /// Lets go of the log's oldest entry, whatever its age.
    pub(super) fn forget_oldest(&mut self, log: &SendLog) {
        let (first, Some(entry)) = (log.first(), log.oldest()) else { return };
        if self.from <= first {
            self.leave(first, entry);
            self.from = first + 1;
            self.mature_to = self.mature_to.max(self.from);
        }
    }

    /// Until when this number's prefix is closed; `None` if it is open or a send of its trial is left.
    pub(super) fn closed_until(
        &mut self,
        rule: &ConversionRule,
        number: u64,
        (next, now): (u64, UnixMillis),
        closed_max: usize,
        events: &mut Vec<GuardEvent>,
    ) -> Option<UnixMillis> {
        let prefix = block(number, rule.digits);
        let Some(Closure { phase, times }) = self.closures.get(&prefix).copied() else {
            let count = self.counts.get(&prefix).copied()?;
            let fails = count.sends >= rule.sample_min && is_bad(rule, count.unverified, count.sends);
            return fails
                .then(|| self.close(rule, prefix, (0, count.sends, count.unverified), now, closed_max, events));
        };
        match phase {
            Phase::Closed { until } if now < until => Some(until),
            Phase::Closed { .. } => {
                let phase = Phase::Trial { from: next, sends: 0, verified: 0, last_at: now };
                self.closures.insert(prefix, Closure { phase, times });
                None
            }
            Phase::Trial { sends, verified, last_at, .. } => {
                let planned = rule.trial_sends.max(sends);
                if !is_bad(rule, planned.saturating_sub(verified), planned) {
                    // Good, whatever becomes of the rest.
                    self.closures.remove(&prefix);
                    self.counts.remove(&prefix);
                    events.push(GuardEvent::PrefixReopened { prefix, hidden_digits: rule.digits });
                    return None;
                }
                if sends < rule.trial_sends {
                    return None;
                }
                let judged_at = last_at.plus(rule.mature_ms);
                if now < judged_at {
                    return Some(judged_at);
                }
                let sample = (times.saturating_add(1), sends, sends.saturating_sub(verified));
                Some(self.close(rule, prefix, sample, now, closed_max, events))
            }
        }
    }

    /// Notes a send; only a trial counts it before it is mature.
    pub(super) fn add(&mut self, entry: &Entry) {
        if !self.sees(entry) {
            return;
        }
        if let Some(Closure { phase: Phase::Trial { sends, last_at, .. }, .. }) = self.closure_of(entry) {
            *sends = sends.saturating_add(1);
            *last_at = entry.at;
        }
    }

    /// What became of a send. `entry` is as it was before.
    pub(super) fn settle(&mut self, index: u64, entry: &Entry, fate: Fate) {
        if !self.sees(entry) {
            return;
        }
        if let Some(Closure { phase: Phase::Trial { from, sends, verified, .. }, .. }) = self.closure_of(entry)
            && index >= *from
        {
            match fate {
                Fate::Verified => *verified = verified.saturating_add(1),
                Fate::Void => *sends = sends.saturating_sub(1),
                Fate::Unverified => {}
            }
        }
        if index >= self.mature_to {
            return;
        }
        if let Some(count) = self.count_of(index, entry) {
            count.unverified = count.unverified.saturating_sub(1);
            count.sends = count.sends.saturating_sub(u32::from(fate == Fate::Void));
        }
    }

    /// The clock was wrong before: what is closed stays closed as long as it was to be.
    pub(super) fn restart(&mut self, before: UnixMillis, now: UnixMillis) {
        let moved = |at: UnixMillis| now.plus(at.since(before));
        for closure in self.closures.values_mut() {
            closure.phase = match closure.phase {
                Phase::Closed { until } => Phase::Closed { until: moved(until) },
                Phase::Trial { from, sends, verified, .. } => Phase::Trial { from, sends, verified, last_at: now },
            };
        }
    }

    fn mature(&mut self, index: u64, entry: &Entry) {
        let prefix = block(entry.number, self.basis.digits);
        // While it is closed or on trial, its own count decides.
        if !self.sees(entry) || entry.fate == Fate::Void || self.closures.contains_key(&prefix) {
            return;
        }
        let count = self.counts.entry(prefix).or_insert(Count { from: index, sends: 0, unverified: 0 });
        count.sends = count.sends.saturating_add(1);
        count.unverified = count.unverified.saturating_add(u32::from(entry.fate == Fate::Unverified));
    }

    fn leave(&mut self, index: u64, entry: &Entry) {
        if index >= self.mature_to || !self.sees(entry) || entry.fate == Fate::Void {
            return;
        }
        let unverified = u32::from(entry.fate == Fate::Unverified);
        let Some(count) = self.count_of(index, entry) else { return };
        count.sends = count.sends.saturating_sub(1);
        count.unverified = count.unverified.saturating_sub(unverified);
        if count.sends == 0 {
            self.counts.remove(&block(entry.number, self.basis.digits));
        }
    }

    fn close(
        &mut self,
        rule: &ConversionRule,
        prefix: u64,
        (times, sample, unverified): (u8, u32, u32),
        now: UnixMillis,
        closed_max: usize,
        events: &mut Vec<GuardEvent>,
    ) -> UnixMillis {
        let doubled = 1_u64.checked_shl(u32::from(times)).unwrap_or(u64::MAX);
        let until = now.plus(rule.close_ms.saturating_mul(doubled).min(rule.close_max_ms));
        if self.closures.len() >= closed_max && !self.closures.contains_key(&prefix) {
            let first = self.closures.iter().min_by_key(|(prefix, closure)| (closure.opens_at(), **prefix));
            if let Some(first) = first.map(|(prefix, _)| *prefix) {
                self.closures.remove(&first);
            }
        }
        // Bounded so that the shift above stays one.
        self.closures.insert(prefix, Closure { phase: Phase::Closed { until }, times: times.min(32) });
        self.counts.remove(&prefix);
        events.push(GuardEvent::PrefixClosed { prefix, hidden_digits: rule.digits, until, sample, unverified });
        until
    }

    fn sees(&self, entry: &Entry) -> bool {
        !(self.basis.shadow && entry.shadow)
    }

    fn closure_of(&mut self, entry: &Entry) -> Option<&mut Closure> {
        self.closures.get_mut(&block(entry.number, self.basis.digits))
    }

    /// The count that this entry is in.
    fn count_of(&mut self, index: u64, entry: &Entry) -> Option<&mut Count> {
        let in_window = index >= self.from;
        let count = self.counts.get_mut(&block(entry.number, self.basis.digits));
        count.filter(|count| in_window && index >= count.from)
    }
}

impl Closure {
    fn opens_at(&self) -> UnixMillis {
        match self.phase {
            Phase::Closed { until } => until,
            Phase::Trial { .. } => UnixMillis(0),
        }
    }
}

fn is_bad(rule: &ConversionRule, unverified: u32, sends: u32) -> bool {
    u64::from(unverified) * 100 > u64::from(sends) * u64::from(rule.unverified_max_percent)
}
