//! `api.keys`: the back ends that may call us, by digests of their keys (contract: Callers).
//!
//! A key is `sk_` and 32 random bytes in base64url, shown once, when it is made. With 256 random bits a plain
//! SHA-256 is one-way enough; a password hash would only make every call slow.
//!
//! The running server looks at the file's stamp at most once per [`RECHECK`] and reads it again when it
//! changed: a revoked key is refused within a second. A file that went bad changes nothing but the log.

use std::{
    collections::HashMap,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    KeyFault,
    key_file::{Edit, KeyFile, SecretBytes, Stamp, rfc3339},
};
use crate::{entropy::Entropy, record::UnixMillis};

/// Least time between two looks at the file: bounds both the cost and the life of a revoked key.
pub const RECHECK: Duration = Duration::from_secs(1);

/// Most keys in the file, revoked ones included (the oldest of those make room): one per back end and its
/// successor, with much to spare.
pub const API_KEYS_MAX: usize = 1_000;

/// Most characters of a key's name.
const NAME_CHARS_MAX: usize = 64;

/// What every secret starts with, so that scanners of leaked secrets know it.
const SECRET_PREFIX: &str = "sk_";

/// Characters of a secret: the prefix and 32 bytes in base64url.
const SECRET_CHARS: usize = 46;

/// The format this version writes.
const FORMAT: u8 = 1;

/// What a key may do beyond what every key may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// `/v1/admin/…`
    Admin,
}

/// The scope is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the only scope is admin")]
pub struct UnknownScope;

/// Who called: the owner of an API key. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `key_…`, as in logs and in `client_id`.
    pub id: Arc<str>,
    /// What it may do beyond what every key may.
    pub scopes: Arc<[Scope]>,
}

/// A key as the CLI shows it: neither secret nor digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `key_` and 16 hex digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do beyond what every key may.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMillis>,
}

/// The keys of the file, kept up to date.
#[derive(Debug)]
pub struct ApiKeys {
    file: KeyFile,
    live: RwLock<Arc<Live>>,
    watch: Mutex<Watch>,
}

/// The callers that are not revoked, by digest.
type Live = HashMap<[u8; 32], Caller>;

#[derive(Debug)]
struct Watch {
    looked_at: Instant,
    seen: Option<Stamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u8,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    #[serde(with = "rfc3339")]
    created_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Revoked>,
    digest: SecretBytes,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Revoked(#[serde(with = "rfc3339")] UnixMillis);

impl ApiKeys {
    /// Reads the file at `path`. No file is no keys; a file that can't be used is refused.
    pub fn open(path: &Path) -> Result<Self, KeyFault> {
        let keys = Self {
            file: KeyFile::new(path),
            live: RwLock::default(),
            watch: Mutex::new(Watch { looked_at: Instant::now(), seen: None }),
        };
        let (content, stamp) = keys.read()?;
        keys.put_live(&content);
        keys.lock_watch().seen = stamp;
        Ok(keys)
    }

    /// The caller whose key this is, unless it was revoked. May stat the file, and read it if it changed:
    /// well under a millisecond, once a second at most.
    pub fn authenticate(&self, secret: &str) -> Option<Caller> {
        self.look_again();
        if secret.len() != SECRET_CHARS || !secret.starts_with(SECRET_PREFIX) {
            return None;
        }
        let digest = digest(secret);
        let live = Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner));
        let (known, caller) = live.get_key_value(&digest)?;
        // The map has found the digest, of which a caller can't choose a bit; this is the check that counts.
        bool::from(known.ct_eq(&digest)).then(|| caller.clone())
    }

    /// Makes a key and returns its secret, which nobody can be shown again.
    pub fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Result<(ApiKey, SecretString), KeyFault> {
        let named = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !named {
            return Err(KeyFault::Name);
        }
        let secret = draw_secret(entropy);
        let digest = SecretBytes(Zeroizing::new(digest(&secret).to_vec()));
        let id = format!("key_{:016x}", entropy.draw());
        let (name, scopes) = (name.to_owned(), scopes.to_vec());
        let entry = Entry { id, name, scopes, created_at: now, revoked_at: None, digest };
        let key = entry.key();
        self.edit(|content| {
            self.make_room(content)?;
            content.keys.push(entry);
            Ok(Edit::Write(()))
        })?;
        Ok((key, SecretString::from(secret.as_str())))
    }

    /// All keys of the file, oldest first.
    pub fn list(&self) -> Result<Vec<ApiKey>, KeyFault> {
        Ok(self.read()?.0.keys.iter().map(Entry::key).collect())
    }

