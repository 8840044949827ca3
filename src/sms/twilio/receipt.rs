//! Twilio's status callbacks, of messages and of calls: signed by `X-Twilio-Signature` (`providers.md` section 1).
//!
//! The signature is an HMAC-SHA-1 over the exact URL that Twilio was given, and for a form over its parameters, sorted.
//! Twilio leaves a port out or puts it in, so both forms of the URL are tried. Our reference is the query's `ref`, which
//! the signature covers.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret as _, SecretString};

use crate::sms::receipt::{
    Receipt, ReceiptRefused, ReceiptRequest, ReceiptState,
    params::{self, Params},
    signed::{self, Hash},
};

/// The header of the signature.
const SIGNATURE: &str = "x-twilio-signature";
/// The parameter of a URL that has the hash of a body that is no form.
const BODY_HASH: &str = "bodySHA256";
/// The parameter of a URL that has our reference.
const REFERENCE: &str = "ref";

/// Checks and reads a callback. `token` is the account's.
pub(in crate::sms) fn read(
    token: Option<&SecretString>,
    request: &ReceiptRequest<'_>,
) -> Result<Vec<Receipt>, ReceiptRefused> {
    let token = token.ok_or(ReceiptRefused::NotTaken)?;
    let query = params::form(request.query.as_bytes());
    let body_hash = params::value(&query, BODY_HASH);
    let body = if body_hash.is_some() { Params::new() } else { params::form(request.body) };
    let is_of_body = body_hash.is_none_or(|said| {
        let hash = signed::hex(&signed::sha256(request.body));
        signed::same(said.to_ascii_lowercase().as_bytes(), hash.as_bytes())
    });
    if !is_of_body || !is_signed(token, request, &body) {
        return Err(ReceiptRefused::Unsigned);
    }
    let told = if body_hash.is_some() { params::all(request).ok_or(ReceiptRefused::Unreadable)? } else { body };
    let status = ["MessageStatus", "SmsStatus", "CallStatus"].into_iter().find_map(|name| params::value(&told, name));
    let reference = params::value(&query, REFERENCE).ok_or(ReceiptRefused::Unreadable)?;
    let state = state(status.ok_or(ReceiptRefused::Unreadable)?);
    Ok(state.map(|state| Receipt::of_reference(reference, state)).into_iter().collect())
}

fn is_signed(token: &SecretString, request: &ReceiptRequest<'_>, body: &[(String, String)]) -> bool {
    let header = request.headers.get(SIGNATURE).map(|value| value.as_bytes());
    let Some(given) = header.and_then(|text| BASE64_STANDARD.decode(text).ok()) else { return false };
    let tail = sorted(body);
    let key = token.expose_secret().as_bytes();
    let (as_given, other) = forms(request.url);
    // Both are always tried: which one fits is no secret, but it costs nothing either.
    let fits = |url: &str| signed::same(&signed::mac(Hash::Sha1, key, &[url.as_bytes(), tail.as_bytes()]), &given);
    fits(&as_given) | other.is_some_and(|other| fits(&other))
}

/// Names in order, each with its distinct values in order, without anything between.
fn sorted(params: &[(String, String)]) -> String {
    let mut by_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in params {
        by_name.entry(name).or_default().insert(value);
    }
    let pairs = by_name.into_iter().flat_map(|(name, values)| values.into_iter().flat_map(move |value| [name, value]));
    pairs.collect()
}

/// The URL as it is, and with its port left out or the scheme's own put in. Cut from the text, because a parser would
/// change what was signed.
fn forms(url: &str) -> (String, Option<String>) {
    let other = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        // A colon within brackets is of an IPv6 address.
        let port = authority.rfind(':').filter(|at| !authority.get(*at..).is_some_and(|rest| rest.contains(']')));
        let authority = match port {
            Some(at) => authority.get(..at)?.to_owned(),
            None => format!("{authority}:{}", if scheme == "https" { 443 } else { 80 }),
        };
        Some(format!("{scheme}://{authority}{path}"))
    };
    (url.to_owned(), other())
}

