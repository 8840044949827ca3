//! Work that a client must have done before a message is sent, so that sending to many numbers costs somebody computing time
//! and not only the operator money (security 42).
//!
//! A challenge is stateless: 33 bytes that name their time and difficulty, under a MAC that also covers the client's
//! address and the number. Solved for one number it is good for no other, and nothing can be computed before one is
//! asked for. Only the spent ones are kept, until they would have run out anyway.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use metrics::counter;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Dialect, Failure, Origin, Service, address_octets};
use crate::{
    entropy::Entropy,
    metrics as names,
    record::{IdempotencyKey, Keyring, Millis, PhoneNumber, UnixMillis},
};

/// Bytes before the MAC: nonce, time of its end, difficulty.
const HEAD_BYTES: usize = 8 + 8 + 1;
/// Bytes of a challenge.
const CHALLENGE_BYTES: usize = HEAD_BYTES + 16;
/// Most characters of a solution: the decimal digits of a 64-bit number.
const SOLUTION_CHARS_MAX: usize = 20;

/// How much work, and how long a challenge is good for it.
#[derive(Debug, Clone, Copy)]
pub struct ProofSettings {
    /// Leading zero bits of the hash, 8 to 30. Each one more doubles the work.
    pub bits: u8,
    /// Life of a challenge in milliseconds.
    pub ttl_ms: Millis,
    /// Spent challenges remembered at once; beyond, no message is sent until the oldest have run out.
    pub used_max: usize,
}

/// What a client has to solve: text of 44 characters that it cannot read. Find a nonce so that the SHA-256 of
/// `<challenge>:<nonce>` begins with `bits` zero bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    bytes: [u8; CHALLENGE_BYTES],
    /// Zero bits that the hash must begin with.
    pub bits: u8,
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.bytes))
    }
}

/// What became of a request that needs a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It came without one.
    Required,
    /// Good, and spent now.
    Accepted,
    /// Spent before by the same `Idempotency-Key` for the same request.
    Retried,
    /// Spent before.
    Replayed,
    /// Its time is over.
    Expired,
    /// No proof, or not enough work.
    Wrong,
    /// Not made by this process for this address and number.
    Foreign,
    /// Good, but no more spent ones can be remembered now.
    Full,
}

impl Verdict {
    /// As in the metric.
    fn label(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Accepted => "accepted",
            Self::Retried => "retried",
            Self::Replayed => "replayed",
            Self::Expired => "expired",
            Self::Wrong => "wrong",
            Self::Foreign => "foreign",
            Self::Full => "full",
        }
    }
}

/// Makes challenges and checks their solutions.
#[derive(Debug)]
pub struct ProofOfWork {
    settings: ProofSettings,
    /// Random at each start: what an earlier process had spent cannot be spent here.
    run: u64,
    used: Mutex<Used>,
}

/// Spent challenges, the next to run out first: its end and nonce, and who spent it if a retry is to be known.
#[derive(Debug, Default)]
struct Used {
    spent: BTreeMap<(u64, u64), Option<[u8; 16]>>,
    /// Latest end among those that were forgotten. A clock that is set back revives none of them.
    forgotten_until: u64,
}

/// Whom a challenge is for.
#[derive(Debug, Clone, Copy)]
struct For<'a> {
    keys: &'a Keyring,
    bucket: IpAddr,
    phone: PhoneNumber,
    now: UnixMillis,
}

impl ProofOfWork {
    /// With nothing spent yet.
    pub fn new(settings: ProofSettings, entropy: &dyn Entropy) -> Self {
        Self { settings, run: entropy.draw(), used: Mutex::default() }
    }

    fn challenge(&self, whom: &For<'_>, nonce: u64) -> Challenge {
        let bits = self.settings.bits;
        let end = whom.now.plus(self.settings.ttl_ms).0;
        let mut bytes = [0; CHALLENGE_BYTES];
        let head = [&nonce.to_be_bytes()[..], &end.to_be_bytes(), &[bits]].concat();
        let mac = self.mac(whom, &head);
        for (byte, from) in bytes.iter_mut().zip(head.iter().chain(&mac)) {
            *byte = *from;
        }
        Challenge { bytes, bits }
    }

    fn mac(&self, whom: &For<'_>, head: &[u8]) -> [u8; 16] {
        let parts: [&[u8]; 4] =
            [&self.run.to_be_bytes(), &address_octets(whom.bucket), &whom.phone.as_u64().to_be_bytes(), head];
        whom.keys.tag("proof of work", &parts)
    }

