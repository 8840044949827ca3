//! `sealing.keys`: the secrets that ids, codes and refresh tokens are derived from (security 59).
//!
//! Owns the file and its rotation. Never derives anything: `record` makes its subkeys from these.
//!
//! New things are sealed with the current secret and name its id; older secrets still open what they sealed.
//! An id is never given twice, so nothing can be opened with a secret it was not sealed with. Removing a
//! secret ends every session and open code that was sealed with it. A running server reads the file once, at
//! its start: restart it after an edit.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    KeyFault,
    key_file::{Edit, KeyFile, SecretBytes, rfc3339},
};
use crate::{entropy::Entropy, record::UnixMillis};

/// Most secrets in the file: each is tried by id, so this bounds the file, not the work.
const SEALING_KEYS_MAX: usize = 64;

/// The format this version writes.
const FORMAT: u8 = 1;

/// 256 random bits and the id that sealed things name. Wiped on drop; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingSecret {
    /// Names it in what it sealed.
    pub id: u16,
    /// The secret.
    pub secret: Zeroizing<[u8; 32]>,
}

/// A sealing secret as the CLI shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealingInfo {
    /// Its id.
    pub id: u16,
    /// True for the one that seals; the others only open.
    pub current: bool,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// The file, for the start and for the CLI. Each call reads it afresh.
#[derive(Debug)]
pub struct SealingKeyFile {
    file: KeyFile,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u8,
    /// The id of the next secret. Only ever grows.
    next_id: u16,
    /// Oldest first.
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u16,
    state: State,
    #[serde(with = "rfc3339")]
    created_at: UnixMillis,
    secret: SecretBytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Current,
    OpenOnly,
}

impl SealingKeyFile {
    /// The file at `path`; nothing is read yet.
    pub fn new(path: &Path) -> Self {
        Self { file: KeyFile::new(path) }
    }

    /// All secrets, the current one first, then the newer before the older. Makes the file with a first
    /// secret if there is none; a file without secrets is refused, because making another would silently
    /// end every session.
    pub fn open(&self, now: UnixMillis, entropy: &dyn Entropy) -> Result<Vec<SealingSecret>, KeyFault> {
        let content = match self.file.read::<Content>()? {
            Some((content, _)) => content,
            None => {
                self.file.edit(|content: &mut Content| {
                    // Looked at again under the lock: another process may have started at the same moment.
                    if content.keys.is_empty() && content.next_id == 1 {
                        self.add(content, now, entropy)?;
                        return Ok(Edit::Write(()));
                    }
                    Ok(Edit::Keep(()))
                })?;
                self.file.read::<Content>()?.ok_or(KeyFault::NotFound)?.0
            }
        };
        self.check(&content)?;
        if content.keys.is_empty() {
            return Err(self.file.malformed("no secret in it"));
        }
        content.keys.iter().rev().map(|entry| self.secret(entry)).collect()
    }

    /// All secrets without the secret, oldest first. Empty if there is no file yet.
    pub fn list(&self) -> Result<Vec<SealingInfo>, KeyFault> {
        let content = self.file.read::<Content>()?.map(|(content, _)| content).unwrap_or_default();
        self.check(&content)?;
        Ok(content.keys.iter().map(Entry::info).collect())
    }

    /// Makes a new current secret; the others only open from now on.
    pub fn rotate(&self, now: UnixMillis, entropy: &dyn Entropy) -> Result<SealingInfo, KeyFault> {
        self.file.edit(|content: &mut Content| {
            self.check(content)?;
            let info = self.add(content, now, entropy)?;
            Ok(Edit::Write(info))
        })
    }

    /// Takes a secret out for good, with all it sealed. The current one is refused.
    pub fn remove(&self, id: u16) -> Result<(), KeyFault> {
        self.file.edit(|content: &mut Content| {
            self.check(content)?;
            let place = content.keys.iter().position(|entry| entry.id == id).ok_or(KeyFault::NotFound)?;
            if content.keys.remove(place).state == State::Current {
                return Err(KeyFault::InUse);
            }
            Ok(Edit::Write(()))
        })
    }

    fn add(&self, content: &mut Content, now: UnixMillis, entropy: &dyn Entropy) -> Result<SealingInfo, KeyFault> {
        if content.keys.len() >= SEALING_KEYS_MAX {
            return Err(self.file.full(SEALING_KEYS_MAX));
        }
        let id = content.next_id;
        content.next_id = id.checked_add(1).ok_or_else(|| self.file.malformed("no ids left"))?;
        let mut secret = Zeroizing::new(vec![0; 32]);
        entropy.fill(&mut secret);
        for entry in &mut content.keys {
            entry.state = State::OpenOnly;
        }
        let entry = Entry { id, state: State::Current, created_at: now, secret: SecretBytes(secret) };
        let info = entry.info();
        content.keys.push(entry);
        Ok(info)
    }

    fn secret(&self, entry: &Entry) -> Result<SealingSecret, KeyFault> {
        let bytes: &[u8; 32] =
            entry.secret.0.as_slice().try_into().map_err(|_| self.file.malformed("a secret that is not 32 bytes"))?;
        Ok(SealingSecret { id: entry.id, secret: Zeroizing::new(*bytes) })
    }

