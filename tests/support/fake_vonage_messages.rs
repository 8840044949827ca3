//! A stand-in for Vonage's Messages API v1: its rules (`providers.md` section 5) over [`FakeHttp`].
//!
//! Owns what a request must look like and how the provider words its answers. Signs in an account by Basic and an
//! application by a token, which it checks as Vonage does. Never decides what happens to a good request: that is the
//! script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::{collections::HashSet, sync::Mutex};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{Method, header, http::request::Parts};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value, json};

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken};

/// The one account, its application and its sender.
pub const API_KEY: &str = "7f3ab1c9";
pub const API_SECRET: &str = "vonage-secret-5f1c";
pub const APPLICATION_ID: &str = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab";
pub const SENDER: &str = "Acme";

/// Starts the fake; it knows its application by this public key (PEM), if there is one.
pub async fn start(public_key: Option<&str>) -> FakeHttp {
    let public_key = public_key.map(|pem| DecodingKey::from_rsa_pem(pem.as_bytes()).expect("a public key"));
    FakeHttp::start(MessagesRules { public_key, seen: Mutex::default() }).await
}

/// A refusal: a problem document.
pub fn refusal(status: u16, code: &str) -> Reply {
    problem(status, code, &json!([]))
}

fn problem(status: u16, code: &str, invalid_parameters: &Value) -> Reply {
    let body = json!({
        "type": format!("https://developer.vonage.com/api-errors/messages#{code}"), "title": "Refused",
        "detail": "989123456789 is not good", "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
        "invalid_parameters": invalid_parameters,
    });
    Reply::new(status, body.to_string())
}

struct MessagesRules {
    public_key: Option<DecodingKey>,
    /// Ids of tokens: none is taken twice.
    seen: Mutex<HashSet<String>>,
}

impl Rules for MessagesRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        if head.uri.path() != "/v1/messages" || head.uri.query().is_some() || head.method != Method::POST {
            return refuse("path", 404, "not-found");
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{API_KEY}:{API_SECRET}")));
        match text(header::AUTHORIZATION) {
            Some(header) if header == basic => {}
            Some(header) if header.strip_prefix("Bearer ").is_some_and(|token| self.is_token(token)) => {}
            Some(_) | None => return refuse("credentials", 401, "unauthorized"),
        }
        if text(header::CONTENT_TYPE) != Some("application/json") {
            return refuse("content type", 415, "content-type-header");
        }
        if text(header::ACCEPT) != Some("application/json") {
            return refuse("accept", 406, "accept-header");
        }
        let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return refuse("object", 422, "invalid-json");
        };
        let to = members.shift_remove("to").and_then(|to| to.as_str().map(str::to_owned)).unwrap_or_default();
        let digits = to.bytes().all(|byte| byte.is_ascii_digit()) && !to.starts_with('0');
        if !digits || !(7..=15).contains(&to.len()) {
            return invalid("to");
        }
        judge(&members)?;
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(Taken { to, fields: members.into_iter().map(|(name, value)| (name, text(value))).collect() })
    }

    fn accepted(&self, _: &Taken, number: usize) -> Reply {
        Reply::new(202, json!({ "message_uuid": format!("aaaaaaaa-bbbb-4ccc-8ddd-{number:012}") }).to_string())
    }
}

impl MessagesRules {
    /// RS256 by the application's key, for this application, not over, for at most a day, and never used before.
    fn is_token(&self, token: &str) -> bool {
        let Some(key) = &self.public_key else { return false };
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_required_spec_claims(&["exp"]);
        let Ok(token) = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation) else { return false };
        let number = |name: &str| token.claims.get(name).and_then(Value::as_u64);
        let id = token.claims.get("jti").and_then(Value::as_str).unwrap_or_default();
        token.claims.get("application_id").is_some_and(|application| application == APPLICATION_ID)
            && matches!((number("iat"), number("exp")), (Some(iat), Some(exp)) if exp - iat <= 86_400)
            && !id.is_empty()
            && self.seen.lock().expect("no test panics under the lock").insert(id.to_owned())
    }
}

fn refuse<T>(rule: &'static str, status: u16, code: &str) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: refusal(status, code) })
}

fn invalid<T>(name: &'static str) -> Result<T, Refusal> {
    Err(Refusal { rule: name, reply: problem(422, "1020", &json!([{ "name": name, "reason": "is not good" }])) })
}

fn judge(members: &Map<String, Value>) -> Result<(), Refusal> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    if text("channel") != Some("sms") || text("message_type") != Some("text") {
        return invalid("channel");
    }
    if text("from") != Some(SENDER) {
        return refuse("from", 422, "1120");
    }
    if !text("text").is_some_and(|text| (1..=1_000).contains(&text.chars().count())) {
        return invalid("text");
    }
    if !members.get("ttl").and_then(Value::as_u64).is_some_and(|ttl| (20..=604_800).contains(&ttl)) {
        return refuse("ttl", 422, "1130");
    }
    let kinds = ["auto", "text", "unicode"];
    let encoding = members.get("sms").and_then(|sms| sms.get("encoding_type")).and_then(Value::as_str);
    if members.get("sms").is_some_and(|_| !encoding.is_some_and(|kind| kinds.contains(&kind))) {
        return invalid("sms");
    }
    if members.get("client_ref").is_some_and(|name| !name.as_str().is_some_and(|name| (1..=100).contains(&name.len())))
    {
        return invalid("client_ref");
    }
    if members.get("webhook_url").is_some_and(|url| !url.as_str().is_some_and(|url| url.starts_with("https://"))) {
        return invalid("webhook_url");
    }
    if members.get("webhook_version").is_some_and(|version| version != "v1" && version != "v0.1") {
        return invalid("webhook_version");
    }
    let known =
        ["channel", "message_type", "from", "text", "ttl", "sms", "client_ref", "webhook_url", "webhook_version"];
    if members.keys().any(|name| !known.contains(&name.as_str())) {
        return invalid("unknown parameter");
    }
    Ok(())
}
