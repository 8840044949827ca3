//! What a message costs: the longest prefix that has a price.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde::Serialize;

use super::money::Micros;
use crate::record::{Label, PhoneNumber};

/// Digits of a prefix, and the digits as a number.
type Prefix = (u8, u64);

/// Prices by prefix and channel, and one for all others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Prices {
    /// For a destination without a row.
    default: Micros,
    /// Without a channel: for every channel that has no row of its own.
    rows: BTreeMap<(Prefix, Option<Label>), Micros>,
    /// Lengths that occur, so that a look-up tries no other.
    lengths: BTreeSet<u8>,
}

impl Prices {
    /// A table with a price for destinations that have no row.
    pub fn new(default: Micros) -> Self {
        Self { default, ..Self::default() }
    }

    /// Adds a row. `prefix`: 1 to 15 digits of E.164 without `+`; false if it is none, or has a row already.
    pub fn add(&mut self, prefix: &str, channel: Option<Label>, price: Micros) -> bool {
        let is_prefix = (1..=15).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let (true, Ok(digits), Ok(length)) = (is_prefix, prefix.parse(), u8::try_from(prefix.len())) else {
            return false;
        };
        self.lengths.insert(length);
        let row = self.rows.entry(((length, digits), channel));
        let is_new = matches!(row, Entry::Vacant(_));
        row.or_insert(price);
        is_new
    }

    /// The price of one part to this number by this channel. The longest prefix goes first, then the channel's own row.
    pub fn of(&self, number: PhoneNumber, channel: Label) -> Micros {
        let digits = number.as_u64();
        let length = u8::try_from(digits.checked_ilog10().unwrap_or(0) + 1).unwrap_or(u8::MAX);
        for prefix_length in self.lengths.iter().rev().filter(|it| **it <= length) {
            let hidden = 10_u64.checked_pow(u32::from(length - prefix_length)).unwrap_or(u64::MAX);
            let prefix = (*prefix_length, digits / hidden);
            for channel in [Some(channel), None] {
                if let Some(price) = self.rows.get(&(prefix, channel)) {
                    return *price;
                }
            }
        }
        self.default
    }

    /// True if every message is free.
    pub fn is_free(&self) -> bool {
        self.default == Micros(0) && self.rows.values().all(|price| *price == Micros(0))
    }
}
