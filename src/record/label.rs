//! Short names: dialects, purposes, channels, routes, clients.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Most characters of a [`Label`].
pub const LABEL_LEN_MAX: usize = 24;

/// A short name of `[a-z0-9_-]`, 1 to 24 characters; copied instead of allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Label {
    len: u8,
    bytes: [u8; LABEL_LEN_MAX],
}

/// The text is empty, too long or has other characters than `[a-z0-9_-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name of 1 to 24 characters of a-z, 0-9, _ and -")]
pub struct NotALabel;

impl Label {
    /// Checks and copies a name.
    pub fn new(text: &str) -> Result<Self, NotALabel> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        let mut bytes = [0; LABEL_LEN_MAX];
        let room = bytes.get_mut(..text.len()).ok_or(NotALabel)?;
        if text.is_empty() || !text.bytes().all(known) {
            return Err(NotALabel);
        }
        room.copy_from_slice(text.as_bytes());
        Ok(Self { len: u8::try_from(text.len()).map_err(|_| NotALabel)?, bytes })
    }

    /// A name known when the program is written; the build fails if it is none.
    pub const fn of(text: &'static str) -> Self {
        let source = text.as_bytes();
        assert!(!source.is_empty() && source.len() <= LABEL_LEN_MAX, "1 to 24 characters");
        let mut bytes = [0; LABEL_LEN_MAX];
        let (room, _) = bytes.split_at_mut(source.len());
        room.copy_from_slice(source);
        #[expect(clippy::cast_possible_truncation, reason = "at most 24, asserted above")]
        let len = source.len() as u8;
        Self { len, bytes }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}

impl TryFrom<String> for Label {
    type Error = NotALabel;

    fn try_from(text: String) -> Result<Self, NotALabel> {
        Self::new(&text)
    }
}

/// As text; by hand, because a record has many and `into` would allocate each.
impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
