//! `signing.keys`: the file format, and what `otpd keys list | rotate | remove` does to it.
//!
//! A running server has read the file at its start and reads it no more: restart it after an edit.
//!
//! ```text
//!            rotate(algorithm)                  remove(kid)
//!   active ---------------------> verify only ---------------> gone, and its tokens with it
//! ```
//!
//! At most one key of an algorithm is active. Remove a verify-only key once the longest life of its tokens
//! is over, at once if it leaked.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    Algorithm, KID_BYTES_MAX, KeyFault,
    key_file::{Edit, KeyFile, SecretBytes, rfc3339},
};
use crate::{entropy::Entropy, record::UnixMillis};

/// Most keys in the file. A rotation a month with keys kept for a month needs three.
const SIGNING_KEYS_MAX: usize = 64;

/// The format this version writes.
const FORMAT: u8 = 1;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Signs and verifies.
    Active,
    /// Verifies what it signed before.
    Verify,
}

/// A signing key as the CLI shows it: no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id, as in tokens.
    pub kid: String,
    /// The one algorithm it is good for.
    pub algorithm: Algorithm,
    /// What it may do.
    pub state: KeyState,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// The file, for the CLI. Each call reads it afresh and replaces it whole.
#[derive(Debug)]
pub struct SigningKeyFile {
    file: KeyFile,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    version: u8,
    pub(super) keys: Vec<Entry>,
}

/// One key in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) state: KeyState,
    #[serde(with = "rfc3339")]
    pub(super) created_at: UnixMillis,
    pub(super) private: SecretBytes,
}

impl SigningKeyFile {
    /// The file at `path`; nothing is read yet.
    pub fn new(path: &Path) -> Self {
        Self { file: KeyFile::new(path) }
    }

    /// All keys, oldest first. Empty if there is no file yet.
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeyFault> {
        let content = self.read()?;
        Ok(content.keys.iter().map(Entry::info).collect())
    }

    /// Makes a new active key; the one that was active verifies from now on.
    pub fn rotate(&self, algorithm: Algorithm, now: UnixMillis, entropy: &dyn Entropy) -> Result<KeyInfo, KeyFault> {
        self.file.edit(|content: &mut Content| {
            self.check(content)?;
            let info = self.add(content, algorithm, now, entropy)?;
            Ok(Edit::Write(info))
        })
    }

    /// Takes a key out for good: every token it signed is refused after the restart. The active key of
    /// `in_use`, the configured algorithm, and of HS512 is refused: rotate first.
    pub fn remove(&self, kid: &str, in_use: Algorithm) -> Result<(), KeyFault> {
        self.file.edit(|content: &mut Content| {
            self.check(content)?;
            let place = content.keys.iter().position(|entry| entry.kid == kid).ok_or(KeyFault::NotFound)?;
            let entry = content.keys.remove(place);
            let needed = entry.algorithm == in_use || entry.algorithm == Algorithm::Hs512;
            if entry.state == KeyState::Active && needed {
                return Err(KeyFault::InUse);
            }
            Ok(Edit::Write(()))
        })
    }

    /// The keys, with an active one of each algorithm `needed`: missing ones are made and are durable before
    /// this returns.
    pub(super) fn load(
        &self,
        needed: &[Algorithm],
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Result<Content, KeyFault> {
        let content = self.read()?;
        let complete = |content: &Content| needed.iter().all(|&algorithm| content.active(algorithm).is_some());
        if complete(&content) {
            return Ok(content);
        }
        self.file.edit(|content: &mut Content| {
            self.check(content)?;
            // Looked at again under the lock: another process may have started at the same moment.
            for &algorithm in needed {
                if content.active(algorithm).is_none() {
                    self.add(content, algorithm, now, entropy)?;
                }
            }
            Ok(Edit::Write(()))
        })?;
        self.read()
    }

    /// A fault about the file's content.
    pub(super) fn malformed(&self, detail: &str) -> KeyFault {
        self.file.malformed(detail)
    }

    fn read(&self) -> Result<Content, KeyFault> {
        let content = self.file.read()?.map(|(content, _)| content).unwrap_or_default();
        self.check(&content)?;
        Ok(content)
    }

    fn add(
        &self,
        content: &mut Content,
        algorithm: Algorithm,
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Result<KeyInfo, KeyFault> {
        if content.keys.len() >= SIGNING_KEYS_MAX {
            return Err(self.file.full(SIGNING_KEYS_MAX));
        }
        let private = SecretBytes(algorithm.generate(entropy)?);
        for entry in content.keys.iter_mut().filter(|entry| entry.algorithm == algorithm) {
            entry.state = KeyState::Verify;
        }
        let kid = format!("{:016x}", entropy.draw());
        let entry = Entry { kid, algorithm, state: KeyState::Active, created_at: now, private };
        let info = entry.info();
        content.keys.push(entry);
        Ok(info)
    }

    fn check(&self, content: &Content) -> Result<(), KeyFault> {
        if content.version != FORMAT {
            return Err(self.malformed("a version this program does not know"));
        }
        if content.keys.len() > SIGNING_KEYS_MAX {
            return Err(self.file.full(SIGNING_KEYS_MAX));
        }
        for (place, entry) in content.keys.iter().enumerate() {
            let earlier = || content.keys.iter().take(place);
            if !is_kid(&entry.kid) {
                return Err(self.malformed("a kid that is not 1 to 64 of A-Z a-z 0-9 - _"));
            }
            if earlier().any(|other| other.kid == entry.kid) {
                return Err(self.malformed("a kid twice"));
            }
            let active = |other: &Entry| other.state == KeyState::Active;
            if active(entry) && earlier().any(|other| active(other) && other.algorithm == entry.algorithm) {
                return Err(self.malformed("two active keys of one algorithm"));
            }
        }
        Ok(())
    }
}

impl Content {
    fn active(&self, algorithm: Algorithm) -> Option<&Entry> {
        self.keys.iter().find(|entry| entry.algorithm == algorithm && entry.state == KeyState::Active)
    }
}

impl Default for Content {
    fn default() -> Self {
        Self { version: FORMAT, keys: Vec::new() }
    }
}

impl Entry {
    pub(super) fn info(&self) -> KeyInfo {
        let Self { kid, algorithm, state, created_at, private: _ } = self;
        KeyInfo { kid: kid.clone(), algorithm: *algorithm, state: *state, created_at: *created_at }
    }
}

/// Whether a text can be a key id at all: short, and without anything a path or a query could be made of.
pub(super) fn is_kid(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=KID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}
