//! A stand-in for the Telegram Gateway API over [`FakeHttp`].
//!
//! Owns what a request must look like and how the provider words its answers; like the real one it repeats the number.
//! Never decides what happens to a good request: that is the script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use hyper::{Method, header, http::request::Parts};
use serde_json::{Map, Value, json};

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken};

/// The one account's token and its verified channel.
pub const ACCESS_TOKEN: &str = "AAEFAAAAtelegram:token5f1c";
pub const CHANNEL: &str = "acme_codes";

/// Starts the fake.
pub async fn start() -> FakeHttp {
    FakeHttp::start(TelegramRules).await
}

/// A refusal, whatever HTTP says of it.
pub fn refusal(status: u16, word: &str) -> Reply {
    Reply::new(status, json!({ "ok": false, "error": word }).to_string())
}

struct TelegramRules;

impl Rules for TelegramRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        if head.uri.path() != "/sendVerificationMessage" || head.uri.query().is_some() {
            return refuse("path", "UNKNOWN_METHOD");
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        if head.method != Method::POST || text(header::CONTENT_TYPE) != Some("application/json") {
            return refuse("content type", "UNKNOWN_METHOD");
        }
        let Some(token) = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")) else {
            return refuse("credentials", "ACCESS_TOKEN_REQUIRED");
        };
        if token != ACCESS_TOKEN {
            return refuse("credentials", "ACCESS_TOKEN_INVALID");
        }
        let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return refuse("object", "PHONE_NUMBER_INVALID");
        };
        let to = members.shift_remove("phone_number").and_then(|to| to.as_str().map(str::to_owned));
        let to = to.unwrap_or_default();
        let digits = to.strip_prefix('+').unwrap_or_default();
        if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return refuse("phone_number", "PHONE_NUMBER_INVALID");
        }
        judge(&members)?;
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let fields = members.into_iter().map(|(name, value)| (name, text(value)));
        Ok(Taken { to, fields: fields.collect() })
    }

    fn accepted(&self, message: &Taken, number: usize) -> Reply {
        let result = json!({
            "request_id": format!("823498273{number:04}"), "phone_number": message.to, "request_cost": 0.01,
            "remaining_balance": 9.99, "delivery_status": { "status": "sent", "updated_at": 1_767_225_600 },
        });
        Reply::new(200, json!({ "ok": true, "result": result }).to_string())
    }
}

fn refuse<T>(rule: &'static str, word: &str) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: refusal(200, word) })
}

fn judge(members: &Map<String, Value>) -> Result<(), Refusal> {
    let code = members.get("code").and_then(Value::as_str).unwrap_or_default();
    if !(4..=8).contains(&code.len()) || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("code", "CODE_INVALID");
    }
    if !members.get("ttl").and_then(Value::as_u64).is_some_and(|ttl| (30..=3_600).contains(&ttl)) {
        return refuse("ttl", "TTL_INVALID");
    }
    if members.get("sender_username").is_some_and(|name| name != CHANNEL) {
        return refuse("sender_username", "SENDER_NOT_OWNED");
    }
    if members.get("payload").is_some_and(|payload| payload.as_str().is_none_or(|text| text.len() > 128)) {
        return refuse("payload", "PAYLOAD_INVALID");
    }
    let is_url = |url: &str| url.starts_with("https://") && url.len() <= 256;
    if members.get("callback_url").is_some_and(|url| !url.as_str().is_some_and(is_url)) {
        return refuse("callback_url", "CALLBACK_URL_INVALID");
    }
    let known = ["code", "ttl", "sender_username", "payload", "callback_url"];
    if members.keys().any(|name| !known.contains(&name.as_str())) {
        return refuse("unknown parameter", "PAYLOAD_INVALID");
    }
    Ok(())
}
