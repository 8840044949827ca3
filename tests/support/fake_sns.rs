//! A stand-in for Amazon SNS: its rules (`providers.md` section 6) over [`FakeHttp`].
//!
//! Owns what a request must look like, its signature first, and how the provider words its answers (XML). Never decides
//! what happens to a good request: that is the script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::{Method, http::request::Parts};
use otpd::clock::{Clock, SystemClock};
use sha2::{Digest as _, Sha256};

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken, decode_form};

/// The one key and its region.
pub const ACCESS_KEY_ID: &str = "AKIDEXAMPLE5F1C0000";
pub const SECRET_ACCESS_KEY: &str = "sns/secret+5f1c/EXAMPLEKEY";
pub const REGION: &str = "eu-central-1";

/// How far the time of a request may be off, in seconds.
const TOLERANCE_S: u64 = 900;
/// Longest text, in characters.
const MESSAGE_MAX: usize = 1_600;

/// Starts the fake; its time is the machine's.
pub async fn start() -> FakeHttp {
    start_at(Arc::new(SystemClock)).await
}

/// Starts the fake with a time of its own.
pub async fn start_at(clock: Arc<dyn Clock>) -> FakeHttp {
    FakeHttp::start(SnsRules { clock }).await
}

/// An error as SNS words it.
pub fn error(status: u16, code: &str, message: &str) -> Reply {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    Reply::new(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\n  <Error>\n    <Type>{kind}</Type>\n    \
             <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
             <RequestId>9dd01905-5012-5f99-8663-4b3ecd0dfaef</RequestId>\n</ErrorResponse>\n"
        ),
    )
}

struct SnsRules {
    clock: Arc<dyn Clock>,
}

impl Rules for SnsRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        if head.uri.path() != "/" || head.uri.query().is_some() || head.method != Method::POST {
            return refuse("path", 404, "NotFound", "");
        }
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !text("content-type").starts_with("application/x-www-form-urlencoded") {
            return refuse("content type", 400, "MissingAction", "");
        }
        verify(&text, body)?;
        let time = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", text("x-amz-date")).and_then(|time| time.to_datetime());
        let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
        let seconds = time.map(|time| time.timestamp().as_second().unsigned_abs()).unwrap_or_default();
        if seconds.abs_diff(self.clock.now().0 / 1_000) > TOLERANCE_S {
            return refuse("time", 403, "SignatureDoesNotMatch", "Signature expired");
        }
        let Some(mut fields) = decode_form(body) else { return refuse("form", 400, "ValidationError", "") };
        let Some(at) = fields.iter().position(|(name, _)| name == "PhoneNumber") else {
            return refuse("PhoneNumber", 400, "InvalidParameter", "Invalid parameter: TopicArn");
        };
        let (_, to) = fields.remove(at);
        let message = Taken { to, fields };
        judge(&message)?;
        Ok(message)
    }

    fn accepted(&self, _: &Taken, number: usize) -> Reply {
        Reply::new(
            200,
            format!(
                "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\n  <PublishResult>\n    \
                 <MessageId>94f20ce6-13c5-43a0-9a9e-{number:012}</MessageId>\n  </PublishResult>\n  <ResponseMetadata>\n    \
                 <RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId>\n  </ResponseMetadata>\n\
                 </PublishResponse>\n"
            ),
        )
    }
}

fn refuse<T>(rule: &'static str, status: u16, code: &str, message: &str) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: error(status, code, message) })
}

/// The signature by the words of AWS's documentation, over the headers as they came.
fn verify<'a>(text: &impl Fn(&str) -> &'a str, body: &[u8]) -> Result<(), Refusal> {
    let wrong = || refuse("credentials", 403, "SignatureDoesNotMatch", "The request signature does not match");
    let Some(parts) = text("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else { return wrong() };
    let part = |name: &str| parts.split(", ").find_map(|part| part.strip_prefix(name)).unwrap_or_default();
    let signed: Vec<&str> = part("SignedHeaders=").split(';').collect();
    if !signed.is_sorted() || !["host", "x-amz-date"].iter().all(|name| signed.contains(name)) {
        return wrong();
    }
    let time = text("x-amz-date");
    let date = time.get(..8).unwrap_or_default();
    let scope = format!("{date}/{REGION}/sns/aws4_request");
    if part("Credential=") != format!("{ACCESS_KEY_ID}/{scope}") {
        return refuse("credentials", 403, "InvalidClientTokenId", "The security token is invalid");
    }
    let mut canonical = "POST\n/\n\n".to_owned();
    for name in &signed {
        canonical.push_str(&format!("{name}:{}\n", text(name)));
    }
    canonical.push_str(&format!("\n{}\n{}", signed.join(";"), hex(&Sha256::digest(body))));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let date_key = mac(format!("AWS4{SECRET_ACCESS_KEY}").as_bytes(), date);
    let key = mac(&mac(&mac(&date_key, REGION), "sns"), "aws4_request");
    if part("Signature=") == hex(&mac(&key, &to_sign)) { Ok(()) } else { wrong() }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn judge(message: &Taken) -> Result<(), Refusal> {
    let digits = message.to.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let reason = "Invalid parameter: PhoneNumber Reason: it is not valid to publish to";
        return refuse("PhoneNumber", 400, "InvalidParameter", reason);
    }
    let field = |name| message.field(name).unwrap_or_default();
    if (field("Action"), field("Version")) != ("Publish", "2010-03-31") {
        return refuse("action", 400, "InvalidAction", "");
    }
    if !(1..=MESSAGE_MAX).contains(&field("Message").chars().count()) {
        return refuse("Message", 400, "InvalidParameter", "Invalid parameter: Message");
    }
    let known = ["Action", "Version", "Message"];
    let attribute = |name: &str| name.starts_with("MessageAttributes.entry.");
    if message.fields.iter().any(|(name, _)| !known.contains(&name.as_str()) && !attribute(name)) {
        return refuse("unknown parameter", 400, "ValidationError", "");
    }
    let entries = message.fields.iter().filter(|(name, _)| attribute(name)).count();
    for at in 1..=entries / 3 {
        let entry = |rest: &str| message.field(&format!("MessageAttributes.entry.{at}.{rest}")).unwrap_or_default();
        let good = match entry("Name") {
            "AWS.SNS.SMS.SMSType" => ["Transactional", "Promotional"].contains(&entry("Value.StringValue")),
            "AWS.SNS.SMS.SenderID" | "AWS.MM.SMS.OriginationNumber" => !entry("Value.StringValue").is_empty(),
            _ => false,
        };
        if !good || entry("Value.DataType") != "String" {
            return refuse("attribute", 400, "ParameterValueInvalid", "");
        }
    }
    if entries % 3 == 0 { Ok(()) } else { refuse("attribute", 400, "ParameterValueInvalid", "") }
}