    /// Ends a key. One that was revoked before stays as it is.
    pub fn revoke(&self, id: &str, now: UnixMillis) -> Result<ApiKey, KeyFault> {
        self.edit(|content| {
            let entry = content.keys.iter_mut().find(|entry| entry.id == id).ok_or(KeyFault::NotFound)?;
            let fresh = entry.revoked_at.is_none();
            entry.revoked_at.get_or_insert(Revoked(now));
            Ok(if fresh { Edit::Write(entry.key()) } else { Edit::Keep(entry.key()) })
        })
    }

    fn edit<R>(&self, change: impl FnOnce(&mut Content) -> Result<Edit<R>, KeyFault>) -> Result<R, KeyFault> {
        let answer = self.file.edit(|content| {
            self.check(content)?;
            change(content)
        })?;
        self.reload(&mut self.lock_watch());
        Ok(answer)
    }

    /// One thread at a time looks; the others go on with what is known.
    fn look_again(&self) {
        let Ok(mut watch) = self.watch.try_lock() else { return };
        if watch.looked_at.elapsed() >= RECHECK {
            watch.looked_at = Instant::now();
            self.reload(&mut watch);
        }
    }

    /// Takes over the file if it changed. A bad one is told once and changes nothing; a look that failed is
    /// repeated.
    fn reload(&self, watch: &mut Watch) {
        let now = match self.file.stamp() {
            Ok(now) if now == watch.seen => return,
            Ok(now) => now,
            Err(fault) => return tracing::error!(%fault, "api keys not re-read: the last good ones stay"),
        };
        match self.read() {
            Ok((content, stamp)) => {
                self.put_live(&content);
                watch.seen = stamp;
                tracing::info!(keys = content.keys.len(), "api keys re-read");
            }
            Err(fault) => {
                if !matches!(fault, KeyFault::Io { .. }) {
                    watch.seen = now;
                }
                tracing::error!(%fault, "api keys not re-read: the last good ones stay");
            }
        }
    }

    fn read(&self) -> Result<(Content, Option<Stamp>), KeyFault> {
        let Some((content, stamp)) = self.file.read::<Content>()? else { return Ok((Content::default(), None)) };
        self.check(&content)?;
        Ok((content, Some(stamp)))
    }

    fn put_live(&self, content: &Content) {
        let live = content.keys.iter().filter(|entry| entry.revoked_at.is_none()).filter_map(Entry::caller);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live.collect());
    }

    fn lock_watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, content: &mut Content) -> Result<(), KeyFault> {
        if content.keys.len() < API_KEYS_MAX {
            return Ok(());
        }
        let oldest = content.keys.iter().position(|entry| entry.revoked_at.is_some());
        content.keys.remove(oldest.ok_or_else(|| self.file.full(API_KEYS_MAX))?);
        Ok(())
    }

    fn check(&self, content: &Content) -> Result<(), KeyFault> {
        if content.version != FORMAT {
            return Err(self.file.malformed("a version this program does not know"));
        }
        if content.keys.len() > API_KEYS_MAX {
            return Err(self.file.full(API_KEYS_MAX));
        }
        let mut seen = std::collections::HashSet::new();
        for entry in &content.keys {
            if !seen.insert(entry.id.as_str()) {
                return Err(self.file.malformed("an id twice"));
            }
            if entry.caller().is_none() {
                return Err(self.file.malformed("a digest that is not 32 bytes"));
            }
        }
        Ok(())
    }
}

impl Caller {
    /// Whether the key has the scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl Entry {
    fn key(&self) -> ApiKey {
        let Self { id, name, scopes, created_at, revoked_at, digest: _ } = self;
        ApiKey {
            id: id.clone(),
            name: name.clone(),
            scopes: scopes.clone(),
            created_at: *created_at,
            revoked_at: revoked_at.map(|Revoked(at)| at),
        }
    }

    fn caller(&self) -> Option<([u8; 32], Caller)> {
        let digest = self.digest.0.as_slice().try_into().ok()?;
        Some((digest, Caller { id: self.id.as_str().into(), scopes: self.scopes.as_slice().into() }))
    }
}

impl Default for Content {
    fn default() -> Self {
        Self { version: FORMAT, keys: Vec::new() }
    }
}

impl Scope {
    /// The name in the file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        if name == Self::Admin.name() { Ok(Self::Admin) } else { Err(UnknownScope) }
    }
}

fn draw_secret(entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_CHARS));
    secret.push_str(SECRET_PREFIX);
    URL_SAFE_NO_PAD.encode_string(*bytes, &mut secret);
    secret
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
