//! The bytes of a record at rest: `[schema u8][version u64][forget_at u64][bincode 2 body]`, big-endian.
//!
//! Stores read the header alone: the version for compare-and-set, `forget_at` for the sweep.

use super::time::UnixMillis;

/// Newest schema; what [`encode`](super::Record) writes.
pub const SCHEMA: u8 = 1;
/// Bytes before the body.
pub const HEADER_LEN: usize = 17;

/// What a store may know of a snapshot without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Layout of the body.
    pub schema: u8,
    /// Counter for compare-and-set; +1 per commit.
    pub version: u64,
    /// When the record has nothing left to remember; `None`: never.
    pub forget_at: Option<UnixMillis>,
}

impl Header {
    /// Reads the header of snapshot bytes; `None` if there are too few bytes.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let (schema, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk::<8>()?;
        let (forget_at, _) = rest.split_first_chunk::<8>()?;
        let forget_at = u64::from_be_bytes(*forget_at);
        Some(Self {
            schema: *schema,
            version: u64::from_be_bytes(*version),
            forget_at: (forget_at != u64::MAX).then_some(UnixMillis(forget_at)),
        })
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let (schema, rest) = bytes.split_at_mut(1);
        let (version, forget_at) = rest.split_at_mut(8);
        schema.copy_from_slice(&[self.schema]);
        version.copy_from_slice(&self.version.to_be_bytes());
        forget_at.copy_from_slice(&self.forget_at.map_or(u64::MAX, |at| at.0).to_be_bytes());
        bytes
    }
}
