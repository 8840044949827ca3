//! The bytes of a record at rest: `[schema u8][version u64][forget_at u64][bincode 2 body]`, big-endian.
//!
//! A record of an older schema is read as that schema wrote it and brought up to the present one (`schema_1`,
//! `schema_2`); it is written back with its next change.
//!
//! Stores read the header alone: the version for compare-and-set, `forget_at` for the sweep.

mod schema_1;
mod schema_2;

use super::{number::PhoneNumber, state::Record, time::UnixMillis};

/// Newest schema; what [`encode`] writes.
pub const SCHEMA: u8 = 3;
/// Bytes before the body.
pub const HEADER_LEN: usize = 17;

/// What a store may know of a snapshot without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Layout of the body.
    pub schema: u8,
    /// Counter for compare-and-set; +1 per commit.
    pub version: u64,
    /// When the record has nothing left to remember; `None`: never.
    pub forget_at: Option<UnixMillis>,
}

impl Header {
    /// Reads the header of snapshot bytes; `None` if there are too few bytes.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let (schema, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk::<8>()?;
        let (forget_at, _) = rest.split_first_chunk::<8>()?;
        let forget_at = u64::from_be_bytes(*forget_at);
        Some(Self {
            schema: *schema,
            version: u64::from_be_bytes(*version),
            forget_at: (forget_at != u64::MAX).then_some(UnixMillis(forget_at)),
        })
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let (schema, rest) = bytes.split_at_mut(1);
        let (version, forget_at) = rest.split_at_mut(8);
        schema.copy_from_slice(&[self.schema]);
        version.copy_from_slice(&self.version.to_be_bytes());
        forget_at.copy_from_slice(&self.forget_at.map_or(u64::MAX, |at| at.0).to_be_bytes());
        bytes
    }
}

/// What the record of a person who signs in now and then takes, so that its bytes need no second room.
const USUAL_LEN: usize = 512;

/// Most bytes that a body may claim while it is decoded: twice the bound of a record.
const DECODE_BYTES_MAX: usize = 16 * 1024;

/// Why snapshot bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Written by a newer otpd, or not a snapshot.
    #[error("snapshot has schema {0}, and this otpd reads up to {SCHEMA}")]
    Schema(u8),
    /// Too short, or the body is not what the schema says.
    #[error("snapshot is damaged")]
    Damaged,
    /// The body belongs to another number or version than key and header say.
    #[error("snapshot is of another record")]
    Misplaced,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>()
}

/// The bytes of a record, header and body.
pub fn encode(record: &Record) -> Vec<u8> {
    let header = Header { schema: SCHEMA, version: record.version, forget_at: record.forget_at() };
    let mut bytes = Vec::with_capacity(USUAL_LEN);
    bytes.extend(header.to_bytes());
    // Encoding fails for types that serde cannot express in bincode alone, and every snapshot test covers ours; writing to
    // memory does not fail.
    let _ = bincode::serde::encode_into_std_write(record, &mut bytes, bincode::config::standard());
    bytes
}

/// How many bytes [`encode`] makes of a record.
pub fn encoded_len(record: &Record) -> usize {
    let mut size = bincode::enc::write::SizeWriter::default();
    // As above: encoding does not fail.
    let _ = bincode::serde::encode_into_writer(record, &mut size, bincode::config::standard());
    HEADER_LEN + size.bytes_written
}

/// Reads a record back and checks that it is the one that the key and the header name.
pub fn decode(phone: PhoneNumber, bytes: &[u8]) -> Result<Record, Unreadable> {
    let header = Header::peek(bytes).ok_or(Unreadable::Damaged)?;
    let body = bytes.get(HEADER_LEN..).unwrap_or_default();
    let record: Record = match header.schema {
        SCHEMA => read(body)?,
        2 => read::<schema_2::Record>(body)?.into(),
        1 => read::<schema_1::Record>(body)?.into(),
        other => return Err(Unreadable::Schema(other)),
    };
    if record.phone != phone || record.version != header.version {
        return Err(Unreadable::Misplaced);
    }
    Ok(record)
}

/// The whole body as one value, with nothing left over.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    let (value, read) = bincode::serde::decode_from_slice(body, config()).map_err(|_| Unreadable::Damaged)?;
    if read == body.len() { Ok(value) } else { Err(Unreadable::Damaged) }
}
