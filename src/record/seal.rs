//! Sealed keys and the ids they make: self-routing, unreadable and unforgeable without the key.
//!
//! An id is one AES-128 block of `number (50 bits) | nonce (64) | zeros (14)`. Any node opens it and knows the
//! number, so there is no index; a made-up block opens to zeros once in 16,384 and to a number of the right
//! size, and even then names a nonce that no record has.

use std::fmt;

use aes::{
    Aes128,
    cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _},
};
use data_encoding::HEXLOWER;
use hmac::Mac as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    code::{keyed, truncated},
    number::PhoneNumber,
};

/// Names a sealing key; challenges and sessions keep the one they were made under.
pub type KeyId = u16;

/// What an id is an id of; each kind has a key of its own, so one never opens as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// A verification.
    Verification,
    /// A registration grant.
    Grant,
    /// A session (`sid`).
    Session,
    /// A send, as its receipt names it.
    Receipt,
    /// A number in the audit journal.
    Journal,
}

/// A sealed id: 16 bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealedId(pub [u8; 16]);

impl SealedId {
    /// Reads 32 hexadecimal digits in lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Debug for SealedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedId(***)")
    }
}

/// What an id opened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The number that owns the thing.
    pub phone: PhoneNumber,
    /// The thing's own 64 random bits.
    pub nonce: u64,
}

/// Subkeys of one sealing secret, each for one use.
struct SealKey {
    id: KeyId,
    codes: Zeroizing<[u8; 32]>,
    refresh: Zeroizing<[u8; 32]>,
    verification: Aes128,
    grant: Aes128,
    session: Aes128,
    receipt: Aes128,
    journal: Aes128,
}

/// The sealing keys: the first is current, the others still open what they made.
pub struct Keyring {
    keys: Vec<SealKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A ring of secrets, the current one and those before it.
    pub fn new(current: (KeyId, &[u8; 32]), older: &[(KeyId, &[u8; 32])]) -> Self {
        let mut keys = vec![SealKey::new(current.0, current.1)];
        keys.extend(older.iter().map(|(id, secret)| SealKey::new(*id, secret)));
        Self { keys }
    }

    /// The key that new things are made under.
    pub fn current(&self) -> KeyId {
        self.keys.first().map_or(0, |key| key.id)
    }

    fn key(&self, id: KeyId) -> Option<&SealKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The key for codes; `None` if that key has been removed, and then none of its codes is good any more.
    pub(super) fn code_key(&self, id: KeyId) -> Option<&[u8; 32]> {
        self.key(id).map(|key| &*key.codes)
    }

    /// Makes an id under the named key, or under the current one if that is gone.
    pub fn seal(&self, id: KeyId, kind: IdKind, phone: PhoneNumber, nonce: u64) -> SealedId {
        let plain = u128::from(phone.as_u64()) << 78 | u128::from(nonce) << 14;
        let mut block = plain.to_be_bytes().into();
        if let Some(key) = self.key(id).or_else(|| self.keys.first()) {
            key.cipher(kind).encrypt_block(&mut block);
        }
        SealedId(block.into())
    }

    /// Opens an id; `None` if no key of ours made it as this kind.
    pub fn open(&self, kind: IdKind, sealed: SealedId) -> Option<Opened> {
        self.keys.iter().find_map(|key| key.open(kind, sealed))
    }

    /// What a provider is told to name one send by: 32 hexadecimal digits, a hyphen and the send's number, 0 to 9.
    /// The number is in clear: who alters it names another send of the same challenge.
    pub fn reference(&self, id: KeyId, phone: PhoneNumber, nonce: u64, delivery: u8) -> String {
        [&*self.seal(id, IdKind::Receipt, phone, nonce).to_hex(), "-", &delivery.to_string()].concat()
    }