    /// Ids rise and stay below the next one; exactly the last is current.
    fn check(&self, content: &Content) -> Result<(), KeyFault> {
        if content.version != FORMAT {
            return Err(self.file.malformed("a version this program does not know"));
        }
        if content.keys.len() > SEALING_KEYS_MAX {
            return Err(self.file.full(SEALING_KEYS_MAX));
        }
        let ids = content.keys.iter().map(|entry| entry.id).chain([content.next_id]);
        let rising = ids.clone().zip(ids.skip(1)).all(|(earlier, later)| earlier < later);
        if !rising {
            return Err(self.file.malformed("ids are not rising"));
        }
        let current = content.keys.iter().rev().map(|entry| entry.state == State::Current);
        if !current.eq((0..content.keys.len()).map(|place| place == 0)) {
            return Err(self.file.malformed("not exactly the last secret is the current one"));
        }
        content.keys.iter().try_for_each(|entry| self.secret(entry).map(drop))
    }
}

impl Default for Content {
    fn default() -> Self {
        Self { version: FORMAT, next_id: 1, keys: Vec::new() }
    }
}

impl Entry {
    fn info(&self) -> SealingInfo {
        SealingInfo { id: self.id, current: self.state == State::Current, created_at: self.created_at }
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingSecret({}, ***)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    };

    use super::*;
    use crate::entropy::OsEntropy;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_123);

    fn put(path: &Path, text: &str) {
        use std::io::Write as _;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// security 59: the new secret seals, the older opens until it is removed; ids are not given again.
    #[test]
    fn rotation_keeps_the_older_secret_and_never_repeats_an_id() {
        let home = tempfile::tempdir().unwrap();
        let file = SealingKeyFile::new(&home.path().join("data/sealing.keys"));
        assert_eq!(file.list().unwrap(), []);
        let first = file.open(NOW, &OsEntropy).unwrap();
        assert_eq!(file.open(NOW, &OsEntropy).unwrap(), first, "the same over restarts");
        assert_ne!(*first[0].secret, [0; 32]);

        assert_eq!(file.rotate(NOW, &OsEntropy).unwrap(), SealingInfo { id: 2, current: true, created_at: NOW });
        let both = file.open(NOW, &OsEntropy).unwrap();
        assert_eq!(both.iter().map(|key| key.id).collect::<Vec<_>>(), [2, 1], "current first");
        assert_eq!(both[1], first[0]);
        assert_ne!(both[0].secret, both[1].secret);

        assert!(matches!(file.remove(2), Err(KeyFault::InUse)));
        assert!(matches!(file.remove(9), Err(KeyFault::NotFound)));
        file.remove(1).unwrap();
        file.rotate(NOW, &OsEntropy).unwrap();
        file.remove(2).unwrap();
        assert_eq!(file.rotate(NOW, &OsEntropy).unwrap().id, 4);
        assert_eq!(
            file.list().unwrap().iter().map(|key| (key.id, key.current)).collect::<Vec<_>>(),
            [(3, false), (4, true)]
        );
    }

    /// security 124: modes of what is made at first start. And two first starts come out as one secret.
    #[test]
    fn concurrent_first_starts_agree() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data/sealing.keys");
        let all: Vec<_> = std::thread::scope(|scope| {
            let start = || SealingKeyFile::new(&path).open(NOW, &OsEntropy).unwrap();
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(all.iter().all(|secrets| *secrets == all[0] && secrets.len() == 1));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn edited_files_that_break_a_rule_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sealing.keys");
        let file = SealingKeyFile::new(&path);
        file.open(NOW, &OsEntropy).unwrap();
        file.rotate(NOW, &OsEntropy).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        assert!(good.contains("\"created_at\": \"2026-09-21T14:13:20.123Z\""), "readable times");
        let secret = good.split("\"secret\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"version\": 1", "\"version\": 1, \"colour\": 3"),
            ("\"next_id\": 3", "\"next_id\": 2"),
            ("\"id\": 1,", "\"id\": 2,"),
            ("\"open_only\"", "\"current\""),
            ("\"current\"", "\"open_only\""),
            (&secret, "c2hvcnQ"),
            (&secret, "not base64!"),
        ] {
            assert!(good.contains(from));
            put(&path, &good.replacen(from, to, 1));
            let fault = file.open(NOW, &OsEntropy).unwrap_err();
            assert!(matches!(fault, KeyFault::Malformed { .. }), "{to}: {fault}");
            assert!(file.rotate(NOW, &OsEntropy).is_err(), "{to}: and no edit goes over it");
        }
        put(&path, r#"{"version":1,"next_id":1,"keys":[]}"#);
        assert!(file.open(NOW, &OsEntropy).is_err(), "emptied by hand: not refilled in silence");
    }

    /// security 120.
    #[test]
    fn secrets_hide_in_debug() {
        let secret = SealingSecret { id: 7, secret: Zeroizing::new([0xAB; 32]) };
        assert_eq!(format!("{secret:?}"), "SealingSecret(7, ***)");
    }
}
