//! `signup_login`: signing up, completing a profile, logging in (`seeds/002`, FastAPI).
//!
//! Every business answer, good or bad, is an envelope of four keys and status 200; 429, 503 and 504 have the envelope too.
//! Signing up and logging in are doors of their own: a code of one is not good at the other.

mod docs;
mod profile;

use std::borrow::Cow;

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Figures, Framework, Route, Spec,
    desk::{self, Call, TOO_MANY, answer, folded, with_retry_after},
    fastapi::{self, Model, Text},
    no::No,
};
use crate::{
    record::{Account, Code, LOGIN, Label, PhoneNumber, SIGNUP},
    service::{Failure, RefreshStyle, StartInput, TokenStyle, digits::to_ascii, number::NUMBER_CHARS_MAX},
    sms::SendClass,
    token::TokenError,
};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "signup_login",
    base_path: "/auth",
    figures: Figures {
        default_region: Cow::Borrowed(""),
        code_digits: 6,
        code_ttl_s: 600,
        attempts: 3,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 60,
        block_s: 0,
        access_ttl_s: 2_592_000,
        refresh_ttl_s: 0,
    },
    framework: Framework::FastApi,
    routes: &[
        Route::counted("POST", "/signup", |call| Box::pin(signup(call))),
        Route::counted("POST", "/verify-otp", |call| Box::pin(verify_otp(call))),
        Route::free("POST", "/complete-profile", |call| Box::pin(profile::complete(call))),
        Route::counted("POST", "/login", |call| Box::pin(login(call))),
        Route::counted("POST", "/verify-login", |call| Box::pin(verify_login(call))),
        Route::free("GET", "/profile", |call| Box::pin(profile::show(call))),
        Route::free("POST", "/logout", |call| Box::pin(logout(call))),
    ],
    says: failure,
    ip_limited: |_| failure(TOO_MANY),
    // The original's claims (user_id phone_number exp iat) are all among ours, and it has no refresh tokens.
    tokens: TokenStyle { access_life_s: None, algorithm: None, access_claims: None, refresh: RefreshStyle::None },
    text: Some(("en", "Your Loopin verification code is: {code}. This code expires in {minutes} minutes.")),
    refresh_at_oauth: false,
    docs: docs::api,
};

/// What is said of a number, a code, a session; the rest is said once, where it happens.
mod text {
    pub(super) const SENT: &str = "OTP sent successfully to your phone number";
    pub(super) const SENT_AGAIN: &str = "OTP sent successfully. Please verify to complete your registration.";
    pub(super) const EXISTS: &str = "User already exists. Please login instead.";
    pub(super) const UNKNOWN: &str = "User not found. Please signup first.";
    pub(super) const INCOMPLETE: &str = "OTP verified successfully. Please complete your profile.";
    pub(super) const COMPLETE: &str = "OTP verified successfully. You are logged in.";
    pub(super) const NO_CODE: &str = "No OTP found for this phone number. Please request a new OTP.";
    pub(super) const SPENT: &str = "Too many attempts. Please request a new OTP";
    pub(super) const EXPIRED: &str = "OTP has expired";
    pub(super) const LOGGED_IN: &str = "Login successful";
    pub(super) const LOGGED_OUT: &str = "Logged out successfully";
    pub(super) const NOBODY: &str = "User not found";
    pub(super) const INACTIVE: &str = "User is inactive";
    pub(super) const TOKEN_EXPIRED: &str = "Token has expired";
    pub(super) const TOKEN_INVALID: &str = "Invalid token";
    pub(super) const NO_SMS: &str = "SMS service unavailable";
    pub(super) const TRIAL: &str =
        "Trial account restriction: Please verify your phone number in Twilio console or upgrade to paid account";
}

/// The four keys that every business answer has.
fn envelope(success: bool, message: &str, data: Value, token: Option<&str>) -> Value {
    json!({ "success": success, "message": message, "data": data, "token": token })
}

fn failure(message: &str) -> Value {
    envelope(false, message, Value::Null, None)
}

fn fails(message: &str) -> Response {
    answer(StatusCode::OK, failure(message))
}

