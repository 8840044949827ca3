//! A stand-in for a receiver of the generic webhook: Standard Webhooks' rules over [`FakeHttp`].
//!
//! Owns what a request must look like, its signature first, and how this receiver words its answers. Never decides what
//! happens to a good request: that is the script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::{Method, header, http::request::Parts};
use otpd::clock::{Clock, SystemClock};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken};

/// The secret that both sides know, and one that is none of the receiver's.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const OTHER_SECRET: &str = "whsec_d3Jvbmctc2VjcmV0LTVmMWMtd3Jvbmctc2VjcmV0";
/// The key that the receiver asks for beside the signature.
pub const API_KEY: &str = "receiver-key-5f1c";

/// How far the time of a request may be off, in seconds.
const TOLERANCE_S: u64 = 300;

/// Starts the fake; its time is the machine's.
pub async fn start() -> FakeHttp {
    start_at(Arc::new(SystemClock)).await
}

/// Starts the fake with a time of its own.
pub async fn start_at(clock: Arc<dyn Clock>) -> FakeHttp {
    FakeHttp::start(WebhookRules { clock }).await
}

/// A refusal that names its class.
pub fn refusal(status: u16, class: &str) -> Reply {
    Reply::new(status, json!({ "status": "refused", "class": class }).to_string())
}

struct WebhookRules {
    clock: Arc<dyn Clock>,
}

impl Rules for WebhookRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        if head.method != Method::POST || head.uri.query().is_some() || !["/", "/sms"].contains(&head.uri.path()) {
            return Err(Refusal { rule: "path", reply: Reply::new(404, "<html>404</html>") });
        }
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::CONTENT_TYPE.as_str()) != Some("application/json") {
            return refuse("content type", 415, "bad_config");
        }
        if text("x-api-key") != Some(API_KEY) {
            return refuse("api key", 401, "auth_failed");
        }
        let (id, sent) = (text("webhook-id").unwrap_or_default(), text("webhook-timestamp").unwrap_or_default());
        let signatures = text("webhook-signature").unwrap_or_default();
        if !signatures.split(' ').any(|signature| signature == sign(id, sent, body)) {
            return refuse("credentials", 401, "auth_failed");
        }
        if !sent.parse().is_ok_and(|sent: u64| sent.abs_diff(self.clock.now().0 / 1_000) <= TOLERANCE_S) {
            return refuse("timestamp", 400, "bad_config");
        }
        if id.len() < 16 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return refuse("id", 400, "bad_config");
        }
        read(body)
    }

    fn accepted(&self, _: &Taken, number: usize) -> Reply {
        Reply::new(200, json!({ "status": "sent", "message_id": format!("relay-{number}") }).to_string())
    }
}

fn refuse<T>(rule: &'static str, status: u16, class: &str) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: refusal(status, class) })
}

/// By the words of the specification: the key is the Base64 after `whsec_`, the content is joined by full stops.
fn sign(id: &str, sent: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("the constant is Base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    let content = [id.as_bytes(), b".", sent.as_bytes(), b".", body].concat();
    mac.update(&content);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// An object of texts and numbers with a recipient.
fn read(body: &[u8]) -> Result<Taken, Refusal> {
    let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return refuse("object", 400, "bad_config");
    };
    let to = members.shift_remove("to").and_then(|to| to.as_str().map(str::to_owned)).unwrap_or_default();
    let digits = to.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if !digits || !(8..=16).contains(&to.len()) {
        return refuse("to", 422, "invalid_number");
    }
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = members.into_iter().map(|(name, value)| (name, text(value)));
    Ok(Taken { to, fields: fields.collect() })
}