    /// Opens a reference: whose challenge, and which of its sends. `None` if no key of ours made it.
    pub fn open_reference(&self, reference: &str) -> Option<(Opened, u8)> {
        let (hex, digit) = reference.split_once('-')?;
        let delivery = if digit.len() == 1 { digit.parse().ok()? } else { return None };
        Some((self.open(IdKind::Receipt, SealedId::from_hex(hex)?)?, delivery))
    }

    /// A refresh token's bytes: the session's block, the generation, and a MAC over both.
    pub fn refresh_token(&self, id: KeyId, phone: PhoneNumber, session: u64, generation: u32) -> [u8; 52] {
        let block = self.seal(id, IdKind::Session, phone, session).0;
        let generation = generation.to_be_bytes();
        let mut token = [0; 52];
        let (head, mac) = token.split_at_mut(20);
        let (block_part, generation_part) = head.split_at_mut(16);
        block_part.copy_from_slice(&block);
        generation_part.copy_from_slice(&generation);
        if let Some(key) = self.key(id).or_else(|| self.keys.first()) {
            mac.copy_from_slice(&key.refresh_mac(head));
        }
        token
    }

    /// Opens a refresh token: whose session, and which generation. Constant time in the MAC.
    pub fn open_refresh(&self, token: &[u8]) -> Option<(Opened, u32)> {
        let token: &[u8; 52] = token.try_into().ok()?;
        let (head, mac) = token.split_at(20);
        let (block, generation) = head.split_at(16);
        let key = self.keys.iter().find(|key| bool::from(key.refresh_mac(head).ct_eq(mac)))?;
        let opened = key.open(IdKind::Session, SealedId(block.try_into().ok()?))?;
        Some((opened, u32::from_be_bytes(generation.try_into().ok()?)))
    }

    /// Keyed digest for values that are kept only to be compared: client addresses, idempotency keys, bodies.
    pub fn tag(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        // The oldest key, so that a key change does not make every address and kept answer look new.
        let Some(key) = self.keys.last() else { return [0; 16] };
        let mut mac = keyed(&key.codes);
        for part in [&[b"otpd tag", label.as_bytes()], parts].concat() {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        truncated(mac)
    }
}

impl SealKey {
    fn new(id: KeyId, secret: &[u8; 32]) -> Self {
        let subkey = |label: &str| -> Zeroizing<[u8; 32]> {
            let mut mac = keyed(secret);
            mac.update(label.as_bytes());
            Zeroizing::new(mac.finalize().into_bytes().into())
        };
        let cipher = |label: &str| {
            let mut half = Zeroizing::new([0; 16]);
            half.copy_from_slice(subkey(label).split_at(16).0);
            Aes128::new((&*half).into())
        };
        Self {
            id,
            codes: subkey("otpd subkey codes"),
            refresh: subkey("otpd subkey refresh"),
            verification: cipher("otpd subkey verification ids"),
            grant: cipher("otpd subkey grant ids"),
            session: cipher("otpd subkey session ids"),
            receipt: cipher("otpd subkey receipt references"),
            journal: cipher("otpd subkey journal numbers"),
        }
    }

    fn cipher(&self, kind: IdKind) -> &Aes128 {
        match kind {
            IdKind::Verification => &self.verification,
            IdKind::Grant => &self.grant,
            IdKind::Session => &self.session,
            IdKind::Receipt => &self.receipt,
            IdKind::Journal => &self.journal,
        }
    }

    fn open(&self, kind: IdKind, sealed: SealedId) -> Option<Opened> {
        let mut block = sealed.0.into();
        self.cipher(kind).decrypt_block(&mut block);
        let plain = u128::from_be_bytes(block.into());
        let phone = PhoneNumber::try_from(u64::try_from(plain >> 78).ok()?).ok()?;
        let nonce = u64::try_from(plain >> 14 & u128::from(u64::MAX)).ok()?;
        (plain & 0x3fff == 0).then_some(Opened { phone, nonce })
    }

    fn refresh_mac(&self, head: &[u8]) -> [u8; 32] {
        let mut mac = keyed(&self.refresh);
        mac.update(head);
        mac.finalize().into_bytes().into()
    }
}
