//! `auth_otp`: codes for signing in, tokens as SimpleJWT makes them (`seeds/000`, Django REST framework).

use std::borrow::Cow;

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Figures, Framework, Route, Spec,
    describe::{Form, Says as _, object, refusal, request},
    desk::{self, Call, TOO_MANY, answer, folded, with_retry_after},
    drf::{self, Fields, Text},
    no::No,
};
use crate::{
    http::docs::{Api, example},
    record::{Account, LOGIN, PhoneNumber},
    service::{RefreshStyle, StartInput, TokenStyle},
};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "auth_otp",
    base_path: "/api/auth",
    figures: Figures {
        default_region: Cow::Borrowed(""),
        code_digits: 6,
        code_ttl_s: 300,
        attempts: 5,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 60,
        block_s: 0,
        access_ttl_s: 86_400,
        refresh_ttl_s: 604_800,
    },
    framework: Framework::DrfSlashed,
    routes: &[
        Route::counted("POST", "/send-otp/", |call| Box::pin(send(call))),
        Route::counted("POST", "/verify-otp/", |call| Box::pin(verify(call))),
        Route::free("GET", "/profile/", |call| Box::pin(profile(call))),
        Route::free("GET", "/docs/", |call| Box::pin(async move { Ok(describe(&call)) })),
    ],
    says: error,
    ip_limited: |_| error(TOO_MANY),
    // SimpleJWT's claims (token_type exp iat jti user_id) are all among ours.
    tokens: TokenStyle {
        access_life_s: None,
        algorithm: None,
        access_claims: None,
        refresh: RefreshStyle::Jwt { claims: None, rotates: true },
    },
    text: None,
    refresh_at_oauth: true,
    docs: api,
};

/// Its one form of refusals.
fn error(text: &str) -> Value {
    json!({ "error": text })
}

