//! The guard's bytes at rest: `[schema u8][bincode 2 body]`. They hold full numbers, like records do.

use super::engine::Guard;

/// Newest schema; what [`encode`] writes.
pub const SCHEMA: u8 = 2;

/// Most bytes that a state may claim while it is decoded: several times what the largest limits allow.
const DECODE_BYTES_MAX: usize = 1 << 30;

/// The bytes are no state of this schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a state of the guard that this otpd reads")]
pub struct Unreadable;

/// The state's bytes.
pub fn encode(guard: &Guard) -> Vec<u8> {
    let body = bincode::serde::encode_to_vec(guard, bincode::config::standard()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(body.len() + 1);
    bytes.push(SCHEMA);
    bytes.extend(body);
    bytes
}

/// Reads a state back; nothing may be left over.
pub fn decode(bytes: &[u8]) -> Result<Guard, Unreadable> {
    let Some((&SCHEMA, body)) = bytes.split_first() else { return Err(Unreadable) };
    let limits = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();
    match bincode::serde::decode_from_slice(body, limits) {
        Ok((guard, read)) if read == body.len() => Ok(guard),
        Ok(_) | Err(_) => Err(Unreadable),
    }
}
