//! Sends per block of numbers that were not verified, over a sliding window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    policy::{Level, Mode, VelocityRule},
    send_log::{Entry, Fate, SendLog},
};
use crate::record::{Millis, UnixMillis};

/// The block of a number: the number without its last digits, and how many these are.
pub(super) fn block(number: u64, digits: u8) -> u64 {
    number / 10_u64.checked_pow(u32::from(digits)).unwrap_or(u64::MAX)
}

/// What is counted at one level.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Count {
    digits: u8,
    window_ms: Millis,
    /// Counts as if what a `record_only` rule found had not been sent.
    shadow: bool,
    /// The first entry of the log that is still in the window.
    from: u64,
    /// Unverified sends from there on, by block.
    blocks: BTreeMap<u64, u32>,
}

/// The counts of all levels, in the policy's order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Velocity {
    counts: Vec<Count>,
}

impl Velocity {
    /// Counts for this rule, kept where they were made for the same figures, else made from the log.
    pub(super) fn fit(&mut self, rule: &VelocityRule, log: &SendLog) {
        let shadow = rule.mode == Mode::RecordOnly;
        let levels: &[Level] = if rule.mode.looks() { &rule.levels } else { &[] };
        let fits = |count: &&Count, level: &Level| {
            (count.digits, count.window_ms, count.shadow) == (level.digits, level.window_ms, shadow)
        };
        let counts = levels.iter().map(|level| {
            let kept = self.counts.iter().find(|count| fits(count, level)).cloned();
            kept.unwrap_or_else(|| Count::of(level, shadow, log))
        });
        self.counts = counts.collect();
    }

    /// Lets go of what has left the windows.
    pub(super) fn advance(&mut self, log: &SendLog, at: UnixMillis) {
        for count in &mut self.counts {
            while let Some(entry) = log.get(count.from).filter(|entry| at.since(entry.at) >= count.window_ms) {
                count.drop(count.from, entry);
                count.from += 1;
            }
        }
    }

    /// Lets go of the log's oldest entry, whatever its age.
    pub(super) fn forget_oldest(&mut self, log: &SendLog) {
        let (first, Some(entry)) = (log.first(), log.oldest()) else { return };
        for count in self.counts.iter_mut().filter(|count| count.from <= first) {
            count.drop(first, entry);
            count.from = first + 1;
        }
    }

    /// When a send to this number would have room again at the latest; `None` if it has.
    pub(super) fn full(&self, rule: &VelocityRule, number: u64, at: UnixMillis) -> Option<UnixMillis> {
        let full = self.counts.iter().zip(&rule.levels).filter(|(count, level)| {
            count.blocks.get(&block(number, level.digits)).is_some_and(|sends| *sends >= level.max)
        });
        full.map(|(count, _)| at.plus(count.window_ms)).max()
    }

    /// Counts a new entry of the log.
    pub(super) fn add(&mut self, entry: &Entry) {
        for count in self.counts.iter_mut().filter(|count| count.sees(entry)) {
            *count.blocks.entry(block(entry.number, count.digits)).or_default() += 1;
        }
    }

    /// Gives an entry's count back. `entry` is as it was before.
    pub(super) fn give_back(&mut self, index: u64, entry: &Entry) {
        for count in &mut self.counts {
            count.drop(index, entry);
        }
    }
}

impl Count {
    fn of(level: &Level, shadow: bool, log: &SendLog) -> Self {
        let Level { digits, window_ms, .. } = *level;
        let mut count = Self { digits, window_ms, shadow, from: log.first(), blocks: BTreeMap::new() };
        for entry in (log.first()..log.next()).filter_map(|index| log.get(index)) {
            if count.sees(entry) && entry.fate == Fate::Unverified {
                *count.blocks.entry(block(entry.number, digits)).or_default() += 1;
            }
        }
        count
    }

    fn sees(&self, entry: &Entry) -> bool {
        !(self.shadow && entry.shadow)
    }

    fn drop(&mut self, index: u64, entry: &Entry) {
        if index < self.from || !self.sees(entry) || entry.fate != Fate::Unverified {
            return;
        }
        let block = block(entry.number, self.digits);
        if let Some(sends) = self.blocks.get_mut(&block) {
            *sends = sends.saturating_sub(1);
            if *sends == 0 {
                self.blocks.remove(&block);
            }
        }
    }
}
