//! Money in millionths of one currency, exactly: no fraction of a computer's is ever involved.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Millionths in one unit of the currency.
const UNIT: u64 = 1_000_000;
/// Decimal places kept.
const PLACES: usize = 6;
/// Most digits before the point: far above any budget, and far from overflow.
const WHOLE_DIGITS_MAX: usize = 12;

/// An amount in millionths of the currency. Sums saturate: too much money is refused like any amount above a budget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Micros(pub u64);

/// The text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount as in 0.0451, with at most six decimal places")]
pub struct NotMoney;

impl Micros {
    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; zero if `other` is more.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many times the amount.
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// True if this is at least `percent` of `whole`.
    pub fn reaches(self, percent: u64, whole: Self) -> bool {
        u128::from(self.0) * 100 >= u128::from(whole.0) * u128::from(percent)
    }
}

impl FromStr for Micros {
    type Err = NotMoney;

    /// `12`, `0.0451`; no sign, no exponent, no other separator.
    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, WHOLE_DIGITS_MAX) || !digits(places, PLACES) {
            return Err(NotMoney);
        }
        let whole: u64 = whole.parse().map_err(|_| NotMoney)?;
        let places: u64 = format!("{places:0<PLACES$}").parse().map_err(|_| NotMoney)?;
        Ok(Self(whole * UNIT + places))
    }
}

impl fmt::Display for Micros {
    /// As it is parsed, without zeroes at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, places) = (self.0 / UNIT, format!("{:06}", self.0 % UNIT));
        match places.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            places => write!(f, "{whole}.{places}"),
        }
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