    /// Judges `<challenge>:<nonce>` and spends it. `retry` is the request's idempotency key, digested.
    fn check(&self, whom: &For<'_>, proof: &str, retry: Option<[u8; 16]>) -> Verdict {
        let Some((challenge, solution)) = proof.split_once(':') else { return Verdict::Wrong };
        let is_number =
            (1..=SOLUTION_CHARS_MAX).contains(&solution.len()) && solution.bytes().all(|b| b.is_ascii_digit());
        let bytes = URL_SAFE_NO_PAD.decode(challenge).ok().filter(|bytes| is_number && bytes.len() == CHALLENGE_BYTES);
        let Some((head, mac)) = bytes.as_deref().and_then(|bytes| bytes.split_at_checked(HEAD_BYTES)) else {
            return Verdict::Wrong;
        };
        if !bool::from(self.mac(whom, head).ct_eq(mac)) {
            return Verdict::Foreign;
        }
        let Some((nonce, end, bits)) = fields(head) else { return Verdict::Wrong };
        // One that ends later than any made now is of a clock that has been set back.
        if end <= whom.now.0 || end > whom.now.plus(self.settings.ttl_ms).0 {
            return Verdict::Expired;
        }
        if leading_zero_bits(&Sha256::digest(proof)) < u32::from(bits) {
            return Verdict::Wrong;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.spend((end, nonce), retry, whom.now, self.settings.used_max)
    }
}

/// Nonce, end and difficulty.
fn fields(head: &[u8]) -> Option<(u64, u64, u8)> {
    let (nonce, rest) = head.split_first_chunk()?;
    let (end, bits) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*nonce), u64::from_be_bytes(*end), *bits.first()?))
}

fn leading_zero_bits(hash: &[u8]) -> u32 {
    let zero_bytes = hash.iter().take_while(|byte| **byte == 0).count();
    let next = hash.get(zero_bytes).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(zero_bytes).unwrap_or(u32::MAX).saturating_mul(8).saturating_add(next)
}

impl Used {
    fn spend(&mut self, key: (u64, u64), retry: Option<[u8; 16]>, now: UnixMillis, most: usize) -> Verdict {
        while let Some(first) = self.spent.first_entry().filter(|first| first.key().0 <= now.0) {
            self.forgotten_until = self.forgotten_until.max(first.key().0);
            first.remove();
        }
        if key.0 <= self.forgotten_until {
            return Verdict::Expired;
        }
        match self.spent.get(&key) {
            Some(by) if by.is_some() && *by == retry => Verdict::Retried,
            Some(_) => Verdict::Replayed,
            None if self.spent.len() >= most => Verdict::Full,
            None => {
                self.spent.insert(key, retry);
                Verdict::Accepted
            }
        }
    }
}

impl Service {
    /// Lets a request through that may have a message sent to this number: it has done its work, or none is asked of it.
    /// A proof is spent by the first request that shows it, whatever comes of that; only retries under the same
    /// `Idempotency-Key` may show it again, so that they get the kept answer.
    pub(super) fn proven(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        retry: Option<&IdempotencyKey>,
    ) -> Result<(), Failure> {
        let Some(guard) = self.parts.proof_of_work.as_ref().filter(|_| origin.caller.is_none()) else { return Ok(()) };
        let whom = For { keys: &self.parts.keys, bucket: origin.bucket, phone, now: self.now() };
        let retry = retry.map(|retry| self.parts.keys.tag("proof of work retry", &[&retry.key, &retry.body]));
        let verdict = origin.proof.as_deref().map_or(Verdict::Required, |proof| guard.check(&whom, proof, retry));
        counter!(names::PROOF_OF_WORK, "outcome" => verdict.label()).increment(1);
        match verdict {
            Verdict::Accepted | Verdict::Retried => Ok(()),
            Verdict::Full => {
                self.meters.refused(dialect.name, "overloaded");
                Err(Failure::SendsOverloaded)
            }
            Verdict::Required | Verdict::Replayed | Verdict::Expired | Verdict::Wrong | Verdict::Foreign => {
                self.meters.refused(dialect.name, "proof_of_work");
                Err(Failure::ProofOfWorkRequired(guard.challenge(&whom, self.draw())))
            }
        }
    }
}

#[cfg(test)]
mod tests;
