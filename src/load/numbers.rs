//! Numbers to sign in with: mobiles that a real numbering plan has, each drawn once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::dice::Dice;

/// Iranian mobile ranges (country code and operator), seven digits follow. What passes for a real number costs the
/// server what a real one costs.
const RANGES: [u64; 20] = [
    98_910, 98_911, 98_912, 98_913, 98_914, 98_915, 98_916, 98_917, 98_918, 98_919, 98_901, 98_902, 98_903, 98_930,
    98_933, 98_935, 98_936, 98_937, 98_938, 98_939,
];

/// Numbers of one range.
const LINES: u64 = 10_000_000;

/// Most numbers there are.
pub const NUMBERS_MAX: u64 = RANGES.len() as u64 * LINES;

/// Gives each number once, neighbours far apart: numbers in a row are what an attack looks like.
#[derive(Debug)]
pub struct Numbers {
    next: AtomicU64,
    factor: u64,
    offset: u64,
}

impl Numbers {
    /// Another seed gives another order.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, u64::MAX);
        // Prime to 10^7: odd and no multiple of five, so that every line comes once.
        let factor = (dice.below(LINES / 10) * 10 + 3) % LINES;
        Self { next: AtomicU64::new(0), factor, offset: dice.below(LINES) }
    }

    /// The next number: the digits of its E.164 form. After [`NUMBERS_MAX`] they come again.
    pub fn draw(&self) -> u64 {
        self.nth(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// How many were given, those left out included.
    pub fn drawn(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Leaves out the next so many: somebody else has drawn them.
    pub fn skip(&self, count: u64) {
        self.next.fetch_add(count, Ordering::Relaxed);
    }

    fn nth(&self, nth: u64) -> u64 {
        let nth = nth % NUMBERS_MAX;
        let (range, line) = (nth % RANGES.len() as u64, nth / RANGES.len() as u64);
        let line = (line * self.factor + self.offset) % LINES;
        let range = usize::try_from(range).ok().and_then(|range| RANGES.get(range)).copied().unwrap_or(98_912);
        range * LINES + line
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_valid_far_apart_and_come_once() {
        for seed in 0..20 {
            let numbers = Numbers::new(seed);
            let drawn: HashSet<u64> = (0..20_000).map(|_| numbers.draw()).collect();
            assert_eq!(drawn.len(), 20_000);
            assert!(drawn.iter().all(|number| number / 10_000_000_000 == 98), "twelve digits from 98");
            // The whole circle: the line after the last is the first again, and none comes before.
            assert_eq!(numbers.nth(NUMBERS_MAX), numbers.nth(0));
        }
    }
}
