//! Receipts that are signed, as the gateway itself reads them: what the provider signed is believed, and nothing else
//! (security 113). The signatures are made here by other hands than those that check them.

use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use otpd::sms::{
    Gateway,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest, ReceiptState},
    twilio_voice::{TwilioVoice, TwilioVoiceSettings},
    vonage_messages::VonageMessagesSettings,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::{
    fake_twilio::{ACCOUNT_SID, AUTH_TOKEN, SENDER, signature},
    kit::REFERENCE,
    twilio_voice, vonage_messages,
};

/// The time of the server, in seconds since 1970.
const NOW_S: u64 = 1_800_000_000;
/// What Vonage's dashboard shows as the signature secret.
const SIGNATURE_SECRET: &str = "Nh7Zq0vXc2Lk9Pd4";

/// Reads a post to this URL.
async fn read(
    gateway: &dyn Gateway,
    url: &str,
    (name, value): (&'static str, &str),
    body: &str,
) -> Result<Vec<Receipt>, ReceiptRefused> {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let from = std::net::Ipv4Addr::LOCALHOST.into();
    let body = body.as_bytes();
    let request = ReceiptRequest { url, query, secret: None, from, headers: &headers, body, now_s: NOW_S };
    gateway.read_receipts(&request).await
}

fn told(state: ReceiptState) -> Result<Vec<Receipt>, ReceiptRefused> {
    Ok(vec![Receipt::of_reference(REFERENCE, state)])
}

/// A call's end as Twilio posts it.
fn call_ended(status: &str) -> [(&'static str, &str); 8] {
    [
        ("CallSid", "CA0123456789abcdef0123456789abcdef"),
        ("AccountSid", ACCOUNT_SID),
        ("From", SENDER),
        ("To", "+989123456789"),
        ("CallStatus", status),
        ("CallDuration", "8"),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", "0"),
    ]
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn caller(change: impl FnOnce(&mut TwilioVoiceSettings)) -> TwilioVoice {
    let mut settings = twilio_voice::settings("https://api.twilio.com".to_owned());
    change(&mut settings);
    TwilioVoice::new(settings).unwrap()
}

fn callback() -> String {
    format!("https://otp.example.com/v1/receipts/twilio_voice?ref={REFERENCE}")
}

/// What Twilio signed with the account's token is read: a call that was taken up has said its code.
#[tokio::test]
async fn a_calls_end_is_believed_by_its_signature() {
    let (gateway, url) = (caller(|_| {}), callback());
    for (status, expected) in [
        ("completed", told(ReceiptState::Delivered)),
        ("in-progress", told(ReceiptState::Delivered)),
        ("ringing", told(ReceiptState::Sent)),
        ("busy", told(ReceiptState::Undelivered)),
        ("no-answer", told(ReceiptState::Undelivered)),
        ("failed", told(ReceiptState::Undelivered)),
        ("canceled", told(ReceiptState::Undelivered)),
        ("initiated", Ok(Vec::new())),
    ] {
        let fields = call_ended(status);
        let signature = signature::sign(AUTH_TOKEN, &url, &fields);
        let header = ("x-twilio-signature", signature.as_str());
        assert_eq!(read(&gateway, &url, header, &form(&fields)).await, expected, "{status}");
    }
}

/// Another token, status, call, host or none: each is a forgery.
#[tokio::test]
async fn a_forged_end_of_a_call_is_refused() {
    let (gateway, url) = (caller(|_| {}), callback());
    let fields = call_ended("completed");
    let signature = signature::sign(AUTH_TOKEN, &url, &fields);
    let busy = form(&call_ended("busy"));
    let body = form(&fields);
    let (other_call, other_host) = (url.replace("-0", "-1"), url.replace("otp.example.com", "evil.example"));
    let by_other = signature::sign("another-token", &url, &fields);
    for (url, name, signature, body) in [
        (&url, "x-twilio-signature", &by_other, &body),
        (&url, "x-twilio-signature", &signature, &busy),
        (&url, "x-twilio-signature", &signature, &String::new()),
        (&other_call, "x-twilio-signature", &signature, &body),
        (&other_host, "x-twilio-signature", &signature, &body),
        (&url, "x-other", &signature, &body),
    ] {
        let refused = read(&gateway, url, (name, signature), body).await;
        assert_eq!(refused, Err(ReceiptRefused::Unsigned), "{url} {body}");
    }
}

/// Twilio signs by the account's token, also for who signs in by an API key: without it nothing can be believed.
#[tokio::test]
async fn an_api_keys_secret_signs_no_receipts() {
    let (url, fields) = (callback(), call_ended("completed"));
    let key = |settings: &mut TwilioVoiceSettings| {
        settings.api_key_sid = Some("SK0123456789abcdef0123456789abcdef".to_owned());
        settings.auth_token = "the-keys-secret".into();
    };
    let alone = caller(key);
    let both = caller(|settings| {
        key(settings);
        settings.receipts_auth_token = Some(AUTH_TOKEN.into());
    });
    let by = |token| signature::sign(token, &url, &fields);
    let (by_key, by_account) = (by("the-keys-secret"), by(AUTH_TOKEN));
    for (gateway, signature, expected) in [
        (&alone, &by_key, Err(ReceiptRefused::NotTaken)),
        (&alone, &by_account, Err(ReceiptRefused::NotTaken)),
        (&both, &by_key, Err(ReceiptRefused::Unsigned)),
        (&both, &by_account, told(ReceiptState::Delivered)),
    ] {
        assert_eq!(read(gateway, &url, ("x-twilio-signature", signature), &form(&fields)).await, expected);
    }
}

/// A status as Vonage posts it.
fn status(word: &str) -> String {
    let body = json!({
        "message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", "to": "989123456789", "from": "Acme",
        "timestamp": "2027-01-15T08:00:00Z", "status": word, "client_ref": REFERENCE, "channel": "sms",
        "usage": { "currency": "EUR", "price": "0.0333" },
    });
    body.to_string()
}

/// `Authorization` of a post, its claims as Vonage makes them and then changed.
fn bearer(algorithm: Algorithm, secret: &str, body: &str, change: impl FnOnce(&mut Value)) -> String {
    let hash = digest::digest(&digest::SHA256, body.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut claims = json!({
        "iat": NOW_S, "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5", "iss": "Vonage", "payload_hash": hash,
        "api_key": "7f3ab1c9", "application_id": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab",
    });
    change(&mut claims);
    let key = EncodingKey::from_secret(secret.as_bytes());
    format!("Bearer {}", jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap())
}

fn messages(signature_secret: Option<&str>) -> impl Gateway {
    let settings = vonage_messages::settings("https://api.nexmo.com".to_owned());
    vonage_messages::made(VonageMessagesSettings { signature_secret: signature_secret.map(Into::into), ..settings })
}

async fn read_status(gateway: &dyn Gateway, authorization: &str, body: &str) -> Result<Vec<Receipt>, ReceiptRefused> {
    let url = "https://otp.example.com/v1/receipts/vonage_messages";
    read(gateway, url, (AUTHORIZATION.as_str(), authorization), body).await
}

/// What Vonage signed with the account's signature secret is read, price included.
#[tokio::test]
async fn a_messages_status_is_believed_by_its_token() {
    let gateway = messages(Some(SIGNATURE_SECRET));
    for (word, expected) in [
        ("submitted", Some(ReceiptState::Sent)),
        ("delivered", Some(ReceiptState::Delivered)),
        ("read", Some(ReceiptState::Delivered)),
        ("rejected", Some(ReceiptState::Undelivered)),
        ("undeliverable", Some(ReceiptState::Undelivered)),
        ("unknown", None),
    ] {
        let body = status(word);
        let authorization = bearer(Algorithm::HS256, SIGNATURE_SECRET, &body, |_| {});
        let receipt = |state| Receipt { price_micros: Some(33_300), ..Receipt::of_reference(REFERENCE, state) };
        let expected = Ok(expected.map(receipt).into_iter().collect());
        assert_eq!(read_status(&gateway, &authorization, &body).await, expected, "{word}");
    }
}

/// Another secret, algorithm, body or time: each is a forgery; without a secret of ours none can be told.
#[tokio::test]
async fn a_forged_status_of_a_message_is_refused() {
    let gateway = messages(Some(SIGNATURE_SECRET));
    let body = status("delivered");
    let good = bearer(Algorithm::HS256, SIGNATURE_SECRET, &body, |_| {});
    let of_other = bearer(Algorithm::HS256, SIGNATURE_SECRET, &status("undeliverable"), |_| {});
    let stale = bearer(Algorithm::HS256, SIGNATURE_SECRET, &body, |claims| claims["iat"] = json!(NOW_S - 301));
    let by_other = bearer(Algorithm::HS256, "another-secret-0", &body, |_| {});
    let stronger = bearer(Algorithm::HS512, SIGNATURE_SECRET, &body, |_| {});
    for (what, authorization) in [
        ("of another body", &of_other),
        ("stale", &stale),
        ("by another secret", &by_other),
        ("by another algorithm", &stronger),
        ("by the account's login", &"Basic N2YzYWIxYzk6dm9uYWdlLXNlY3JldC01ZjFj".to_owned()),
        ("empty", &String::new()),
    ] {
        let refused = read_status(&gateway, authorization, &body).await;
        assert_eq!(refused, Err(ReceiptRefused::Unsigned), "{what}");
    }
    assert_eq!(read_status(&messages(None), &good, &body).await, Err(ReceiptRefused::NotTaken));
}
