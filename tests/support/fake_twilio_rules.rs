//! The rules of Twilio's APIs that the fake enforces (`providers.md` sections 1 and 2): what is the same for messages,
//! calls and verifications, and messages themselves.
//!
//! Owns what a request must look like and what Twilio answers if it does not. Never decides what happens to a good
//! one: that is the script's.

#[path = "fake_twilio_calls.rs"]
mod calls;
#[path = "fake_twilio_verify.rs"]
mod verify;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{header, http::request::Parts};

pub(super) use self::verify::Cycles;
pub use self::verify::VERIFY_SID;

/// The one account the fake knows.
pub const ACCOUNT_SID: &str = "AC00000000000000000000000000000f0f";
/// Its secret.
pub const AUTH_TOKEN: &str = "fake-twilio-token-5f1c";
/// A number the account owns, for texts, calls and WhatsApp. Like Twilio's test credentials, the fake owns +15005550006
/// too.
pub const SENDER: &str = "+12025550100";
/// A messaging service the account owns.
pub const SERVICE_SID: &str = "MG00000000000000000000000000000f0f";
/// A template that WhatsApp approved for the account.
pub const CONTENT_SID: &str = "HX00000000000000000000000000000f0f";

/// The fields of a form, in the request's order.
pub(super) type Fields = Vec<(String, String)>;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text, or a message by WhatsApp.
    Message,
    /// A call.
    Call,
    /// The start of a verification.
    Verification,
    /// The end of one.
    Feedback,
}

/// A request that keeps the rules.
pub(super) struct Asked {
    pub(super) kind: Kind,
    /// Where to; of a feedback, which verification.
    pub(super) to: String,
    /// The text, what is said, or the code; of a feedback, how it ended.
    pub(super) body: String,
    /// Everything that was given.
    pub(super) fields: Fields,
}

/// A rule that was broken, and Twilio's answer to that.
pub(super) struct Refusal {
    pub(super) rule: &'static str,
    pub(super) status: u16,
    pub(super) code: u32,
}

pub(super) fn refuse<T>(rule: &'static str, status: u16, code: u32) -> Result<T, Refusal> {
    Err(Refusal { rule, status, code })
}

/// Twilio's magic recipients.
pub(super) fn magic(asked: &Asked) -> Option<u32> {
    let known = match asked.kind {
        Kind::Message => [21211, 21612, 21408, 21610, 21614],
        Kind::Call => [21217, 21214, 21215, 21216, 21217],
        // Test credentials do not cover Verify.
        Kind::Verification | Kind::Feedback => return None,
    };
    let recipients = ["+15005550001", "+15005550002", "+15005550003", "+15005550004", "+15005550009"];
    recipients.into_iter().zip(known).find(|(number, _)| *number == asked.to).map(|(_, code)| code)
}

/// Reads a request of any of the APIs.
pub(super) fn read(head: &Parts, body: &[u8]) -> Result<Asked, Refusal> {
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    let asks = match path.as_slice() {
        ["2010-04-01", "Accounts", ACCOUNT_SID, "Messages.json"] => message,
        ["2010-04-01", "Accounts", ACCOUNT_SID, "Calls.json"] => calls::read,
        ["v2", "Services", VERIFY_SID, "Verifications"] => verify::start,
        ["v2", "Services", VERIFY_SID, "Verifications", _] => verify::feedback,
        _ => return refuse("path", 404, 20404),
    };
    if head.uri.query().is_some() {
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
    let Some(fields) = decode(body) else { return refuse("form encoding", 400, 20001) };
    asks(Given { rest: fields.clone(), path_end: path.last().copied().unwrap_or_default() })
        .map(|asked| Asked { fields, ..asked })
}

/// The fields that no rule has looked at yet.
pub(super) struct Given<'a> {
    rest: Fields,
    /// The last segment of the path.
    pub(super) path_end: &'a str,
}