/// `^\+?1?\d{9,14}$` of the original.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let most = if digits.starts_with('1') { 15 } else { 14 };
    (9..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number as it was sent (trimmed), and as we know it.
fn phone(call: &Call, fields: &mut Fields) -> Option<(String, PhoneNumber)> {
    let sent = fields.text("phone_number", Text { max: Some(20), ..Text::default() })?;
    let known = Some(folded(&sent)).filter(|text| is_phone(text)).and_then(|text| call.desk.phone(&text));
    if known.is_none() {
        fields.reject("phone_number", "Invalid phone number format");
    }
    Some((sent, known?))
}

fn invalid(details: Value) -> Response {
    answer(StatusCode::BAD_REQUEST, json!({ "error": "Invalid data", "details": details }))
}

async fn send(call: Call) -> Result<Response, Response> {
    let mut fields = Fields::of(drf::data(&call).await?).map_err(invalid)?;
    let phone = phone(&call, &mut fields);
    fields.finish().map_err(invalid)?;
    let Some((sent, phone)) = phone else { return Err(call.desk.refuses(&No::Broken)) };
    let desk = &call.desk;
    let started = desk.service.start(&desk.dialect, &call.origin, StartInput::plain(phone, LOGIN)).await;
    started.map_err(|failure| match No::from(failure) {
        No::NotSent(_) => desk.says(StatusCode::INTERNAL_SERVER_ERROR, "Failed to send OTP. Please try again."),
        no => desk.refuses(&no),
    })?;
    Ok(answer(
        StatusCode::OK,
        json!({
            "message": "OTP sent successfully",
            "phone_number": sent,
            "expires_in_minutes": desk.dialect.policy.code_life_ms / crate::record::MINUTE,
        }),
    ))
}

async fn verify(call: Call) -> Result<Response, Response> {
    let mut fields = Fields::of(drf::data(&call).await?).map_err(invalid)?;
    let phone = phone(&call, &mut fields);
    let digits = usize::from(call.desk.dialect.policy.code_digits);
    let typed = fields.text("otp_code", Text { max: Some(digits), strict: true, ..Text::default() });
    let code = typed.as_deref().and_then(desk::code).filter(|code| usize::from(code.digits()) == digits);
    if typed.is_some() && code.is_none() {
        fields.reject("otp_code", &format!("OTP code must be {digits} digits"));
    }
    fields.finish().map_err(invalid)?;
    let (Some((_, phone)), Some(code)) = (phone, code) else { return Err(call.desk.refuses(&No::Broken)) };
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let signed_in = service.sign_in_newest(dialect, &call.origin, (phone, LOGIN), code).await;
    let tokens = signed_in.map_err(|failure| wrong(&call, &No::from(failure)))?.value;
    let account = tokens.account.as_deref().ok_or_else(|| call.desk.refuses(&No::Broken))?;
    Ok(answer(
        StatusCode::OK,
        json!({
            "message": "Authentication successful",
            "user": user(phone, account),
            "tokens": { "access": tokens.access.token.expose(), "refresh": tokens.refresh.expose() },
            "is_new_user": tokens.is_new_user,
        }),
    ))
}

/// Wrong, used, superseded, expired and never sent are one answer.
fn wrong(call: &Call, no: &No) -> Response {
    let wrong = || call.desk.says(StatusCode::BAD_REQUEST, "Invalid or expired OTP code");
    match no {
        No::Wrong { .. } | No::Exhausted | No::Expired | No::NothingPending | No::BadCode => wrong(),
        No::Delayed { retry_after_s } => with_retry_after(wrong(), *retry_after_s),
        no => call.desk.refuses(no),
    }
}

async fn profile(call: Call) -> Result<Response, Response> {
    let known = drf::user(&call).await?;
    Ok(answer(StatusCode::OK, json!({ "user": user(known.phone, &known.account) })))
}

fn user(phone: PhoneNumber, account: &Account) -> Value {
    let phone = phone.to_e164();
    json!({
        "id": account.user_id,
        "phone_number": phone,
        "username": phone,
        "first_name": account.profile.first_name.as_deref().unwrap_or_default(),
        "last_name": account.profile.last_name.as_deref().unwrap_or_default(),
        "is_phone_verified": true,
        "date_joined": drf::datetime(account.created_at),
    })
}

fn describe(call: &Call) -> Response {
    let policy = &call.desk.dialect.policy;
    let base = call.parts.uri.path().strip_suffix("/docs/").unwrap_or_default();
    answer(
        StatusCode::OK,
        json!({
            "title": "OTP Authentication API",
            "version": "1.0.0",
            "base_url": format!("{base}/"),
            "endpoints": {
                "send_otp": { "method": "POST", "url": format!("{base}/send-otp/"), "body": { "phone_number": "+1234567890" } },
                "verify_otp": {
                    "method": "POST",
                    "url": format!("{base}/verify-otp/"),
                    "body": { "phone_number": "+1234567890", "otp_code": "123456" },
                },
                "profile": { "method": "GET", "url": format!("{base}/profile/"), "headers": { "Authorization": "Bearer <access_token>" } },
            },
            "authentication": "JWT Bearer token",
            "phone_number_format": "International format, as in +1234567890",
            "otp_details": {
                "length": policy.code_digits,
                "expires_in_minutes": policy.code_life_ms / crate::record::MINUTE,
            },
        }),
    )
}

const REFUSAL: &str = "AuthOtpRefusal";
const FORM: Form = Form { schema: REFUSAL, says: error, limited: || error(TOO_MANY) };

/// Its part of the OpenAPI document.
fn api() -> Api {
    let person = json!({
        "id": 1, "phone_number": example::NUMBER, "username": example::NUMBER, "first_name": "", "last_name": "",
        "is_phone_verified": true, "date_joined": "2026-01-01T00:00:00Z",
    });
    let number = json!({ "phone_number": example::NUMBER });
    let code = json!({ "phone_number": example::NUMBER, "otp_code": example::CODE });
    let invalid = json!({ "error": "Invalid data", "details": { "phone_number": ["Invalid phone number format"] } });
    let sent = json!({ "message": "OTP sent successfully", "phone_number": example::NUMBER, "expires_in_minutes": 5 });
    let tokens = json!({
        "message": "Authentication successful", "user": person,
        "tokens": { "access": example::ACCESS_TOKEN, "refresh": example::ACCESS_TOKEN }, "is_new_user": true,
    });
    let post = |path, id, about, schema, body| {
        FORM.limited(FORM.reads(FORM.call("post", path, id, about), schema, body)).says(
            400,
            "A field, or the code, is not good.",
            REFUSAL,
            "invalid",
            invalid.clone(),
        )
    };
    let get = |path, id, about| FORM.call("get", path, id, about);
    Api {
        tag: "auth_otp",
        about: "Send a code, verify it, get SimpleJWT tokens. For clients of a Django back end.",
        operations: vec![
            FORM.sends(post(
                "/api/auth/send-otp/",
                "authOtpSend",
                ("Send a code", "A new code ends the one before it."),
                "AuthOtpSend",
                number,
            ))
            .says(200, "Sent.", "AuthOtpSent", "sent", sent),
            post(
                "/api/auth/verify-otp/",
                "authOtpVerify",
                ("Verify a code", "Signs in; the first time makes the user."),
                "AuthOtpVerify",
                code,
            )
            .says(200, "Signed in.", "AuthOtpTokens", "signed in", tokens)
            .says(403, "The account is shut.", REFUSAL, "inactive", error("User is inactive")),
            FORM.limited(FORM.for_user(get(
                "/api/auth/profile/",
                "authOtpProfile",
                ("Read the user", "Takes an access token of any door."),
            )))
            .says(200, "The user.", "AuthOtpProfile", "user", json!({ "user": person })),
            get("/api/auth/docs/", "authOtpDocs", ("Read what there is", "The API in its own words.")).says(
                200,
                "The API.",
                "AuthOtpDocs",
                "docs",
                json!({ "title": "OTP Authentication API" }),
            ),
        ],
        schemas: schemas(),
        ..Api::default()
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let person = || {
        object(json!({
            "id": { "type": "integer" }, "phone_number": text(), "username": text(), "first_name": text(),
            "last_name": text(), "is_phone_verified": { "type": "boolean" },
            "date_joined": { "type": "string", "format": "date-time" },
        }))
    };
    let tokens = object(json!({ "access": text(), "refresh": text() }));
    vec![
        (REFUSAL, refusal("`error`, with `details` by field; or what the framework says, under `detail`.")),
        ("AuthOtpSend", request(&["phone_number"], json!({ "phone_number": text() }))),
        (
            "AuthOtpVerify",
            request(&["phone_number", "otp_code"], json!({ "phone_number": text(), "otp_code": text() })),
        ),
        (
            "AuthOtpSent",
            object(json!({ "message": text(), "phone_number": text(), "expires_in_minutes": { "type": "integer" } })),
        ),
        (
            "AuthOtpTokens",
            object(json!({
                "message": text(), "user": person(), "tokens": tokens, "is_new_user": { "type": "boolean" },
            })),
        ),
        ("AuthOtpProfile", object(json!({ "user": person() }))),
        ("AuthOtpDocs", json!({ "type": "object" })),
    ]
}
