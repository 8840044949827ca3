//! A 128-bit id as 32 lower-case hex digits, the form of `sid` and `jti`.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::entropy::Entropy;

/// 128 bits, written as exactly 32 lower-case hex digits. An id, not a credential: `Debug` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HexId(pub [u8; 16]);

/// The text is not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 lower-case hex digits")]
pub struct NotHexId;

impl HexId {
    /// A fresh unpredictable id.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }
}

impl FromStr for HexId {
    type Err = NotHexId;

    fn from_str(text: &str) -> Result<Self, NotHexId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotHexId)?;
        bytes.try_into().map(Self).map_err(|_| NotHexId)
    }
}

impl fmt::Display for HexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for HexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HexId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_lower_case_hex_digits_are_an_id() {
        let good = "00112233445566778899aabbccddeeff";
        assert_eq!(good.parse::<HexId>().unwrap().to_string(), good);
        for bad in ["", &good[1..], "00112233445566778899AABBCCDDEEFF", "+0112233445566778899aabbccddeeff", "0x11"] {
            assert_eq!(bad.parse::<HexId>(), Err(NotHexId), "{bad:?}");
        }
    }
}
