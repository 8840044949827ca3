//! `usr_otp`: Iranian numbers, HS512 tokens, a cookie (`seeds/001`, Django REST framework without final slashes).
//!
//! Browsers are given the access token as a cookie too, so what gives or reads it does not do so for a page of another
//! site ([`same_site`]).

mod docs;

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Figures, Framework, Route, Spec,
    cookies::{self, Given},
    desk::{self, Call, TOO_MANY, answer, folded, with_retry_after},
    drf::{self, Fields, Text},
    no::No,
};
use crate::{
    record::{Account, LOGIN, MINUTE, PhoneNumber, SECOND},
    service::{RefreshStyle, SignedInTokens, StartInput, TokenFacts, TokenStyle, tokens::Claims},
    sms::SendClass,
    token::Algorithm,
};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "usr_otp",
    base_path: "/api/v1/usr",
    figures: Figures {
        default_region: Cow::Borrowed("IR"),
        code_digits: 6,
        code_ttl_s: 300,
        attempts: 3,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 5,
        block_s: 0,
        access_ttl_s: 604_800,
        refresh_ttl_s: 1_296_000,
    },
    framework: Framework::Drf,
    routes: &[
        Route::counted("POST", "/otp", |call| Box::pin(send(call))),
        Route::counted("POST", "/otp/verify", |call| Box::pin(verify(call))),
        Route::free("POST", "/refresh", |call| Box::pin(refresh(call))),
        Route::free("GET", "/logout", |call| Box::pin(logout(call))).without_head(),
    ],
    says: |text| json!({ "detail": text }),
    ip_limited: drf::throttled,
    tokens: TokenStyle {
        access_life_s: None,
        algorithm: Some(Algorithm::Hs512),
        access_claims: Some(|facts| claims(facts, "access")),
        refresh: RefreshStyle::Jwt { claims: Some(refresh_claims), rotates: true },
    },
    text: Some(("fa", "کد تایید شما: {code}\n\nاین کد تا {minutes} دقیقه اعتبار دارد.")),
    refresh_at_oauth: false,
    docs: docs::api,
};

/// The cookie that it gives.
const COOKIE: &str = "HTTP_ACCESS";
/// Cookies that it takes, before the header.
const COOKIES_TAKEN: [&str; 2] = [COOKIE, "HTTP_AUTHORIZATION"];
/// Longest number as typed, in characters; most of them may be deleted.
const TYPED_NUMBER_CHARS_MAX: usize = 100;
/// Digits of an Iranian number after the country code.
const IRANIAN_DIGITS: usize = 10;

const BAD_NUMBER: &str = "Please provide a valid Iranian phone number starting with +98 or 09";
const NOT_CONFIGURED: &str = "SMS service is not configured. Please contact support.";
const NOT_SENT: &str = "Failed to send OTP. Please try again later.";
const NOT_DIGITS: &str = "OTP code must contain only digits";
const NO_CODE: &str = "No active OTP found. Please request a new one.";
const LAST_TRY: &str = "Maximum attempts exceeded. Please request a new OTP.";
const USED_UP: &str = "OTP has expired or maximum attempts exceeded. Please request a new one.";
const OTHER_SITE: &str = "CSRF Failed: Origin checking failed.";

/// The original's claims beside ours.
fn claims(facts: TokenFacts, kind: &str) -> Claims {
    let at = i64::try_from(facts.now.0 / SECOND).ok().and_then(|at| Timestamp::from_second(at).ok());
    let created_at = at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M:%S +0000").to_string();
    Map::from_iter([
        ("user_id".to_owned(), facts.user_id.to_string().into()),
        ("created_at".to_owned(), created_at.into()),
        ("type".to_owned(), kind.into()),
    ])
}

fn refresh_claims(facts: TokenFacts, access: &str) -> Claims {
    let mut claims = claims(facts, "refresh");
    claims.insert("access".to_owned(), access.into());
    claims
}

/// Errors of one field.
fn field(name: &str, text: &str) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), json!([text]))]))
}

fn invalid(errors: Value) -> Response {
    answer(StatusCode::BAD_REQUEST, errors)
}

/// The number as the original cleans it: everything but digits and plus signs is deleted.
fn cleaned(fields: &mut Fields) -> Option<String> {
    let bounds = Text { max: Some(TYPED_NUMBER_CHARS_MAX), ..Text::default() };
    let typed = fields.text("phone_number", bounds)?;
    Some(folded(&typed).chars().filter(|c| c.is_ascii_digit() || *c == '+').collect())
}

