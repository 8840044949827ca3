//! Tells a shared secret from a placeholder: what an operator hands us as `JWT_SECRET_KEY` signs tokens.
//!
//! A check of form only; it can't prove that bytes are random, it catches those that plainly are not.

use std::collections::HashMap;

/// Fewest bytes of a shared signing secret: 256 bits (security 69).
pub const SECRET_BYTES_MIN: usize = 32;

/// Least estimated bits. The poorest honest secret, 32 random hex digits, was estimated at 91 to 120 in
/// 300,000 draws; sequences and repetitions come to less than 20.
const ESTIMATED_BITS_MIN: f64 = 80.0;

/// Marks of secrets that are printed in documents and templates, lower-case. The first is what
/// `django-admin startproject` writes and what a source document of ours ships.
const KNOWN: [&str; 14] = [
    "django-insecure-",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "change-me",
    "change_me",
    "change-this",
    "change_this",
    "changethis",
    "changeme",
    "your-256-bit-secret",
    "your_production",
    "your-secret",
    "your_secret",
    "secret-key",
    "secret_key",
];

/// Why a secret is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Fewer than [`SECRET_BYTES_MIN`] bytes.
    #[error("shorter than 32 bytes")]
    TooShort,
    /// A placeholder or a value printed in public.
    #[error("a known default value")]
    Known,
    /// Repetition, a sequence, few different characters.
    #[error("too regular to be random")]
    LowEntropy,
}

/// Checks a shared signing secret. `tolerate_known` lets a printed value pass (development only: the
/// `.env` of a source document must work there), never a short or regular one.
pub fn check_secret(secret: &[u8], tolerate_known: bool) -> Result<(), WeakSecret> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(WeakSecret::TooShort);
    }
    if !tolerate_known && is_known(secret) {
        return Err(WeakSecret::Known);
    }
    if estimated_bits(secret) < ESTIMATED_BITS_MIN { Err(WeakSecret::LowEntropy) } else { Ok(()) }
}

fn is_known(secret: &[u8]) -> bool {
    let folded = zeroize::Zeroizing::new(secret.to_ascii_lowercase());
    KNOWN.iter().any(|mark| folded.windows(mark.len()).any(|window| window == mark.as_bytes()))
}

/// Shannon's measure of the shortest repeated unit, over the bytes and over their steps (so that an
/// alphabet in order counts as the little it is).
fn estimated_bits(secret: &[u8]) -> f64 {
    let period = (1..=secret.len() / 2).find(|&step| secret.get(step..) == secret.get(..secret.len() - step));
    let unit = secret.get(..period.unwrap_or(secret.len())).unwrap_or(secret);
    let steps = unit.iter().zip(unit.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a));
    shannon_bits(unit.iter().copied()).min(shannon_bits(steps))
}

fn shannon_bits(values: impl Iterator<Item = u8>) -> f64 {
    let mut counts = HashMap::<u8, u32>::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let total: f64 = counts.values().copied().map(f64::from).sum();
    counts.values().copied().map(f64::from).map(|count| -count * (count / total).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy as _, OsEntropy};

    /// security 69: short, regular and printed secrets are refused.
    #[test]
    fn weak_secrets_are_told_by_kind() {
        #[track_caller]
        fn check(secret: &str, expected: WeakSecret) {
            assert_eq!(check_secret(secret.as_bytes(), false), Err(expected), "{secret}");
        }
        check("", WeakSecret::TooShort);
        check("changeme", WeakSecret::TooShort);
        check("x7Kq0vUe3mZs9LbT1yWc5nRf8gHd2pA", WeakSecret::TooShort);
        check("django-insecure-rq1k3nfrru@$ds6bwf$t&3hk*s7bg5ef3it&o@s*6_jbbbfp(j", WeakSecret::Known);
        check("changemechangemechangemechangeme", WeakSecret::Known);
        check("Change-Me-8f2c0d1b7a6e5948372615f0", WeakSecret::Known);
        check("your_production_secret_key_of_the_service", WeakSecret::Known);
        check("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", WeakSecret::Known);
        check(&"a".repeat(64), WeakSecret::LowEntropy);
        check(&"0123456789abc".repeat(6), WeakSecret::LowEntropy);
        check("abcdefghijklmnopqrstuvwxyz0123456789", WeakSecret::LowEntropy);
    }

    /// A printed value passes where no real message can leave; a regular one does not even there.
    #[test]
    fn development_tolerates_the_printed_one_only() {
        let printed = b"django-insecure-rq1k3nfrru@$ds6bwf$t&3hk*s7bg5ef3it&o@s*6_jbbbfp(j";
        assert_eq!(check_secret(printed, true), Ok(()));
        assert_eq!(check_secret(&b"changeme".repeat(8), true), Err(WeakSecret::LowEntropy));
    }

    #[test]
    fn random_secrets_pass_in_the_usual_spellings() {
        for _ in 0..500 {
            let mut bytes = [0; 32];
            OsEntropy.fill(&mut bytes);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            for secret in [&bytes[..], hex.as_bytes(), &hex.as_bytes()[..32]] {
                assert_eq!(check_secret(secret, false), Ok(()), "{secret:02x?}");
            }
        }
    }
}
