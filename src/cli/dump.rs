//! The form of an export, which `otpd export` writes and `otpd import` reads: JSON lines in UTF-8.
//!
//! ```text
//! {"otpd_export":1,"schema":3,"records":2,"user_ids_leased":1000}
//! {"number":"+14155550100","record":{"phone":14155550100,"version":…,"account":{"user_id":1,…},"sessions":[…],…}}
//! {"number":"+14155550101","record":{…}}
//! ```
//!
//! The first line says the form of the lines (`otpd_export`), the layout of the records (`schema`, that of
//! `record::snapshot`), how many lines follow, and how many user ids were ever given out. Then one line per number, in
//! ascending order when we write it. Times are milliseconds since 1970. Integers go up to 64 bits: edit with tools
//! that keep them (jq 1.7 does where it changes nothing).
//!
//! A record holds no code: codes are derived with `sealing.keys`, and so are ids and refresh tokens. An export without
//! that file keeps accounts, profiles, limits and locks; its sessions and open codes are of no use elsewhere. Of a
//! password it holds the argon2id hash.

use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failed;
use crate::record::{Record, invariants, snapshot};

/// The form of the lines that this version writes and reads.
const FORMAT: u8 = 1;

/// Longest line: eight times what the largest record (8 KiB) takes as JSON.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// Largest user id: JSON readers everywhere keep integers up to here.
const USER_ID_MAX: u64 = (1 << 53) - 1;

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    otpd_export: u8,
    schema: u8,
    /// Lines that follow.
    pub(super) records: u64,
    /// User ids that were ever given out: 1 to this.
    pub(super) user_ids_leased: u64,
}

/// A line that is not what it should be. Says where and what is expected, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadLine(String);

fn bad(text: impl Into<String>) -> BadLine {
    BadLine(text.into())
}

impl Header {
    pub(super) fn new(records: u64, user_ids_leased: u64) -> Self {
        Self { otpd_export: FORMAT, schema: snapshot::SCHEMA, records, user_ids_leased }
    }

    pub(super) fn write(self) -> Result<String, BadLine> {
        serde_json::to_string(&self).map_err(|_| bad("cannot be written as JSON"))
    }

    pub(super) fn read(line: &str) -> Result<Self, BadLine> {
        let header: Self = serde_json::from_str(line).map_err(|_| bad("is not the first line of an export of otpd"))?;
        if header.otpd_export != FORMAT {
            return Err(bad(format!("has form {}, and this otpd reads form {FORMAT}", header.otpd_export)));
        }
        if header.schema != snapshot::SCHEMA {
            return Err(bad(format!("has schema {}, and this otpd reads schema {}", header.schema, snapshot::SCHEMA)));
        }
        if header.user_ids_leased > USER_ID_MAX {
            return Err(bad("user_ids_leased is larger than 2^53 - 1"));
        }
        Ok(header)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    number: String,
    record: &'a Record,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    number: String,
    record: Value,
}

/// The line of a record, without line feed.
pub(super) fn write(record: &Record) -> Result<String, BadLine> {
    let line = Line { number: record.phone().to_e164(), record };
    serde_json::to_string(&line).map_err(|_| bad("cannot be written as JSON"))
}

/// Reads the line of a record and checks all that holds of a record at rest, and that nothing in it was left over.
pub(super) fn read(line: &str, header: &Header) -> Result<Record, BadLine> {
    let raw: RawLine = serde_json::from_str(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => bad("must have exactly the fields number and record"),
        serde_json::error::Category::Io | serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            bad(format!("is no JSON at column {}", error.column()))
        }
    })?;
    let record: Record = serde_path_to_error::deserialize(&raw.record)
        .map_err(|error| bad(format!("record.{} is missing, or not what stands there", error.path())))?;
    // Unknown and repeated fields, and absent ones that have a default, all show here.
    if serde_json::to_value(&record).ok().as_ref() != Some(&raw.record) {
        return Err(bad("record has a field too many or too few"));
    }
    if record.phone().to_e164() != raw.number {
        return Err(bad("number and record.phone differ"));
    }
    if record.expected_version().is_none() {
        return Err(bad("record.version is 0"));
    }
    invariants::check_record(&record).map_err(|broken| bad(format!("record breaks the rule {broken}")))?;
    if record.user_ids().any(|id| id == 0 || id > header.user_ids_leased) {
        return Err(bad("a user id is 0 or above user_ids_leased of the first line"));
    }
    let back = snapshot::decode(record.phone(), &snapshot::encode(&record));
    if back.as_ref() != Ok(&record) {
        return Err(bad("record cannot be stored"));
    }
    Ok(record)
}

