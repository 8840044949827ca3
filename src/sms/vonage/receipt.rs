//! Vonage's delivery receipts: of the SMS API, signed by the parameter `sig`, and of the Messages API, signed by a token
//! (`providers.md` section 5).
//!
//! `sig` is an HMAC over all other parameters, sorted, with `&` and `=` in values replaced. The plain hash that Vonage
//! calls "MD5 hash" is refused: it is no MAC.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

pub use crate::sms::receipt::signed::Hash;
use crate::sms::receipt::{
    Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState, bearer_jwt,
    params::{self, Params},
    signed,
};

/// What receipts are signed with. `Debug` shows no secret.
#[derive(Clone)]
pub struct Signature {
    /// The signature secret of the account.
    pub secret: SecretString,
    /// The hash below the HMAC; of the SMS API only.
    pub hash: Hash,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Fewest characters of a secret; Vonage's own have 16 and more.
const SECRET_LEN_MIN: usize = 8;

/// security 109: too short to be a secret of Vonage's.
pub(in crate::sms) fn is_weak(secret: &SecretString) -> bool {
    secret.expose_secret().len() < SECRET_LEN_MIN
}

/// What is said of such a one.
pub(in crate::sms) const WEAK: &str = "must be at least 8 characters";

impl Signature {
    fn key(&self) -> &[u8] {
        self.secret.expose_secret().as_bytes()
    }
}

/// Checks and reads a receipt of the SMS API.
pub(super) fn read(
    signature: Option<&Signature>,
    request: &ReceiptRequest<'_>,
) -> Result<Vec<Receipt>, ReceiptRefused> {
    let signature = signature.ok_or(ReceiptRefused::NotTaken)?;
    let params = params::all(request).ok_or(ReceiptRefused::Unsigned)?;
    let stamp = params::value(&params, "timestamp").unwrap_or_default();
    let given = params::value(&params, "sig").unwrap_or_default().to_ascii_lowercase();
    let own = signed::hex(&signed::mac(signature.hash, signature.key(), &[to_sign(&params).as_bytes()]));
    if !signed::same(own.as_bytes(), given.as_bytes()) || !signed::is_recent(stamp, request.now_s) {
        return Err(ReceiptRefused::Unsigned);
    }
    receipt(&params, "client-ref", "price")
}

/// Checks and reads a status of the Messages API.
pub(in crate::sms) fn read_message_status(
    secret: Option<&SecretString>,
    request: &ReceiptRequest<'_>,
) -> Result<Vec<Receipt>, ReceiptRefused> {
    let secret = secret.ok_or(ReceiptRefused::NotTaken)?;
    bearer_jwt::check(secret.expose_secret().as_bytes(), request)?;
    let body: serde_json::Value = serde_json::from_slice(request.body).map_err(|_| ReceiptRefused::Unreadable)?;
    let mut params = params::flat(&body).ok_or(ReceiptRefused::Unreadable)?;
    params.extend(body.get("usage").and_then(params::flat).unwrap_or_default());
    receipt(&params, "client_ref", "price")
}

/// `&name=value` of everything but the signature, by name.
fn to_sign(params: &[(String, String)]) -> String {
    let mut signed: Vec<&(String, String)> = params.iter().filter(|(name, _)| name != "sig").collect();
    signed.sort();
    signed.into_iter().map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_"))).collect()
}

fn receipt(params: &Params, reference: &str, price: &str) -> Result<Vec<Receipt>, ReceiptRefused> {
    let status = params::value(params, "status").ok_or(ReceiptRefused::Unreadable)?;
    let reference = params::value(params, reference).ok_or(ReceiptRefused::Unreadable)?;
    let receipt = |state| Receipt {
        of: ReceiptOf::Reference(reference.to_owned()),
        state,
        price_micros: params::value(params, price).and_then(params::micros),
    };
    Ok(state(status).map(receipt).into_iter().collect())
}

fn state(status: &str) -> Option<ReceiptState> {
    match status {
        // `submitted` is of the Messages API, the other two of the SMS API.
        "accepted" | "buffered" | "submitted" => Some(ReceiptState::Sent),
        "delivered" | "read" => Some(ReceiptState::Delivered),
        "expired" | "failed" | "rejected" | "undeliverable" => Some(ReceiptState::Undelivered),
        // `unknown` says so itself.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{self, HeaderMap, HeaderValue};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn with<T>(query: &str, body: &str, look: impl FnOnce(&ReceiptRequest<'_>) -> T) -> T {
        let (headers, from) = (HeaderMap::new(), std::net::Ipv4Addr::LOCALHOST.into());
        let body = body.as_bytes();
        look(&ReceiptRequest { url: "", query, secret: None, from, headers: &headers, body, now_s: NOW })
    }

    fn signature(hash: Hash) -> Signature {
        Signature { secret: "signature_secret".into(), hash }
    }

    fn sig(hash: Hash, pairs: &str) -> String {
        let text = to_sign(&params::form(pairs.as_bytes()));
        signed::hex(&signed::mac(hash, b"signature_secret", &[text.as_bytes()]))
    }

    /// The vectors of Vonage's own library (`http_client/tests/test_auth.py`).
    #[test]
    fn the_published_vectors() {
        let plain = "param1=value1&param2=value2&timestamp=1234567890";
        assert_eq!(sig(Hash::Sha256, plain), "280c4320703dbc98bfa22db676655ed2acfbfe8792b062ff7622e67f1183c287");
        assert_eq!(sig(Hash::Md5, plain), "724c2bf6ca423c36e20631b11d1c5753");
        let special = "timestamp=1234567890&param2=value%3D2&param1=value%261";
        assert_eq!(sig(Hash::Md5, special), "2bbf0abafb2c55e5af6231513896a2ac");
        assert_eq!(sig(Hash::Md5, "param=value&timestamp=1234567890"), "655a4d0b7f064dff438defc52b012cf5");
    }

    fn receipt_of(status: &str, stamp: u64) -> String {
        format!(
            "msisdn=447700900000&to=Acme&network-code=12345&messageId=0A0000001234567B&price=0.03330000&status={status}\
             &scts=2001011400&err-code=0&api-key=abcd1234&client-ref=00112233445566778899aabbccddeeff-0\
             &message-timestamp=2020-01-01+12%3A00%3A00&timestamp={stamp}&nonce=a1"
        )
    }

    /// Each hash, in a form, in the query and in JSON.
    #[test]
    fn signed_receipts_are_read() {
        let expected = Receipt {
            price_micros: Some(33_300),
            ..Receipt::of_reference("00112233445566778899aabbccddeeff-0", ReceiptState::Delivered)
        };
        for hash in [Hash::Md5, Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            let pairs = receipt_of("delivered", NOW - 299);
            let whole = format!("{pairs}&sig={}", sig(hash, &pairs).to_uppercase());
            let (key, other) = (signature(hash), signature(Hash::Sha256));
            assert_eq!(with("", &whole, |it| read(Some(&key), it)), Ok(vec![expected.clone()]), "{hash:?}");
            assert_eq!(with(&whole, "", |it| read(Some(&key), it)), Ok(vec![expected.clone()]), "{hash:?}");
            let members = params::form(whole.as_bytes()).into_iter().map(|(name, value)| (name, value.into()));
            let json = serde_json::Value::Object(members.collect()).to_string();
            assert_eq!(with("", &json, |it| read(Some(&key), it)), Ok(vec![expected.clone()]), "{hash:?}");
            let by_other = with("", &whole, |it| read(Some(&other), it));
            assert_eq!(by_other.is_ok(), hash == Hash::Sha256, "{hash:?}");
        }
    }

    /// security 113 and 114: changed, unsigned, stale, or signed by a plain hash.
    #[test]
    fn what_is_forged_or_stale_is_refused() {
        let key = signature(Hash::Sha256);
        let read_it = |body: &str| with("", body, |it| read(Some(&key), it));
        let pairs = receipt_of("delivered", NOW);
        let good = format!("{pairs}&sig={}", sig(Hash::Sha256, &pairs));
        assert!(read_it(&good).is_ok());
        for stamp in [NOW - 301, NOW + 301] {
            let pairs = receipt_of("delivered", stamp);
            assert_eq!(read_it(&format!("{pairs}&sig={}", sig(Hash::Sha256, &pairs))), Err(ReceiptRefused::Unsigned));
        }
        let timeless = "status=delivered&client-ref=x-0";
        for forged in [
            good.replace("status=delivered", "status=failed"),
            good.replace("-0&message", "-1&message"),
            format!("{good}&extra=1"),
            pairs.clone(),
            format!("{pairs}&sig="),
            format!("{timeless}&sig={}", sig(Hash::Sha256, timeless)),
            String::new(),
            "{".to_owned(),
        ] {
            assert_eq!(read_it(&forged), Err(ReceiptRefused::Unsigned), "{forged}");
        }
        assert_eq!(with("", &good, |it| read(None, it)), Err(ReceiptRefused::NotTaken));
        let without = format!("status=delivered&timestamp={NOW}");
        let unreadable = format!("{without}&sig={}", sig(Hash::Sha256, &without));
        assert_eq!(read_it(&unreadable), Err(ReceiptRefused::Unreadable));
    }

    #[test]
    fn statuses() {
        use ReceiptState::{Delivered, Sent, Undelivered};
        for (status, expected) in [
            ("accepted", Some(Sent)),
            ("buffered", Some(Sent)),
            ("submitted", Some(Sent)),
            ("delivered", Some(Delivered)),
            ("read", Some(Delivered)),
            ("expired", Some(Undelivered)),
            ("failed", Some(Undelivered)),
            ("rejected", Some(Undelivered)),
            ("undeliverable", Some(Undelivered)),
            ("unknown", None),
            ("something-new", None),
        ] {
            assert_eq!(state(status), expected, "{status}");
        }
    }

    /// The Messages API: a token in the header, the status in a JSON body with the price in an object of its own.
    #[test]
    fn message_statuses_are_signed_by_a_token() {
        use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
        let body = serde_json::json!({
            "message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", "to": "447700900000", "status": "undeliverable",
            "usage": { "currency": "EUR", "price": "0.0333" }, "client_ref": "00112233445566778899aabbccddeeff-2",
            "error": { "title": "1170" },
        })
        .to_string();
        let hash = signed::hex(&signed::sha256(body.as_bytes()));
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = serde_json::json!({ "iat": NOW, "iss": "Vonage", "payload_hash": hash });
        let message = format!("{}.{}", part(serde_json::json!({ "alg": "HS256" })), part(claims));
        let mac = signed::mac(Hash::Sha256, b"signature_secret", &[message.as_bytes()]);
        let authorization = format!("Bearer {message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&authorization).unwrap());
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        let read_with = |secret: &str, body: &str| {
            let (secret, body) = (SecretString::from(secret), body.as_bytes());
            let request =
                ReceiptRequest { url: "", query: "", secret: None, from, headers: &headers, body, now_s: NOW };
            read_message_status(Some(&secret), &request)
        };
        let expected = Receipt {
            price_micros: Some(33_300),
            ..Receipt::of_reference("00112233445566778899aabbccddeeff-2", ReceiptState::Undelivered)
        };
        assert_eq!(read_with("signature_secret", &body), Ok(vec![expected]));
        assert_eq!(read_with("another", &body), Err(ReceiptRefused::Unsigned));
        assert_eq!(read_with("signature_secret", &body.replace("undel", "del")), Err(ReceiptRefused::Unsigned));
    }
}
