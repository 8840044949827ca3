//! The rules of Twilio's Messages API that the fake enforces (`providers.md` section 1).
//!
//! Owns what a request must look like and what Twilio answers if it does not. Never decides what happens to a good
//! one: that is the script's.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header;

/// The one account the fake knows.
pub const ACCOUNT_SID: &str = "AC00000000000000000000000000000f0f";
/// Its secret.
pub const AUTH_TOKEN: &str = "fake-twilio-token-5f1c";
/// A number the account owns. Like Twilio's test credentials, the fake owns +15005550006 too.
pub const SENDER: &str = "+12025550100";
/// A messaging service the account owns.
pub const SERVICE_SID: &str = "MG00000000000000000000000000000f0f";

/// Twilio's magic recipients.
pub(super) fn magic(form: &Form) -> Option<u32> {
    Some(match form.to.as_str() {
        "+15005550001" => 21211,
        "+15005550002" => 21612,
        "+15005550003" => 21408,
        "+15005550004" => 21610,
        "+15005550009" => 21614,
        _ => return None,
    })
}

/// A form that keeps the rules.
pub(super) struct Form {
    pub(super) to: String,
    pub(super) body: String,
    pub(super) validity_s: Option<u32>,
    pub(super) status_callback: Option<String>,
}

/// A rule that was broken, and Twilio's answer to that.
pub(super) struct Refusal {
    pub(super) rule: &'static str,
    pub(super) status: u16,
    pub(super) code: u32,
}

impl Form {
    pub(super) fn read(head: &hyper::http::request::Parts, body: &[u8]) -> Result<Self, Refusal> {
        let refuse = |rule, status, code| Err(Refusal { rule, status, code });
        if head.uri.path() != format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json") || head.uri.query().is_some()
        {
            return refuse("path", 404, 20404);
        }
        if head.method != hyper::Method::POST {
            return refuse("method", 405, 20004);
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let credentials = BASE64_STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}"));
        if text(header::AUTHORIZATION) != Some(&format!("Basic {credentials}")) {
            return refuse("credentials", 401, 20003);
        }
        if text(header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
            return refuse("content type", 400, 20001);
        }
        let mut fields = decode(body).ok_or(Refusal { rule: "form encoding", status: 400, code: 20001 })?;
        let to = fields.remove("To").unwrap_or_default();
        let body = fields.remove("Body").unwrap_or_default();
        let validity = fields.remove("ValidityPeriod").map(|seconds| seconds.parse::<u32>());
        sender(&mut fields)?;
        if !is_e164(&to) {
            return refuse("To", 400, 21211);
        }
        if body.is_empty() {
            return refuse("Body", 400, 21602);
        }
        if body.chars().count() > 1600 {
            return refuse("Body", 400, 21617);
        }
        let validity_s = match validity {
            None => None,
            Some(Ok(seconds)) if (1..=36_000).contains(&seconds) => Some(seconds),
            Some(_) => return refuse("ValidityPeriod", 400, 20001),
        };
        let status_callback = fields.remove("StatusCallback");
        if status_callback.as_deref().is_some_and(|url| !is_callback(url)) {
            return refuse("StatusCallback", 400, 21609);
        }
        if !fields.is_empty() {
            return refuse("unknown field", 400, 20001);
        }
        Ok(Self { to, body, validity_s, status_callback })
    }
}

/// Exactly one sender, and one that the account owns or that is magic.
fn sender(fields: &mut HashMap<String, String>) -> Result<(), Refusal> {
    let refuse = |code| Err(Refusal { rule: "sender", status: 400, code });
    match (fields.remove("From").as_deref(), fields.remove("MessagingServiceSid").as_deref()) {
        (Some(SENDER | "+15005550006"), None) | (None, Some(SERVICE_SID)) => Ok(()),
        (Some("+15005550001"), None) => refuse(21212),
        (Some("+15005550008"), None) => refuse(21611),
        (Some(_), None) => refuse(21606),
        (None, Some(_)) => refuse(21703),
        (Some(_), Some(_)) | (None, None) => refuse(21603),
    }
}

/// Decodes a form strictly: only unreserved letters, `+`, `%XX`; every field once.
fn decode(body: &[u8]) -> Option<HashMap<String, String>> {
    let text = std::str::from_utf8(body).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*+%=&".contains(&byte);
    if !text.bytes().all(plain) {
        return None;
    }
    let url = reqwest::Url::parse(&format!("http://form/?{text}")).ok()?;
    let mut fields = HashMap::new();
    for (name, value) in url.query_pairs() {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// A public host without underscores, at most 4000 characters.
fn is_callback(text: &str) -> bool {
    let url = reqwest::Url::parse(text).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    text.len() <= 4_000 && text.starts_with("http") && host.contains('.') && !host.contains('_')
}

fn is_e164(to: &str) -> bool {
    to.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    })
}
