//! Message authentication codes over receipts, compared in constant time, and the window that a signed time must lie in.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

/// How far a signed time may be from ours, in seconds: what Standard Webhooks recommends.
const WINDOW_S: u64 = 300;

/// A hash that an HMAC is over. The older two are no longer safe as hashes; as HMAC nothing is known against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The HMAC of the parts, one behind the other.
pub(in crate::sms) fn mac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    macro_rules! over {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match hash {
        Hash::Md5 => over!(Md5),
        Hash::Sha1 => over!(Sha1),
        Hash::Sha256 => over!(Sha256),
        Hash::Sha512 => over!(Sha512),
    }
}

/// Are they the same? In time that does not tell where they differ.
pub(in crate::sms) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// The SHA-256 of a text or body.
pub(in crate::sms) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Bytes as hexadecimal digits in lower case.
pub(in crate::sms) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Is a signed time, in seconds since 1970, near enough to now? A receipt that was caught is good for as long only.
pub(in crate::sms) fn is_recent(stamp: &str, now_s: u64) -> bool {
    let digits = !stamp.is_empty() && stamp.bytes().all(|byte| byte.is_ascii_digit());
    digits && stamp.parse::<u64>().is_ok_and(|stamp| stamp.abs_diff(now_s) <= WINDOW_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 and RFC 4231, test case 2 of each.
    #[test]
    fn published_vectors() {
        let of = |hash| hex(&mac(hash, b"Jefe", &[b"what do ya want ", b"for nothing?"]));
        assert_eq!(of(Hash::Md5), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(of(Hash::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(of(Hash::Sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(of(Hash::Sha512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"));
    }

    /// security 114: five minutes to either side.
    #[test]
    fn the_window_of_time() {
        let now = 1_800_000_000;
        for (stamp, holds) in [
            ("1800000000", true),
            ("1799999700", true),
            ("1799999699", false),
            ("1800000300", true),
            ("1800000301", false),
            ("", false),
            ("+1800000000", false),
            ("1800000000.0", false),
            ("99999999999999999999", false),
        ] {
            assert_eq!(is_recent(stamp, now), holds, "{stamp:?}");
        }
    }
}