/// The number, if codes are sent to such ones.
fn served(call: &Call, cleaned: &str) -> Option<PhoneNumber> {
    let prefixes = &call.desk.options.phone_number_prefixes;
    let begins_well = prefixes.iter().any(|prefix| cleaned.starts_with(prefix));
    let phone = call.desk.phone(cleaned).filter(|_| begins_well)?;
    let number = phone.to_e164();
    // One that begins with 0 is a digit short, and its trunk zero was taken for the missing one.
    let is_whole = |digits: &str| digits.len() == IRANIAN_DIGITS && !digits.starts_with('0');
    number.strip_prefix("+98").is_none_or(is_whole).then_some(phone)
}

async fn send(call: Call) -> Result<Response, Response> {
    let mut fields = Fields::of(drf::data(&call).await?).map_err(invalid)?;
    let cleaned = cleaned(&mut fields);
    let phone = cleaned.as_deref().and_then(|cleaned| served(&call, cleaned));
    if cleaned.is_some() && phone.is_none() {
        fields.reject("phone_number", BAD_NUMBER);
    }
    fields.finish().map_err(invalid)?;
    let desk = &call.desk;
    let Some(phone) = phone else { return Err(desk.refuses(&No::Broken)) };
    let started = desk.service.start(&desk.dialect, &call.origin, StartInput::plain(phone, LOGIN)).await;
    started.map_err(|failure| not_started(&call, &No::from(failure)))?;
    Ok(answer(
        StatusCode::OK,
        json!({
            "phone_number": phone.to_e164(),
            "message": "OTP sent successfully",
            "expires_in": desk.dialect.policy.code_life_ms / SECOND,
        }),
    ))
}

fn not_started(call: &Call, no: &No) -> Response {
    let desk = &call.desk;
    match no {
        No::Limited { retry_after_s } => {
            let too_many = field("phone_number", &too_many(desk.dialect.policy.send_window_ms, *retry_after_s));
            with_retry_after(answer(StatusCode::TOO_MANY_REQUESTS, too_many), *retry_after_s)
        }
        // Nothing here serves this number. A refused key and a lack of credit are failures, as the document has them.
        No::NotSent(SendClass::BadConfig | SendClass::RegionDenied | SendClass::Unroutable) => {
            desk.says(StatusCode::INTERNAL_SERVER_ERROR, NOT_CONFIGURED)
        }
        No::NotSent(_) => desk.says(StatusCode::INTERNAL_SERVER_ERROR, NOT_SENT),
        no => desk.refuses(no),
    }
}

/// The original's text for its own window; a wait beyond that is of a limit that it does not have.
fn too_many(window_ms: u64, retry_after_s: u64) -> String {
    if retry_after_s > window_ms.div_ceil(SECOND) {
        return TOO_MANY.to_owned();
    }
    format!("Too many OTP requests. Please try again in {} minutes.", window_ms.div_ceil(MINUTE))
}

async fn verify(call: Call) -> Result<Response, Response> {
    same_site(&call)?;
    let mut fields = Fields::of(drf::data(&call).await?).map_err(invalid)?;
    let cleaned = cleaned(&mut fields);
    let digits = usize::from(call.desk.dialect.policy.code_digits);
    let typed = fields.text("code", Text { min: digits, max: Some(digits), strict: true });
    let code = typed.as_deref().and_then(desk::code).filter(|code| usize::from(code.digits()) == digits);
    if typed.is_some() && code.is_none() {
        fields.reject("code", NOT_DIGITS);
    }
    fields.finish().map_err(invalid)?;
    let (Some(cleaned), Some(code)) = (cleaned, code) else { return Err(call.desk.refuses(&No::Broken)) };
    // Where no code was ever sent to, there is none; what the number looks like is not asked here.
    let phone = call.desk.phone(&cleaned).ok_or_else(|| wrong(&call, &No::NothingPending))?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let signed_in = service.sign_in_newest(dialect, &call.origin, (phone, LOGIN), code).await;
    let tokens = signed_in.map_err(|failure| wrong(&call, &No::from(failure)))?.value;
    let account = tokens.account.as_deref().ok_or_else(|| call.desk.refuses(&No::Broken))?;
    let body = json!({
        "access_token": tokens.access.token.expose(),
        "refresh_token": tokens.refresh.expose(),
        "is_new_user": tokens.is_new_user,
        "user": user(phone, account),
    });
    Ok(with_cookie(&call, &tokens, answer(StatusCode::OK, body)))
}

