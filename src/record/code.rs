//! Codes: derived from a sealed key, never stored, compared in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{number::PhoneNumber, policy::Door};

/// Fewest and most digits of a code.
pub const CODE_DIGITS: std::ops::RangeInclusive<u8> = 4..=10;

/// A code in clear: it leaves the core only inside a draft. `Debug` hides it; wiped on drop.
#[derive(Clone)]
pub struct Code(String);

impl Code {
    /// A code of 1 to 10 ASCII digits, as a person typed it (foreign digits folded before) or a caller chose it.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let well_formed = (1..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| Self(digits.to_owned()))
    }

    /// The digits, for the message text alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Number of digits.
    pub fn digits(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }

    /// Compares in constant time; the length is no secret.
    pub fn matches(&self, typed: &Self) -> bool {
        self.0.as_bytes().ct_eq(typed.0.as_bytes()).into()
    }
}

/// In constant time, so that no `==` on a code tells where it differs (security 60).
impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl Eq for Code {}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a code is bound to; each field enters the HMAC with its length, so no two bindings read the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) nonce: u64,
    pub(super) phone: PhoneNumber,
    pub(super) door: Door,
}

impl Binding {
    fn mac(&self, key: &[u8; 32], label: &[u8]) -> Hmac<Sha256> {
        let mut mac = keyed(key);
        let parts: [&[u8]; 5] = [
            label,
            &self.nonce.to_be_bytes(),
            &self.phone.to_key(),
            self.door.dialect.as_str().as_bytes(),
            self.door.purpose.as_str().as_bytes(),
        ];
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// The code of a challenge: HMAC-SHA-256 reduced to `digits` decimal digits without modulo bias.
///
/// Words of the output at or above the largest multiple of 10^digits are thrown away (chance below 10^-9 each);
/// should all four of a block be, the next block is made with the next counter.
pub(super) fn derive(key: &[u8; 32], binding: &Binding, digits: u8) -> Code {
    let digits = digits.clamp(*CODE_DIGITS.start(), *CODE_DIGITS.end());
    let range = 10_u64.pow(u32::from(digits));
    let fair = u64::MAX - u64::MAX % range;
    for counter in 0_u32.. {
        let mut mac = binding.mac(key, b"otpd code");
        mac.update(&counter.to_be_bytes());
        let block = mac.finalize().into_bytes();
        for word in block.chunks_exact(8) {
            let word = word.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            if word < fair {
                return Code(format!("{:0width$}", word % range, width = usize::from(digits)));
            }
        }
    }
    unreachable!("a counter of 2^32 blocks does not run out of words below the fair bound")
}

/// Digest of a code that a caller chose: keyed, so that a snapshot gives nothing to search.
pub(super) fn digest(key: &[u8; 32], binding: &Binding, code: &Code) -> [u8; 16] {
    let mut mac = binding.mac(key, b"otpd chosen code");
    mac.update(code.0.as_bytes());
    truncated(mac)
}

/// HMAC-SHA-256 under a 32-byte key. RFC 2104 fills the key up with zeros to the hash's block of 64 bytes; done
/// here, it leaves nothing that could fail.
pub(super) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    block.split_at_mut(32).0.copy_from_slice(key);
    Hmac::new((&*block).into())
}

/// The first 16 bytes of a MAC.
pub(super) fn truncated(mac: Hmac<Sha256>) -> [u8; 16] {
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut head = [0; 16];
    head.copy_from_slice(full.split_at(16).0);
    head
}