impl Given<'_> {
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.rest.iter().position(|(field, _)| field == name)?;
        Some(self.rest.remove(at).1)
    }

    /// A whole number within these ends, if it is given.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        ends: std::ops::RangeInclusive<u32>,
        code: u32,
    ) -> Result<Option<u32>, Refusal> {
        match self.take(name).map(|text| text.parse()) {
            None => Ok(None),
            Some(Ok(number)) if ends.contains(&number) => Ok(Some(number)),
            Some(_) => refuse(name, 400, code),
        }
    }

    /// A public host without underscores, at most 4000 characters.
    pub(super) fn status_callback(&mut self) -> Result<(), Refusal> {
        let Some(text) = self.take("StatusCallback") else { return Ok(()) };
        let url = reqwest::Url::parse(&text).ok();
        let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        if text.len() <= 4_000 && text.starts_with("http") && host.contains('.') && !host.contains('_') {
            return Ok(());
        }
        refuse("StatusCallback", 400, 21609)
    }

    /// Twilio ignores what it does not know; a test must not.
    pub(super) fn nothing_left(&self) -> Result<(), Refusal> {
        if self.rest.is_empty() { Ok(()) } else { refuse("unknown field", 400, 20001) }
    }
}

fn message(mut given: Given<'_>) -> Result<Asked, Refusal> {
    let to = given.take("To").unwrap_or_default();
    let is_whatsapp = to.starts_with("whatsapp:");
    sender(&mut given, is_whatsapp)?;
    if !is_e164(to.strip_prefix("whatsapp:").unwrap_or(&to)) {
        return refuse("To", 400, 21211);
    }
    let body = if is_whatsapp { template(&mut given)? } else { text(&mut given)? };
    given.status_callback()?;
    given.nothing_left()?;
    Ok(Asked { kind: Kind::Message, to, body, fields: Fields::new() })
}

fn text(given: &mut Given<'_>) -> Result<String, Refusal> {
    given.number("ValidityPeriod", 1..=36_000, 20001)?;
    match given.take("Body") {
        None => refuse("Body", 400, 21602),
        Some(body) if body.is_empty() => refuse("Body", 400, 21602),
        Some(body) if body.chars().count() > 1600 => refuse("Body", 400, 21617),
        Some(body) => Ok(body),
    }
}

/// A message that nobody answered before has the words that WhatsApp approved.
fn template(given: &mut Given<'_>) -> Result<String, Refusal> {
    if given.take("Body").is_some() {
        return refuse("Body", 400, 63016);
    }
    if given.take("ContentSid").as_deref() != Some(CONTENT_SID) {
        return refuse("ContentSid", 400, 21655);
    }
    let variables = given.take("ContentVariables").unwrap_or_default();
    let variables: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&variables).ok();
    let code = variables.as_ref().and_then(|variables| variables.get("1")).and_then(serde_json::Value::as_str);
    match (code, variables.as_ref().map(serde_json::Map::len)) {
        (Some(code), Some(1)) if !code.is_empty() => Ok(format!("{code} is your verification code.")),
        _ => refuse("ContentVariables", 400, 21656),
    }
}

/// Exactly one sender, and one that the account owns or that is magic.
fn sender(given: &mut Given<'_>, is_whatsapp: bool) -> Result<(), Refusal> {
    let refuse = |code| refuse("sender", 400, code);
    let (from, service) = (given.take("From"), given.take("MessagingServiceSid"));
    if is_whatsapp {
        let own = from.as_deref().and_then(|from| from.strip_prefix("whatsapp:")) == Some(SENDER);
        return if own && service.is_none() { Ok(()) } else { refuse(63007) };
    }
    match (from.as_deref(), service.as_deref()) {
        (Some(SENDER | "+15005550006"), None) | (None, Some(SERVICE_SID)) => Ok(()),
        (Some("+15005550001"), None) => refuse(21212),
        (Some("+15005550008"), None) => refuse(21611),
        (Some(_), None) => refuse(21606),
        (None, Some(_)) => refuse(21703),
        (Some(_), Some(_)) | (None, None) => refuse(21603),
    }
}

/// Decodes a form strictly: only unreserved letters, `+`, `%XX`; every field once.
fn decode(body: &[u8]) -> Option<Fields> {
    let text = std::str::from_utf8(body).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*+%=&".contains(&byte);
    if !text.bytes().all(plain) {
        return None;
    }
    let mut fields = Fields::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name.into_owned(), value.into_owned()));
    }
    Some(fields)
}

pub(super) fn is_e164(to: &str) -> bool {
    to.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    })
}
