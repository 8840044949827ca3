//! `typed_verification`: codes of any type of verification, no users and no tokens (`seeds/004`, Django REST framework).
//!
//! The calls and their texts; `docs` tells of them. A type is any text: lower-cased it is the code's purpose, or a keyed
//! name of 24 digits stands for it. So no two types are one, and the longest type that is a purpose itself has 20.

mod docs;

use std::borrow::Cow;

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Figures, Framework, Route, Spec,
    desk::{self, Call, TOO_MANY, answer, folded, with_retry_after},
    drf::{self, Fields},
    no::No,
};
use crate::{
    record::{Code, Label, PhoneNumber},
    service::{RefreshStyle, StartInput, TokenStyle},
};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "typed_verification",
    base_path: "/api/users",
    figures: Figures {
        default_region: Cow::Borrowed(""),
        code_digits: 4,
        code_ttl_s: 300,
        attempts: 5,
        sends: 3,
        send_window_s: 600,
        ip_per_minute: 60,
        block_s: 0,
        access_ttl_s: 900,
        refresh_ttl_s: 0,
    },
    framework: Framework::DrfSlashed,
    routes: &[
        Route::counted("POST", "/send-otp/", |call| Box::pin(send(call))),
        Route::counted("POST", "/verify-otp/", |call| Box::pin(verify(call))),
        Route::counted("POST", "/resend-otp/", |call| Box::pin(send(call))),
    ],
    says: error,
    ip_limited: |_| limited(),
    // Nobody signs in here.
    tokens: TokenStyle { refresh: RefreshStyle::None, ..TokenStyle::CANONICAL },
    text: Some(("en", "Welcome To Your App!\nThank you for using our service.\nYour OTP is {code}")),
    refresh_at_oauth: false,
    docs: docs::api,
};

/// The type of a request that names none.
const DEFAULT_TYPE: &str = "login";
/// Most characters of a type.
const TYPE_CHARS_MAX: usize = 20;
/// Digits of a number.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 10..=15;

const NO_PHONE: &str = "Phone number is required";
const BAD_TYPE: &str = "Invalid verification type";

/// Its form of refusals; those of codes have `verified` too.
fn error(text: &str) -> Value {
    json!({ "message": text, "status": "error" })
}

/// The one refusal of the original without `status`.
fn limited() -> Value {
    json!({ "message": TOO_MANY })
}

/// The fields of a body; one that is no dictionary has none. The views of the original look at it without a serializer.
async fn fields(call: &Call) -> Result<Fields, Response> {
    Ok(Fields::of(drf::data(call).await?).unwrap_or_default())
}

/// What was typed, without the spaces around it; `None`: nothing, or no text.
fn typed<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.given_text(name).map(str::trim).filter(|text| !text.is_empty())
}

/// `^\+?[1-9]\d{9,14}$` of the original, spaces aside.
fn phone(call: &Call, typed: &str) -> Option<PhoneNumber> {
    let text = folded(typed).replace(' ', "");
    let digits = text.strip_prefix('+').unwrap_or(&text);
    let is_phone = PHONE_DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if is_phone { call.desk.phone(&text) } else { None }
}

/// What a code of this type is for; `None`: no text, or a long one.
fn purpose(call: &Call, fields: &Fields) -> Option<Label> {
    let typed = fields.given("verification_type").map_or(Some(DEFAULT_TYPE), Value::as_str)?;
    if typed.chars().nth(TYPE_CHARS_MAX).is_some() {
        return None;
    }
    let kind = typed.to_lowercase();
    let plain = Label::new(&kind).ok().filter(|_| kind.len() <= TYPE_CHARS_MAX);
    plain.or_else(|| call.desk.service.purpose_for(&kind))
}

async fn send(call: Call) -> Result<Response, Response> {
    let fields = fields(&call).await?;
    let desk = &call.desk;
    let bad = |text| desk.says(StatusCode::BAD_REQUEST, text);
    let sent_to = typed(&fields, "phone").ok_or_else(|| bad(NO_PHONE))?;
    let phone = phone(&call, sent_to).ok_or_else(|| bad("Invalid phone number format"))?;
    let purpose = purpose(&call, &fields).ok_or_else(|| bad(BAD_TYPE))?;
    let started = desk.service.start(&desk.dialect, &call.origin, StartInput::plain(phone, purpose)).await;
    started.map_err(|failure| match No::from(failure) {
        No::NotSent(_) => desk.says(StatusCode::INTERNAL_SERVER_ERROR, "Failed to send OTP. Please try again."),
        No::Limited { retry_after_s } => {
            with_retry_after(answer(StatusCode::TOO_MANY_REQUESTS, limited()), retry_after_s)
        }
        no => desk.refuses(&no),
    })?;
    Ok(answer(StatusCode::OK, json!({ "message": "OTP sent successfully", "status": "success" })))
}

/// A code that was not good.
fn unverified(text: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, json!({ "message": text, "status": "error", "verified": false }))
}

fn invalid() -> Response {
    unverified("Invalid OTP code")
}

async fn verify(call: Call) -> Result<Response, Response> {
    let fields = fields(&call).await?;
    let sent_to = typed(&fields, "phone").ok_or_else(|| unverified(NO_PHONE))?;
    let code = code(&call, fields.given("otp")).map_err(unverified)?;
    let purpose = purpose(&call, &fields).ok_or_else(|| unverified(BAD_TYPE))?;
    // A number that none was sent to, however it is written.
    let phone = phone(&call, sent_to).ok_or_else(invalid)?;
    let code = code.ok_or_else(invalid)?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let confirmed = service.confirm_newest(dialect, &call.origin, (phone, purpose), code).await;
    confirmed.map_err(|failure| not_verified(&call, &No::from(failure)))?;
    Ok(answer(StatusCode::OK, json!({ "message": "OTP verified successfully", "status": "success", "verified": true })))
}

/// A code as it was sent; the original compares numbers, so zeros before one of full length say nothing, and a JSON
/// number is one if it has all its digits. `None`: none that could be right. `Err` is what is said of no code.
fn code(call: &Call, sent: Option<&Value>) -> Result<Option<Code>, &'static str> {
    let digits = usize::from(call.desk.dialect.policy.code_digits);
    let text = match sent {
        None | Some(Value::Null) => return Err("OTP code is required"),
        Some(Value::String(text)) => folded(text.trim()),
        Some(Value::Number(number)) if number.is_u64() => {
            let text = number.to_string();
            return Ok(Some(text).filter(|text| text.len() == digits).as_deref().and_then(desk::code));
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err("OTP must be numeric");
        }
    };
    if text.is_empty() {
        return Err("OTP code is required");
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("OTP must be numeric");
    }
    let surplus = text.len().saturating_sub(digits);
    let (before, rest) = text.split_at_checked(surplus).unwrap_or_default();
    Ok(if before.bytes().all(|byte| byte == b'0') { desk::code(rest) } else { None })
}

fn not_verified(call: &Call, no: &No) -> Response {
    match no {
        No::Wrong { .. } | No::Exhausted | No::NothingPending | No::BadCode => invalid(),
        No::Delayed { retry_after_s } => with_retry_after(invalid(), *retry_after_s),
        // The core compares nothing with a code that is over, so this is said of a wrong one as well.
        No::Expired => unverified("OTP code has expired. Please request a new one."),
        no => call.desk.refuses(no),
    }
}