/// The lines of a file with their numbers, none of them longer than [`LINE_BYTES_MAX`].
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    /// The next line with its number, from 1; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, String)>, Failed> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let read = read.map_err(|error: io::Error| Failed::new(format!("cannot read: {}", error.kind())))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == LINE_BYTES_MAX {
            return Err(at(self.number, &bad("is longer than 1 MiB")));
        }
        let line = String::from_utf8(line).map_err(|_| at(self.number, &bad("is not UTF-8")))?;
        Ok(Some((self.number, line)))
    }
}

/// A bad line, with its number.
pub(super) fn at(number: u64, line: &BadLine) -> Failed {
    Failed::new(format!("line {number}: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PhoneNumber;

    fn blank() -> Value {
        let mut record = Record::new(PhoneNumber::from_e164("+14155550100").unwrap());
        record = serde_json::from_value({
            let mut value = serde_json::to_value(&record).unwrap();
            value["version"] = 7.into();
            value
        })
        .unwrap();
        serde_json::from_str(&write(&record).unwrap()).unwrap()
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Value), expected: &str) {
        let mut line = blank();
        change(&mut line);
        let error = read(&line.to_string(), &Header::new(1, 10)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("4155550100"), "nobody's number is told");
    }

    #[test]
    fn a_line_comes_back_to_the_byte() {
        let line = blank().to_string();
        assert_eq!(write(&read(&line, &Header::new(1, 10)).unwrap()).unwrap(), line);
        let header = Header::new(3, 1_000);
        assert_eq!(Header::read(&header.write().unwrap()), Ok(header));
    }

    #[test]
    fn bad_lines_are_told_by_place() {
        refused(|line| line["record"]["version"] = 0.into(), "record.version is 0");
        refused(|line| line["record"]["version"] = "x".into(), "record.version");
        refused(|line| line["record"]["extra"] = 1.into(), "a field too many");
        refused(|line| line["number"] = "+14155550101".into(), "differ");
        refused(|line| line["more"] = 1.into(), "exactly the fields");
        refused(|line| line["record"]["phone"] = 5.into(), "record.phone");
        let account = |id: u64| {
            serde_json::json!({"user_id": id, "created_at": 1, "updated_at": 1, "verified_at": 1,
            "profile": {"name": null, "first_name": null, "last_name": null, "email": null, "bio": null,
                        "location": null, "birth_date": null, "avatar": null, "locale": null},
            "active": true, "password": null})
        };
        refused(|line| line["record"]["account"] = account(11), "user id");
        refused(|line| line["record"]["account"] = account(0), "user id");
        let short = |line: &mut Value| {
            line["record"]["account"] = account(1);
            line["record"]["account"]["profile"].as_object_mut().unwrap().remove("bio");
        };
        refused(short, "too few");
        let error = read("{\"number\":", &Header::new(1, 1)).unwrap_err().to_string();
        assert!(error.contains("no JSON at column"), "{error}");
    }

    #[test]
    fn other_forms_and_schemas_are_refused() {
        let read = |line: &str| Header::read(line).unwrap_err().to_string();
        assert!(read("{\"otpd_export\":2,\"schema\":1,\"records\":0,\"user_ids_leased\":0}").contains("form 2"));
        assert!(read("{\"otpd_export\":1,\"schema\":9,\"records\":0,\"user_ids_leased\":0}").contains("schema 9"));
        assert!(read("{\"records\":0}").contains("first line"));
        assert!(
            read("{\"otpd_export\":1,\"schema\":3,\"records\":0,\"user_ids_leased\":9007199254740992}")
                .contains("2^53")
        );
    }

    #[test]
    fn lines_are_bounded() {
        let long = vec![b'x'; usize::try_from(LINE_BYTES_MAX).unwrap()];
        assert!(Lines::new(long.as_slice()).next().unwrap_err().to_string().contains("line 1: is longer"));
        let mut lines = Lines::new(&b"a\nb"[..]);
        assert_eq!(lines.next().unwrap(), Some((1, "a".to_owned())));
        assert_eq!(lines.next().unwrap(), Some((2, "b".to_owned())));
        assert_eq!(lines.next().unwrap(), None);
    }
}
