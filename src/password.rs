//! Passwords: argon2id on a bounded pool, so that a flood of sign-ins cannot take the memory or the processor.
//!
//! A [`Hasher`] has so many places at once; a few callers may wait for one, everyone beyond is refused at once. Memory
//! stays under places × [`PasswordSettings::memory_kib`]: it is passed on from hash to hash while there is a crowd,
//! because an allocator takes its time to give back what each of many threads has freed. Never logs a password and
//! never keeps one; whether a number has a password, and how often it was tried, is its record's to know.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ::metrics::{Counter, counter};
use argon2::{Algorithm, Argon2, Block, Params, Version, password_hash::phc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::{entropy::Entropy, metrics, record::PasswordHash};

/// Fewest characters of a password (NIST SP 800-63B, ASVS 6.2.1).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Bytes of a salt; what the crate and the PHC form recommend.
const SALT_BYTES: usize = 16;

/// What a hash costs, and how many are made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Memory of one hash in KiB. Default 19,456 (19 MiB): OWASP's minimum for two passes.
    pub memory_kib: u32,
    /// Passes over the memory. Default 2.
    pub passes: u32,
    /// Hashes made at once. Default 2: one per core of a small machine.
    pub places: usize,
    /// Callers that may wait for a place. Default 32: at 40 ms each the last one waits less than a second.
    pub waiting_max: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST, places: 2, waiting_max: 32 }
    }
}

/// The figures are none that argon2 can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("argon2 cannot work with this much memory and so many passes")]
pub struct BadFigures;

/// As many callers as allowed wait for a place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many passwords as allowed are being hashed")]
pub struct PoolFull;

/// Hashing failed; nothing was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password could not be hashed")]
pub struct HashFault;

/// A password as it was typed. Wiped when dropped; `Debug` hides it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes it as it is: nothing is trimmed, folded or cut.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Has it fewer than [`PASSWORD_CHARS_MIN`] characters?
    pub fn is_short(&self) -> bool {
        self.0.chars().nth(PASSWORD_CHARS_MIN - 1).is_none()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Makes and compares hashes. Cheap to clone; clones share the places.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    entropy: Arc<dyn Entropy>,
    admitted: Arc<Semaphore>,
    admitted_max: usize,
    overloaded: Counter,
    places: Arc<Semaphore>,
    /// What hashes that have ended worked in, for those that begin: at most one of each place.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
    /// Of a password nobody has: compared with when there is none, so that time does not tell.
    nobodys: PasswordHash,
}

/// A place in the pool, held until the hash is made or compared.
#[derive(Debug)]
pub struct Place {
    hasher: Hasher,
    _admitted: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// What a comparison came to.
#[derive(Debug)]
pub struct Compared {
    /// The password was right.
    pub right: bool,
    /// The password under the present figures, if it was right and its hash has others.
    pub renewed: Option<PasswordHash>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("places", &self.places.available_permits()).finish_non_exhaustive()
    }
}

impl Hasher {
    /// A pool; makes one hash to see that the figures are good.
    pub fn new(settings: &PasswordSettings, entropy: Arc<dyn Entropy>) -> Result<Self, BadFigures> {
        let params = Params::new(settings.memory_kib, settings.passes, 1, None).map_err(|_| BadFigures)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut unguessable = [0; 32];
        entropy.fill(&mut unguessable);
        let nobodys = hash(&argon2, &*entropy, &unguessable, &mut Vec::new()).map_err(|_| BadFigures)?;
        let places = settings.places.max(1);
        let admitted_max = places + settings.waiting_max;
        Ok(Self {
            argon2,
            entropy,
            admitted: Arc::new(Semaphore::new(admitted_max)),
            admitted_max,
            overloaded: counter!(metrics::OVERLOAD, "limit" => "passwords"),
            places: Arc::new(Semaphore::new(places)),
            memory: Arc::default(),
            nobodys,
        })
    }

    /// A place, after waiting for one if a few others do.
    pub async fn place(&self) -> Result<Place, PoolFull> {
        let Ok(admitted) = Arc::clone(&self.admitted).try_acquire_owned() else {
            self.overloaded.increment(1);
            return Err(PoolFull);
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| PoolFull)?;
        Ok(Place { hasher: self.clone(), _admitted: admitted, _place: place })
    }
}

