//! Receipts of the operator's own relay, signed as Standard Webhooks are, with a secret that messages are signed with.
//!
//! The body is `{"reference": "…", "state": "sent"}` or a list of such; `state` is `sent`, `delivered` or `undelivered`,
//! and `price_micros` may name the price in millionths.

use serde::Deserialize;

use crate::sms::receipt::{Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState, signed};
use crate::standard_webhooks::{self as signature, SigningKey};

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    One(Entry),
    Many(Vec<Entry>),
}

#[derive(Deserialize)]
struct Entry {
    reference: String,
    state: State,
    #[serde(default)]
    price_micros: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Sent,
    Delivered,
    Undelivered,
}

/// Checks and reads a receipt.
pub(super) fn read(keys: &[SigningKey], request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, stamp, signatures) = (header(signature::ID), header(signature::TIMESTAMP), header(signature::SIGNATURE));
    // A full stop in the id would leave open where it ends.
    let is_open = !id.is_empty() && !id.contains('.') && signed::is_recent(stamp, request.now_s);
    let stamp_s = stamp.parse().unwrap_or_default();
    if !is_open || !keys.iter().any(|key| key.is_of(signatures, id, stamp_s, request.body)) {
        return Err(ReceiptRefused::Unsigned);
    }
    let body: Body = serde_json::from_slice(request.body).map_err(|_| ReceiptRefused::Unreadable)?;
    let entries = match body {
        Body::One(entry) => vec![entry],
        Body::Many(entries) => entries,
    };
    Ok(entries.into_iter().map(Receipt::from).collect())
}

impl From<Entry> for Receipt {
    fn from(entry: Entry) -> Self {
        let state = match entry.state {
            State::Sent => ReceiptState::Sent,
            State::Delivered => ReceiptState::Delivered,
            State::Undelivered => ReceiptState::Undelivered,
        };
        Self { of: ReceiptOf::Reference(entry.reference), state, price_micros: entry.price_micros }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const BODY: &str = r#"{"reference":"00112233445566778899aabbccddeeff-0","state":"delivered"}"#;

    fn key(byte: u8) -> SigningKey {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        SigningKey::parse(&BASE64_STANDARD.encode([byte; 32]).into()).unwrap()
    }

    fn read_it(id: &str, stamp: u64, signatures: &str, body: &str) -> Result<Vec<Receipt>, ReceiptRefused> {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(signature::ID, id), (signature::TIMESTAMP, &stamp.to_string()), (signature::SIGNATURE, signatures)]
        {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let (from, body) = (std::net::Ipv4Addr::LOCALHOST.into(), body.as_bytes());
        let request = ReceiptRequest { url: "", query: "", secret: None, from, headers: &headers, body, now_s: NOW };
        read(&[key(1), key(2)], &request)
    }

    /// Either secret; other signatures beside it; one or many receipts.
    #[test]
    fn signed_receipts_are_read() {
        let sign = |byte: u8, body: &str| key(byte).sign("evt_1", NOW, body.as_bytes());
        let delivered = Receipt::of_reference("00112233445566778899aabbccddeeff-0", ReceiptState::Delivered);
        for signatures in [
            sign(1, BODY),
            sign(2, BODY),
            format!("v1a,AAAA {} v2,x", sign(2, BODY)),
            format!("{} {}", sign(9, BODY), sign(1, BODY)),
        ] {
            assert_eq!(read_it("evt_1", NOW, &signatures, BODY), Ok(vec![delivered.clone()]), "{signatures}");
        }
        let many =
            r#"[{"reference":"a","state":"sent","price_micros":7},{"reference":"b","state":"undelivered","x":1}]"#;
        let expected = vec![
            Receipt { price_micros: Some(7), ..Receipt::of_reference("a", ReceiptState::Sent) },
            Receipt::of_reference("b", ReceiptState::Undelivered),
        ];
        assert_eq!(read_it("evt_1", NOW, &sign(1, many), many), Ok(expected));
        assert_eq!(read_it("evt_1", NOW, &sign(1, "[]"), "[]"), Ok(Vec::new()));
    }

    /// security 113 and 114: another key, id, time or body, or none; then what is signed and says nothing.
    #[test]
    fn what_is_forged_or_stale_is_refused() {
        let good = key(1).sign("evt_1", NOW, BODY.as_bytes());
        for (id, stamp, signatures, body) in [
            ("evt_2", NOW, good.as_str(), BODY),
            ("evt_1", NOW + 1, &good, BODY),
            ("evt_1", NOW, &good, &BODY.replace("delivered", "sent")),
            ("evt_1", NOW, &key(3).sign("evt_1", NOW, BODY.as_bytes()), BODY),
            ("evt_1", NOW, &good.replace("v1,", "v2,"), BODY),
            ("evt_1", NOW, "", BODY),
            ("", NOW, &key(1).sign("", NOW, BODY.as_bytes()), BODY),
            ("a.b", NOW, &key(1).sign("a.b", NOW, BODY.as_bytes()), BODY),
            ("evt_1", NOW - 301, &key(1).sign("evt_1", NOW - 301, BODY.as_bytes()), BODY),
            ("evt_1", NOW + 301, &key(1).sign("evt_1", NOW + 301, BODY.as_bytes()), BODY),
        ] {
            assert_eq!(read_it(id, stamp, signatures, body), Err(ReceiptRefused::Unsigned), "{id} {stamp}");
        }
        for body in ["", "{}", r#"{"reference":"a","state":"lost"}"#, r#"{"state":"sent"}"#, r#"[{"reference":1}]"#] {
            let signed = key(1).sign("evt_1", NOW, body.as_bytes());
            assert_eq!(read_it("evt_1", NOW, &signed, body), Err(ReceiptRefused::Unreadable), "{body}");
        }
    }
}
