//! Reports of the Telegram Gateway, posted to the `callback_url` that a message was sent with.
//!
//! Signed by an HMAC-SHA-256 over the time and the body, a line feed between them, with the SHA-256 of the account's token
//! as key. Our reference is the `payload` that the message was sent with.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::sms::receipt::{
    Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState, params,
    signed::{self, Hash},
};

/// The header of the time of sending, in seconds since 1970.
const TIMESTAMP: &str = "x-request-timestamp";
/// The header of the signature, in hexadecimal digits.
const SIGNATURE: &str = "x-request-signature";

/// A report (`RequestStatus`); whatever else stands there is ignored, the number above all.
#[derive(Deserialize)]
struct Report {
    payload: Option<String>,
    request_cost: Option<serde_json::Number>,
    #[serde(default)]
    is_refunded: bool,
    delivery_status: Option<DeliveryStatus>,
}

#[derive(Deserialize)]
struct DeliveryStatus {
    status: String,
}

/// Checks and reads a report.
pub(super) fn read(token: &SecretString, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
    let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (stamp, given) = (header(TIMESTAMP), header(SIGNATURE).to_ascii_lowercase());
    let key = signed::sha256(token.expose_secret().as_bytes());
    let own = signed::hex(&signed::mac(Hash::Sha256, &key, &[stamp.as_bytes(), b"\n", request.body]));
    if !signed::same(own.as_bytes(), given.as_bytes()) || !signed::is_recent(stamp, request.now_s) {
        return Err(ReceiptRefused::Unsigned);
    }
    let report: Report = serde_json::from_slice(request.body).map_err(|_| ReceiptRefused::Unreadable)?;
    let reference = report.payload.ok_or(ReceiptRefused::Unreadable)?;
    // What a person typed at Telegram comes as a report, too, and has no state of a delivery.
    let state = report.delivery_status.and_then(|delivery| state(&delivery.status));
    let cost = if report.is_refunded {
        Some(0)
    } else {
        report.request_cost.and_then(|cost| params::micros(&cost.to_string()))
    };
    let receipt = |state| Receipt { of: ReceiptOf::Reference(reference), state, price_micros: cost };
    Ok(state.map(receipt).into_iter().collect())
}

fn state(status: &str) -> Option<ReceiptState> {
    match status {
        "sent" => Some(ReceiptState::Sent),
        "delivered" | "read" => Some(ReceiptState::Delivered),
        "expired" | "revoked" => Some(ReceiptState::Undelivered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use super::*;

    const TOKEN: &str = "AAEFVerySecret:5f1c";
    const NOW: u64 = 1_800_000_000;

    /// The documented rule, worked out apart with another implementation (Python's hmac and hashlib).
    const BODY: &str = concat!(
        r#"{"request_id":"1","payload":"00112233445566778899aabbccddeeff-0","#,
        r#""delivery_status":{"status":"read","updated_at":1800000000}}"#
    );
    const OF_BODY: &str = "1ba951aad3bfb1e40f5b34db44de63a336bbf05d39234380ce76677d3c63f158";

    fn read_it(stamp: &str, signature: &str, body: &str) -> Result<Vec<Receipt>, ReceiptRefused> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP, HeaderValue::from_str(stamp).unwrap());
        headers.insert(SIGNATURE, HeaderValue::from_str(signature).unwrap());
        let (from, body) = (std::net::Ipv4Addr::LOCALHOST.into(), body.as_bytes());
        let request = ReceiptRequest { url: "", query: "", secret: None, from, headers: &headers, body, now_s: NOW };
        read(&TOKEN.into(), &request)
    }

    fn signature(stamp: u64, body: &str) -> String {
        let key = signed::sha256(TOKEN.as_bytes());
        signed::hex(&signed::mac(Hash::Sha256, &key, &[format!("{stamp}\n{body}").as_bytes()]))
    }

    #[test]
    fn a_known_signature() {
        let delivered = Receipt::of_reference("00112233445566778899aabbccddeeff-0", ReceiptState::Delivered);
        assert_eq!(read_it("1800000000", OF_BODY, BODY), Ok(vec![delivered.clone()]));
        assert_eq!(read_it("1800000000", &OF_BODY.to_uppercase(), BODY), Ok(vec![delivered]));
    }

    /// security 113 and 114: another body, time or token, a time long ago, or nothing.
    #[test]
    fn what_is_forged_or_stale_is_refused() {
        assert_eq!(read_it("1800000000", OF_BODY, &BODY.replace("-0", "-1")), Err(ReceiptRefused::Unsigned));
        assert_eq!(read_it("1800000001", OF_BODY, BODY), Err(ReceiptRefused::Unsigned));
        for forged in ["", "00", &OF_BODY[1..]] {
            assert_eq!(read_it("1800000000", forged, BODY), Err(ReceiptRefused::Unsigned));
        }
        for stamp in [NOW - 301, NOW + 301] {
            assert_eq!(read_it(&stamp.to_string(), &signature(stamp, BODY), BODY), Err(ReceiptRefused::Unsigned));
        }
        let stamp = NOW - 299;
        assert!(read_it(&stamp.to_string(), &signature(stamp, BODY), BODY).is_ok());
        for unreadable in ["", "{}", "[]", r#"{"delivery_status":{"status":"sent"}}"#] {
            let read = read_it("1800000000", &signature(NOW, unreadable), unreadable);
            assert_eq!(read, Err(ReceiptRefused::Unreadable), "{unreadable}");
        }
    }

    #[test]
    fn statuses_and_costs() {
        use ReceiptState::{Delivered, Sent, Undelivered};
        let report = |delivery: Value, cost: Value, is_refunded: bool| {
            let body = json!({
                "request_id": "1", "phone_number": "989123456789", "request_cost": cost, "is_refunded": is_refunded,
                "remaining_balance": 9.5, "delivery_status": delivery, "payload": "x-0",
            });
            read_it("1800000000", &signature(NOW, &body.to_string()), &body.to_string()).unwrap().pop()
        };
        for (status, expected) in [
            ("sent", Some(Sent)),
            ("delivered", Some(Delivered)),
            ("read", Some(Delivered)),
            ("expired", Some(Undelivered)),
            ("revoked", Some(Undelivered)),
            ("something-new", None),
        ] {
            let receipt = report(json!({ "status": status, "updated_at": 1 }), json!(0.01), false);
            let of = |state| Receipt { price_micros: Some(10_000), ..Receipt::of_reference("x-0", state) };
            assert_eq!(receipt, expected.map(of), "{status}");
        }
        let refunded = report(json!({ "status": "expired" }), json!(0.01), true).unwrap();
        assert_eq!(refunded.price_micros, Some(0));
        assert_eq!(report(Value::Null, json!(0.01), false), None, "a report of what was typed");
    }
}