impl Place {
    /// Hashes a password.
    pub async fn hash(self, password: Password) -> Result<PasswordHash, HashFault> {
        self.run(move |hasher, memory| hash(&hasher.argon2, &*hasher.entropy, password.0.as_bytes(), memory)).await
    }

    /// Compares a password with a hash; without one the same work is done and the answer is no.
    pub async fn compare(self, password: Password, with: Option<PasswordHash>) -> Result<Compared, HashFault> {
        self.run(move |hasher, memory| hasher.compare(&password, with.as_ref(), memory)).await
    }

    /// Runs it on a thread that may block. The place is given back when it has ended, whoever still waits for it.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Hasher, &mut Vec<Block>) -> Result<T, HashFault> + Send + 'static,
    ) -> Result<T, HashFault> {
        let task = tokio::task::spawn_blocking(move || {
            let mut memory = self.hasher.take_memory();
            let result = work(&self.hasher, &mut memory);
            self.hasher.pass_on(memory);
            result
        });
        task.await.map_err(|_| HashFault)?
    }
}

impl Hasher {
    fn take_memory(&self) -> Vec<Block> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps it for the next hash if somebody is there, else gives back all there is.
    fn pass_on(&self, memory: Vec<Block>) {
        // One is still admitted: whose memory it was.
        let is_alone = self.admitted.available_permits() + 1 >= self.admitted_max;
        let mut kept = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if is_alone {
            kept.clear();
        } else if memory.len() <= self.argon2.params().block_count() {
            kept.push(memory);
        }
    }

    fn compare(
        &self,
        password: &Password,
        with: Option<&PasswordHash>,
        memory: &mut Vec<Block>,
    ) -> Result<Compared, HashFault> {
        let parsed = phc::PasswordHash::new(with.unwrap_or(&self.nobodys).expose()).map_err(|_| HashFault)?;
        let matches = matches(&parsed, password.0.as_bytes(), memory).ok_or(HashFault)?;
        let right = matches && with.is_some();
        let is_present = Params::try_from(&parsed).is_ok_and(|params| {
            let present = self.argon2.params();
            (params.m_cost(), params.t_cost()) == (present.m_cost(), present.t_cost())
        });
        let renew = right && !is_present;
        let renewed = renew.then(|| hash(&self.argon2, &*self.entropy, password.0.as_bytes(), memory)).transpose()?;
        Ok(Compared { right, renewed })
    }
}

/// Is it the password of this hash, made with the hash's own figures? `None`: the hash is none of ours.
fn matches(hash: &phc::PasswordHash, password: &[u8], memory: &mut Vec<Block>) -> Option<bool> {
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(hash).ok()?);
    let (salt, expected) = (hash.salt?, hash.hash?);
    // Outputs compare in constant time.
    Some(derive(&argon2, password, &salt, expected.len(), memory)? == expected)
}

fn derive(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    length: usize,
    memory: &mut Vec<Block>,
) -> Option<phc::Output> {
    let blocks = argon2.params().block_count();
    memory.resize(blocks.max(memory.len()), Block::default());
    let mut room = [0; phc::Output::MAX_LENGTH];
    let out = room.get_mut(..length)?;
    argon2.hash_password_into_with_memory(password, salt, out, memory).ok()?;
    phc::Output::new(out).ok()
}

