//! A key of the store: the few bytes of it side by side, because keys are compared far more often than read.

use std::{cmp::Ordering, fmt};

/// Most bytes of a key: a number has 8, an entry of the outbox 10.
const KEY_BYTES_MAX: usize = 16;

/// A key, in the order of its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Padded with zeros.
    bytes: [u8; KEY_BYTES_MAX],
    length: u8,
}

impl Key {
    /// A key that a program of ours has made; longer ones are none.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { bytes, length: u8::try_from(key.len()).ok()? })
    }
}

impl<const N: usize> From<[u8; N]> for Key {
    fn from(key: [u8; N]) -> Self {
        const { assert!(N <= KEY_BYTES_MAX) };
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes.iter_mut().zip(key).for_each(|(to, from)| *to = from);
        #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
        let length = N as u8;
        Self { bytes, length }
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl Ord for Key {
    /// As the bytes would compare: a zero that is padding comes before the same zero as a byte.
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |key: &Self| (u128::from_be_bytes(key.bytes), key.length);
        number(self).cmp(&number(other))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Key {
    /// Keys are numbers of people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_bytes_do() {
        let texts: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"ab", b"\xFF\x01"];
        for (at, one) in texts.iter().enumerate() {
            for (beside, other) in texts.iter().enumerate() {
                assert_eq!(Key::new(one).cmp(&Key::new(other)), at.cmp(&beside), "{one:?} {other:?}");
            }
            assert_eq!(Key::new(one).unwrap().as_ref(), *one);
        }
        assert_eq!(Key::from(*b"ab"), Key::new(b"ab").unwrap());
        assert_eq!(Key::new(&[0; 17]), None);
    }
}
