//! A stand-in for Vonage's SMS API: its rules (`providers.md` section 5) over [`FakeHttp`].
//!
//! Owns what a request must look like and how the provider words its answers: always HTTP 200, a verdict per part
//! inside. Never decides what happens to a good request: that is the script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{Method, header, http::request::Parts};
use serde_json::{Value, json};

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken, decode_form};

/// The one account and its sender.
pub const API_KEY: &str = "7f3ab1c9";
pub const API_SECRET: &str = "vonage-secret-5f1c";
pub const SENDER: &str = "Acme";

/// Letters that only Unicode has, as far as the tests use them; the rest of GSM-7 is proved in `segments`.
fn is_gsm(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii() && letter != '`' || "éàñ€".contains(letter))
}

/// Starts the fake.
pub async fn start() -> FakeHttp {
    FakeHttp::start(VonageRules).await
}

/// A refusal: a success of HTTP with one entry that is none.
pub fn refusal(code: u16, text: &str) -> Reply {
    parts(&[json!({ "status": code.to_string(), "error-text": text })])
}

/// An answer of these entries.
pub fn parts(entries: &[Value]) -> Reply {
    Reply::new(200, json!({ "message-count": entries.len().to_string(), "messages": entries }).to_string())
}

/// An entry of a part that was taken.
pub fn taken(to: &str, number: usize, part: usize) -> Value {
    json!({
        "to": to, "message-id": format!("aaaaaaaa-bbbb-4ccc-8ddd-{number:06}{part:06}"), "status": "0",
        "remaining-balance": "3.14159265", "message-price": "0.03330000", "network": "43211",
    })
}

struct VonageRules;

impl Rules for VonageRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        if head.uri.path() != "/sms/json" || head.uri.query().is_some() || head.method != Method::POST {
            return Err(Refusal { rule: "path", reply: Reply::new(404, "<html>404</html>") });
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
            return refuse("content type", 11, "Account not enabled for HTTP");
        }
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{API_KEY}:{API_SECRET}")));
        if text(header::AUTHORIZATION) != Some(&basic) {
            return refuse("credentials", 4, "Bad Credentials");
        }
        let Some(mut fields) = decode_form(body) else { return refuse("form", 2, "Missing from") };
        let Some(at) = fields.iter().position(|(name, _)| name == "to") else {
            return refuse("to", 2, "Missing to param");
        };
        let (_, to) = fields.remove(at);
        let digits = to.bytes().all(|byte| byte.is_ascii_digit()) && !to.starts_with('0');
        if !digits || !(7..=15).contains(&to.len()) {
            return refuse("to", 3, "to address is not numeric");
        }
        let message = Taken { to, fields };
        judge(&message)?;
        Ok(message)
    }

    /// One entry per part.
    fn accepted(&self, message: &Taken, number: usize) -> Reply {
        let room = if message.field("type") == Some("unicode") { (70, 67) } else { (160, 153) };
        let units = message.field("text").unwrap_or_default().encode_utf16().count();
        let count = if units <= room.0 { 1 } else { units.div_ceil(room.1) };
        parts(&(0..count).map(|part| taken(&message.to, number, part)).collect::<Vec<_>>())
    }
}

fn refuse<T>(rule: &'static str, code: u16, text: &str) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: refusal(code, text) })
}

fn judge(message: &Taken) -> Result<(), Refusal> {
    let field = |name| message.field(name).unwrap_or_default();
    if field("from") != SENDER {
        return refuse("from", 15, "Illegal Sender Address - rejected");
    }
    if field("text").is_empty() {
        return refuse("text", 2, "Missing text");
    }
    match field("type") {
        // The other way round costs parts, and what GSM-7 has no letter for would arrive as question marks.
        "unicode" if !is_gsm(field("text")) => {}
        "text" if is_gsm(field("text")) => {}
        _ => return refuse("type", 3, "Invalid type"),
    }
    match field("ttl").parse() {
        Ok(20_000..=604_800_000_u64) => {}
        Ok(_) | Err(_) => return refuse("ttl", 3, "Invalid ttl"),
    }
    if message.field("client-ref").is_some_and(|reference| !(1..=40).contains(&reference.len())) {
        return refuse("client-ref", 3, "Invalid client-ref");
    }
    if message.field("callback").is_some_and(|url| !url.starts_with("https://") || url.len() > 100) {
        return refuse("callback", 23, "Invalid callback url");
    }
    let known = ["from", "text", "type", "ttl", "client-ref", "callback"];
    if message.fields.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return refuse("unknown parameter", 3, "Invalid parameter");
    }
    Ok(())
}