fn succeeds(message: &str, data: Value, token: Option<&str>) -> Response {
    answer(StatusCode::OK, envelope(true, message, data, token))
}

/// What every call says to a failure; `crash` is what it says when nothing better fits.
fn refused(call: &Call, no: &No, crash: &str) -> Response {
    match no {
        No::NotSent(class) => fails(&format!("Failed to send OTP: {}", why_not_sent(*class))),
        No::Wrong { remaining } => fails(&format!("Invalid OTP. {remaining} attempts remaining")),
        No::Exhausted => fails(text::SPENT),
        No::Delayed { retry_after_s } | No::StruckOut { retry_after_s } | No::Blocked { retry_after_s } => {
            with_retry_after(fails(text::SPENT), *retry_after_s)
        }
        No::Expired => fails(text::EXPIRED),
        // A code of other digits than are sent now can't be typed any more.
        No::NothingPending | No::BadCode => fails(text::NO_CODE),
        No::UserGone | No::NoAccount => fails(text::NOBODY),
        No::Inactive => fails(text::INACTIVE),
        No::Token(TokenError::Expired) => fastapi::unauthorized(text::TOKEN_EXPIRED),
        No::Token(_) => fastapi::unauthorized(text::TOKEN_INVALID),
        No::ProfileTooLarge | No::Broken => fails(crash),
        no => call.desk.refuses(no),
    }
}

/// What a client is told: never what the provider said.
fn why_not_sent(class: SendClass) -> &'static str {
    if class == SendClass::UnverifiedRecipient { text::TRIAL } else { text::NO_SMS }
}

/// As the original keeps numbers: without spaces, dashes and parentheses.
fn cleaned(sent: &str) -> String {
    folded(sent).chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '(' | ')')).collect()
}

/// `^\+?[1-9]\d{7,14}$` of the original, on a cleaned text.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (8..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number as the original keeps it, and as we know it.
fn known(call: &Call, sent: &str) -> Option<(String, PhoneNumber)> {
    let is_short = sent.chars().nth(NUMBER_CHARS_MAX).is_none();
    let text = Some(sent).filter(|_| is_short).map(cleaned).filter(|text| is_phone(text))?;
    let phone = call.desk.phone(&text)?;
    Some((text, phone))
}

/// The body of the two calls that send a code.
fn number(call: &Call) -> Result<(String, PhoneNumber), Response> {
    let mut model = Model::of(call)?;
    let sent = model.text("phone_number", Text::default());
    let known = sent.as_deref().and_then(|sent| known(call, sent));
    if sent.is_some() && known.is_none() {
        model.reject("phone_number", "Invalid phone number format");
    }
    model.finish()?;
    known.ok_or_else(|| call.desk.refuses(&No::Broken))
}

/// A number as it was sent, as we know it, and a code for it.
struct Typed {
    sent: String,
    phone: PhoneNumber,
    code: Code,
}

/// The body of the two calls that check a code. A text that is no number never got a code.
fn typed(call: &Call) -> Result<Typed, Response> {
    let digits = usize::from(call.desk.dialect.policy.code_digits);
    let mut model = Model::of(call)?;
    let sent = model.text("phone_number", Text::default());
    let typed = model.text("otp_code", Text { min: Some(digits), max: Some(digits) });
    let is_code = |typed: &&str| typed.chars().all(|c| to_ascii(c).is_some());
    let code = typed.as_deref().filter(is_code).and_then(desk::code);
    if typed.is_some() && code.is_none() {
        model.reject("otp_code", "OTP code must contain only digits");
    }
    model.finish()?;
    let (Some(sent), Some(code)) = (sent, code) else { return Err(call.desk.refuses(&No::Broken)) };
    let (_, phone) = known(call, &sent).ok_or_else(|| fails(text::NO_CODE))?;
    Ok(Typed { sent, phone, code })
}

async fn known_account(call: &Call, phone: PhoneNumber) -> Result<Option<Account>, Failure> {
    call.desk.service.identify(&call.desk.dialect, phone).await
}