fn state(status: &str) -> Option<ReceiptState> {
    match status {
        "sent" | "ringing" => Some(ReceiptState::Sent),
        // A call that was taken up has been heard, as far as anyone can know.
        "delivered" | "read" | "in-progress" | "answered" | "completed" => Some(ReceiptState::Delivered),
        "undelivered" | "failed" | "canceled" | "busy" | "no-answer" => Some(ReceiptState::Undelivered),
        // Accepted, queued, scheduled, sending, initiated: no news.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const FORM: &str =
        "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309";

    fn with<T>(url: &str, signature: Option<&str>, body: &str, look: impl FnOnce(&ReceiptRequest<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        if let Some(signature) = signature {
            headers.insert(SIGNATURE, HeaderValue::from_str(signature).unwrap());
        }
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let (from, body) = (std::net::Ipv4Addr::LOCALHOST.into(), body.as_bytes());
        look(&ReceiptRequest { url, query, secret: None, from, headers: &headers, body, now_s: 0 })
    }

    fn good(url: &str, signature: &str, body: &str) -> bool {
        let token = SecretString::from("12345");
        with(url, Some(signature), body, |request| is_signed(&token, request, &params::form(body.as_bytes())))
    }

    /// The vectors of Twilio's own library (`tests/unit/test_request_validator.py`).
    #[test]
    fn the_published_vectors() {
        let classic = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        assert!(good(URL, classic, FORM));
        assert!(good(&URL.replace(".com", ".com:1234"), classic, FORM), "a port is left out on https");
        assert!(good(URL, "kvajT1Ptam85bY51eRf/AJRuM3w=", FORM), "port 443 is put in");
        let http = URL.replace("https", "http");
        assert!(good(&http.replace(".com", ".com:1234"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", FORM), "a port on http");
        assert!(good(&http, "0ZXoZLH/DfblKGATFgpif+LLRf4=", FORM), "port 80 is put in");
        let repeated = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
        assert!(good(URL, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", repeated), "each distinct value once, sorted");
    }

    /// The same library's vector of a body that is no form.
    #[test]
    fn the_published_vector_of_a_body() {
        let (body, hash) = (
            r#"{"property": "value", "boolean": true}"#,
            "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        );
        let token = SecretString::from("12345");
        let url = format!("{URL}&bodySHA256={hash}");
        let read_body = |url: &str, body: &str| {
            with(url, Some("a9nBmqA0ju/hNViExpshrM61xv4="), body, |request| read(Some(&token), request))
        };
        // Good, but it says nothing of a message.
        assert_eq!(read_body(&url, body), Err(ReceiptRefused::Unreadable));
        assert_eq!(read_body(&url, r#"{"property": "other"}"#), Err(ReceiptRefused::Unsigned));
        assert_eq!(read_body(&url.replace("0a1f", "0a1e"), body), Err(ReceiptRefused::Unsigned));
    }

    /// security 113: another URL, parameter, token or signature, or none.
    #[test]
    fn what_is_forged_is_refused() {
        let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        for url in ["https://mycompany.com/myapp.php?foo=1&bar=3", "https://evil.example/myapp.php?foo=1&bar=2"] {
            assert!(!good(url, signature, FORM), "{url}");
        }
        assert!(!good(URL, signature, &FORM.replace("1234&From", "9999&From")));
        assert!(!good(URL, signature, &format!("{FORM}&Extra=")));
        for none in ["", "RSOYDt4T1cUTdK1PDd93", "AAAA", "not base64!", "rsoyDt4T1cUTdK1PDd93/VVr8B8="] {
            assert!(!good(URL, none, FORM), "{none}");
        }
        let token = SecretString::from("12345");
        let read_with = |token: Option<&SecretString>, signature| with(URL, signature, FORM, |it| read(token, it));
        assert_eq!(read_with(Some(&token), None), Err(ReceiptRefused::Unsigned));
        assert_eq!(read_with(Some(&"54321".into()), Some(signature)), Err(ReceiptRefused::Unsigned));
        assert_eq!(read_with(None, Some(signature)), Err(ReceiptRefused::NotTaken));
    }

    /// `providers.md` section 1: every status of a message, and those of a call.
    #[test]
    fn statuses() {
        use ReceiptState::{Delivered, Sent, Undelivered};
        let url = "https://otp.example.com/v1/receipts/twilio?ref=00112233445566778899aabbccddeeff-0";
        for (name, status, expected) in [
            ("MessageStatus", "accepted", None),
            ("MessageStatus", "queued", None),
            ("MessageStatus", "sending", None),
            ("MessageStatus", "sent", Some(Sent)),
            ("MessageStatus", "delivered", Some(Delivered)),
            ("MessageStatus", "read", Some(Delivered)),
            ("MessageStatus", "undelivered", Some(Undelivered)),
            ("MessageStatus", "failed", Some(Undelivered)),
            ("MessageStatus", "canceled", Some(Undelivered)),
            ("SmsStatus", "sent", Some(Sent)),
            ("CallStatus", "initiated", None),
            ("CallStatus", "ringing", Some(Sent)),
            ("CallStatus", "in-progress", Some(Delivered)),
            ("CallStatus", "completed", Some(Delivered)),
            ("CallStatus", "busy", Some(Undelivered)),
            ("CallStatus", "no-answer", Some(Undelivered)),
            ("MessageStatus", "something-new", None),
        ] {
            let body = format!("MessageSid=SM1&{name}={status}");
            let token = SecretString::from("12345");
            let tail = sorted(&params::form(body.as_bytes()));
            let mac = signed::mac(Hash::Sha1, b"12345", &[url.as_bytes(), tail.as_bytes()]);
            let receipts = with(url, Some(&BASE64_STANDARD.encode(mac)), &body, |request| read(Some(&token), request));
            let of = |state| Receipt::of_reference("00112233445566778899aabbccddeeff-0", state);
            assert_eq!(receipts, Ok(expected.map(of).into_iter().collect()), "{status}");
        }
    }
}
