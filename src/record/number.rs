//! The phone number: the one canonical value that keys actors, records, limits and sends.
//!
//! A [`PhoneNumber`] holds digits only and never knows how a person typed it; turning typed text into
//! one is `service::number`'s work.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A canonical E.164 number: 4 to 15 decimal digits, the first of them 1–9, kept as an integer.
///
/// An integer because no E.164 number starts with 0, so it is exact, takes 8 bytes in every map,
/// and fits the 50 bits that self-routing ids have for it. `Debug` and `Display` are masked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PhoneNumber(u64);

/// Fewest digits of a number with its country code. ITU-T E.164 names none; real ones have at least
/// seven, and shorter values are kept out of reach of made-up ids.
const DIGITS_MIN: u32 = 7;
/// Most digits of a number with its country code (ITU-T E.164).
const DIGITS_MAX: u32 = 15;

/// The value is not 7 to 15 digits that start with 1–9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an E.164 number")]
pub struct NotE164;

impl PhoneNumber {
    /// Parses canonical text: `+` and 7 to 15 ASCII digits, the first 1–9. Nothing else is accepted.
    pub fn from_e164(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.starts_with('0') {
            return Err(NotE164);
        }
        digits.parse::<u64>().map_err(|_| NotE164)?.try_into()
    }

    /// The digits as an integer, below 10^15, so within 50 bits.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Big-endian bytes: the key of the record in every store, so a scan is in numeric order.
    pub fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads a store's key back; `None` if it is no number.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        u64::from_be_bytes(key.try_into().ok()?).try_into().ok()
    }

    /// Full canonical text, `+989123456789`. For providers, tokens and the owner alone: never log it.
    pub fn to_e164(self) -> String {
        ["+", &self.0.to_string()].concat()
    }

    /// Text fit for logs and answers, `+98******6789`: first two and last four digits.
    pub fn masked(self) -> String {
        let mut text = self.to_e164();
        // A plus and at least seven digits, all of them ASCII.
        let hidden = 3..text.len() - 4;
        let stars = "*".repeat(hidden.len());
        text.replace_range(hidden, &stars);
        text
    }
}

impl TryFrom<u64> for PhoneNumber {
    type Error = NotE164;

    fn try_from(digits: u64) -> Result<Self, NotE164> {
        let in_range = (10_u64.pow(DIGITS_MIN - 1)..10_u64.pow(DIGITS_MAX)).contains(&digits);
        if in_range { Ok(Self(digits)) } else { Err(NotE164) }
    }
}

impl From<PhoneNumber> for u64 {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}