/// Never sent, used and taken back are one answer; too late, too often and not now are another.
fn wrong(call: &Call, no: &No) -> Response {
    let code = |text: &str| invalid(field("code", text));
    match no {
        No::Wrong { remaining: 0 } => code(LAST_TRY),
        No::Wrong { remaining } => code(&format!("Invalid OTP code. {remaining} attempt(s) remaining.")),
        No::NothingPending => code(NO_CODE),
        No::Exhausted | No::Expired | No::BadCode => code(USED_UP),
        No::StruckOut { retry_after_s } => with_retry_after(code(LAST_TRY), *retry_after_s),
        No::Delayed { retry_after_s } | No::Blocked { retry_after_s } => {
            with_retry_after(code(USED_UP), *retry_after_s)
        }
        no => call.desk.refuses(no),
    }
}

fn user(phone: PhoneNumber, account: &Account) -> Value {
    let number = phone.to_e164();
    let digits = number.trim_start_matches('+');
    let profile = &account.profile;
    json!({
        "id": account.user_id,
        "phone_number": number,
        // Every user of the original has an address; the domain is the original's.
        "email": profile.email.clone().unwrap_or_else(|| format!("{digits}@temp.pilito.com")),
        "username": digits,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
    })
}

async fn refresh(call: Call) -> Result<Response, Response> {
    same_site(&call)?;
    let data = drf::data(&call).await?;
    let token = data.get("refresh").and_then(Value::as_str).unwrap_or_default();
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let next = service.refresh(dialect, &call.origin, token, &[dialect.name]).await;
    let tokens = next.map_err(|failure| not_refreshed(&call, &No::from(failure)))?.value;
    let pair = json!({ "refresh_token": tokens.refresh.expose(), "access_token": tokens.access.token.expose() });
    Ok(with_cookie(&call, &tokens, answer(StatusCode::OK, json!({ "success": true, "data": pair }))))
}

/// Whatever is wrong with the token, its session and its account: sign in again.
fn not_refreshed(call: &Call, no: &No) -> Response {
    if !matches!(no, No::Token(_) | No::UserGone | No::NoAccount | No::Inactive) {
        return call.desk.refuses(no);
    }
    let mut response = answer(StatusCode::UNAUTHORIZED, json!({ "success": false, "errors": ["refresh is invalid"] }));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Ends the session of the token that came along, if one did, and takes the cookie back.
async fn logout(call: Call) -> Result<Response, Response> {
    same_site(&call)?;
    if let Some(token) = token(&call) {
        let ended = call.desk.service.revoke(&call.desk.dialect, &call.origin, &token).await;
        ended.map_err(|failure| call.refuses(failure))?;
    }
    let body = json!({ "success": true, "data": { "message": "Logged out" } });
    let secure = call.desk.options.secure_cookies;
    Ok(Given { name: COOKIE, value: "", life_s: 0, ends_at_s: 0, secure }.put(answer(StatusCode::OK, body)))
}

/// The token of a cookie, else of the header; with or without `Bearer`.
fn token(call: &Call) -> Option<String> {
    let headers = &call.parts.headers;
    let of_cookies = COOKIES_TAKEN.iter().find_map(|name| cookies::value(headers, name));
    let of_header = || headers.get(header::AUTHORIZATION)?.to_str().ok().map(str::to_owned);
    let line = of_cookies.or_else(of_header)?;
    Some(line.strip_prefix("Bearer ").unwrap_or(&line).trim().to_owned())
}

fn with_cookie(call: &Call, tokens: &SignedInTokens, response: Response) -> Response {
    let access = &tokens.access;
    let value = format!("Bearer {}", access.token.expose());
    let (life_s, ends_at_s) = (access.expires_in_s(), access.expires_at_s);
    Given { name: COOKIE, value: &value, life_s, ends_at_s, secure: call.desk.options.secure_cookies }.put(response)
}

/// A page of another site may sign no browser in or out. What such a page cannot send without leave of CORS (JSON, an
/// `Authorization` header) is let through: whoever sends it has that leave.
fn same_site(call: &Call) -> Result<(), Response> {
    let headers = &call.parts.headers;
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let has_leave = essence.eq_ignore_ascii_case("application/json") || headers.contains_key(header::AUTHORIZATION);
    if has_leave || !cookies::is_cross_site(&call.parts) {
        return Ok(());
    }
    Err(drf::detail(StatusCode::FORBIDDEN, OTHER_SITE))
}