fn is_complete(account: &Account) -> bool {
    let is_given = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.is_empty());
    is_given(&account.profile.name) && is_given(&account.profile.email)
}

async fn send(call: &Call, phone: PhoneNumber, purpose: Label) -> Result<(), Failure> {
    let desk = &call.desk;
    desk.service.start(&desk.dialect, &call.origin, StartInput::plain(phone, purpose)).await.map(drop)
}

async fn signup(call: Call) -> Result<Response, Response> {
    const CRASH: &str = "An error occurred during signup";
    let refused = |failure| refused(&call, &No::from(failure), CRASH);
    let (cleaned, phone) = number(&call)?;
    let account =
        if call.desk.options.reveal_registered { known_account(&call, phone).await.map_err(refused)? } else { None };
    if account.as_ref().is_some_and(is_complete) {
        return Ok(fails(text::EXISTS));
    }
    send(&call, phone, SIGNUP).await.map_err(refused)?;
    let message = if account.is_some() { text::SENT_AGAIN } else { text::SENT };
    Ok(succeeds(message, json!({ "phone_number": cleaned }), None))
}

async fn login(call: Call) -> Result<Response, Response> {
    const CRASH: &str = "An error occurred during login";
    let refused = |failure| refused(&call, &No::from(failure), CRASH);
    let (cleaned, phone) = number(&call)?;
    if call.desk.options.reveal_registered && known_account(&call, phone).await.map_err(refused)?.is_none() {
        return Ok(fails(text::UNKNOWN));
    }
    send(&call, phone, LOGIN).await.map_err(refused)?;
    Ok(succeeds(text::SENT, json!({ "phone_number": cleaned }), None))
}

async fn verify_otp(call: Call) -> Result<Response, Response> {
    const CRASH: &str = "An error occurred during OTP verification";
    let refused = |no: &No| refused(&call, no, CRASH);
    let Typed { sent, phone, code } = typed(&call)?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let signed_in = service.sign_in_newest(dialect, &call.origin, (phone, SIGNUP), code).await;
    let tokens = signed_in.map_err(|failure| refused(&No::from(failure)))?.value;
    let is_complete = tokens.account.as_deref().is_some_and(is_complete);
    let data = json!({ "user_id": tokens.user_id, "phone_number": sent, "needs_profile_completion": !is_complete });
    let message = if is_complete { text::COMPLETE } else { text::INCOMPLETE };
    Ok(succeeds(message, data, Some(tokens.access.token.expose())))
}

/// Unlike signing up it never makes a user; that there is none is told only to who has the code, and the code is spent.
async fn verify_login(call: Call) -> Result<Response, Response> {
    const CRASH: &str = "An error occurred during login verification";
    let Typed { sent, phone, code } = typed(&call)?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let signed_in = service.sign_in_known_newest(dialect, &call.origin, (phone, LOGIN), code).await;
    let tokens = match signed_in.map_err(No::from) {
        Ok(signed_in) => signed_in.value,
        Err(No::NoAccount) => return Ok(fails(text::NOBODY)),
        Err(no) => return Err(refused(&call, &no, CRASH)),
    };
    let account = tokens.account.as_deref().ok_or_else(|| refused(&call, &No::Broken, CRASH))?;
    let data = json!({
        "user_id": tokens.user_id,
        "phone_number": sent,
        "name": account.profile.name.as_deref().unwrap_or_default(),
        "email": account.profile.email.as_deref().unwrap_or_default(),
        "is_verified": true,
    });
    Ok(succeeds(text::LOGGED_IN, data, Some(tokens.access.token.expose())))
}

/// Ends the session of the token that comes with it, if one does and it is still good.
async fn logout(call: Call) -> Result<Response, Response> {
    if let Ok(token) = fastapi::bearer(&call) {
        let ended = call.desk.service.revoke(&call.desk.dialect, &call.origin, token).await;
        ended.map_err(|failure| refused(&call, &No::from(failure), "An error occurred during logout"))?;
    }
    Ok(succeeds(text::LOGGED_OUT, Value::Null, None))
}