fn hash(
    argon2: &Argon2<'_>,
    entropy: &dyn Entropy,
    password: &[u8],
    memory: &mut Vec<Block>,
) -> Result<PasswordHash, HashFault> {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    let length = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = derive(argon2, password, &salt, length, memory).ok_or(HashFault)?;
    let hash = phc::PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into().map_err(|_| HashFault)?,
        salt: Some(phc::Salt::new(&salt).map_err(|_| HashFault)?),
        hash: Some(output),
    };
    PasswordHash::new(hash.to_string()).ok_or(HashFault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    fn hasher(memory_kib: u32, waiting_max: usize) -> Hasher {
        let settings = PasswordSettings { memory_kib, passes: 2, places: 2, waiting_max };
        Hasher::new(&settings, Arc::new(OsEntropy)).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    /// security 77: argon2id, 19 MiB, two passes, one lane, a salt of its own each time, in PHC form.
    #[tokio::test]
    async fn hashes_are_argon2id_with_owasps_figures() {
        let hasher = Hasher::new(&PasswordSettings::default(), Arc::new(OsEntropy)).unwrap();
        let first = hasher.place().await.unwrap().hash(password("correct horse")).await.unwrap();
        let second = hasher.place().await.unwrap().hash(password("correct horse")).await.unwrap();
        assert!(first.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(first, second);
        assert_eq!(format!("{first:?}"), "***");
    }

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let hasher = hasher(64, 8);
        let hash = hasher.place().await.unwrap().hash(password("correct horse")).await.unwrap();
        let compare = async |text: &str, with: Option<PasswordHash>| {
            hasher.place().await.unwrap().compare(password(text), with).await.unwrap()
        };
        let right = compare("correct horse", Some(hash.clone())).await;
        assert!(right.right && right.renewed.is_none());
        for wrong in ["correct hors", "Correct horse", "correct horse ", ""] {
            assert!(!compare(wrong, Some(hash.clone())).await.right, "{wrong}");
        }
        assert!(!compare("correct horse", None).await.right);
    }

    /// security 77: a hash of older figures is renewed when its password is at hand.
    #[tokio::test]
    async fn older_figures_are_renewed() {
        let old = hasher(64, 8).place().await.unwrap().hash(password("correct horse")).await.unwrap();
        let newer = hasher(128, 8);
        let compared = newer.place().await.unwrap().compare(password("correct horse"), Some(old)).await.unwrap();
        let renewed = compared.renewed.unwrap();
        assert!(renewed.expose().contains("m=128"));
        let again = newer.place().await.unwrap().compare(password("correct horse"), Some(renewed)).await.unwrap();
        assert!(again.right && again.renewed.is_none());
    }

    /// security 78: places and waiting callers are bounded; whoever comes beyond is refused at once.
    #[tokio::test]
    async fn the_pool_is_bounded() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let hasher = ::metrics::with_local_recorder(&recorder, || hasher(64, 1));
        let first = hasher.place().await.unwrap();
        let _second = hasher.place().await.unwrap();
        let third = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.place().await }
        });
        while hasher.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.place().await.unwrap_err(), PoolFull);
        assert!(recorder.handle().render().contains("otpd_overload_total{limit=\"passwords\"} 1"));
        drop(first);
        assert!(third.await.unwrap().is_ok());
    }

    /// Hashes are those of the crate itself, whatever memory they were made in.
    #[test]
    fn memory_that_is_passed_on_changes_no_hash() {
        use argon2::{PasswordHasher as _, PasswordVerifier as _};
        let made =
            |memory_kib| Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory_kib, 2, 1, None).unwrap());
        let mut memory = Vec::new();
        for memory_kib in [64, 128, 32, 64] {
            let argon2 = made(memory_kib);
            let theirs = argon2.hash_password_with_salt(b"correct horse", &[7; SALT_BYTES]).unwrap();
            assert_eq!(matches(&theirs, b"correct horse", &mut memory), Some(true));
            assert_eq!(matches(&theirs, b"correct hors", &mut memory), Some(false));
            let ours = hash(&argon2, &OsEntropy, b"correct horse", &mut memory).unwrap();
            let ours = phc::PasswordHash::new(ours.expose()).unwrap();
            assert!(made(64).verify_password(b"correct horse", &ours).is_ok());
            assert!(made(64).verify_password(b"correct hors", &ours).is_err());
        }
    }

    /// security 78: a crowd passes memory on, one piece for each place; who is alone gives it back.
    #[tokio::test]
    async fn memory_is_passed_on_in_a_crowd() {
        let hasher = hasher(64, 8);
        let kept = || hasher.memory.lock().unwrap().len();
        let waiting = hasher.place().await.unwrap();
        hasher.place().await.unwrap().hash(password("correct horse")).await.unwrap();
        assert_eq!(kept(), 1);
        hasher.place().await.unwrap().hash(password("correct horse")).await.unwrap();
        assert_eq!(kept(), 1);
        waiting.hash(password("correct horse")).await.unwrap();
        assert_eq!(kept(), 0);
    }

    #[test]
    fn eight_characters_of_any_script_are_enough() {
        assert!(password("1234567").is_short());
        assert!(!password("12345678").is_short());
        assert!(password("۱۲۳۴۵۶۷").is_short());
        assert!(!password("۱۲۳۴۵۶۷۸").is_short());
    }
}
