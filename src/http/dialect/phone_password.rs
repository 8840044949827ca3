//! `phone_password`: a code to register, then a password (`seeds/003`, Django REST framework).
//!
//! The calls and their texts; `docs` tells of them. A code proves the number once, for a registration token; from then on
//! the password signs in. Wrong codes and wrong passwords block the address they come from at that number.

mod docs;

use std::borrow::Cow;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    Figures, Framework, Route, Spec,
    desk::{self, Call, TOO_MANY, answer, folded, with_retry_after},
    drf::{self, Fields},
    no::No,
};
use crate::{
    password::Password,
    record::{Account, Label, PhoneNumber, ProfilePatch},
    service::{Code, GrantRef, RefreshStyle, SignedInTokens, StartInput, TokenStyle, profile},
};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "phone_password",
    base_path: "/auth",
    figures: Figures {
        default_region: Cow::Borrowed("IR"),
        code_digits: 4,
        code_ttl_s: 600,
        attempts: 3,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 60,
        block_s: 3_600,
        access_ttl_s: 300,
        refresh_ttl_s: 86_400,
    },
    framework: Framework::DrfSlashed,
    routes: &[
        Route::counted("POST", "/check-phone/", |call| Box::pin(check_phone(call))),
        Route::counted("POST", "/verify/", |call| Box::pin(verify(call))),
        Route::counted("POST", "/register/", |call| Box::pin(register(call))),
        Route::counted("POST", "/login/", |call| Box::pin(login(call))),
        Route::free("POST", "/refresh/", |call| Box::pin(refresh(call))),
        Route::free("GET", "/profile/", |call| Box::pin(profile(call))),
        Route::free("PUT", "/profile/update/", |call| Box::pin(update(call))),
        Route::free("DELETE", "/profile/delete/", |call| Box::pin(delete(call))),
    ],
    says: error,
    ip_limited: |_| error(TOO_MANY),
    // SimpleJWT's claims (token_type exp iat jti user_id) are all among ours.
    tokens: TokenStyle {
        access_life_s: None,
        algorithm: None,
        access_claims: None,
        refresh: RefreshStyle::Jwt { claims: None, rotates: false },
    },
    text: None,
    refresh_at_oauth: false,
    docs: docs::api,
};

/// The purpose of its codes.
const REGISTRATION: Label = Label::of("registration");

/// What its clients call the registration token, the name of the document first.
const GRANT_NAMES: [&str; 2] = ["reg_token", "registration_token"];

/// `+989`, then so many digits: a mobile number of Iran.
const IRANIAN_MOBILE: (&str, usize) = ("+989", 9);

/// Its one form of refusals.
fn error(text: &str) -> Value {
    json!({ "error": text })
}

/// The fields of a body. The views of the original look at it without a serializer.
async fn fields(call: &Call) -> Result<Fields, Response> {
    Fields::of(drf::data(call).await?).map_err(|fault| answer(StatusCode::BAD_REQUEST, fault))
}

fn bad(call: &Call, text: &str) -> Response {
    call.desk.says(StatusCode::BAD_REQUEST, text)
}

/// The number of a field, written nationally or internationally; `missing` is said if there is none.
fn phone(call: &Call, fields: &Fields, missing: &str) -> Result<PhoneNumber, Response> {
    let typed = fields.given_text("phone").map(str::trim).filter(|text| !text.is_empty());
    let text = folded(typed.ok_or_else(|| bad(call, missing))?);
    let (prefix, digits) = IRANIAN_MOBILE;
    let is_plain = text.strip_prefix('+').unwrap_or(&text).bytes().all(|byte| byte.is_ascii_digit());
    let is_mobile = |phone: &PhoneNumber| phone.to_e164().strip_prefix(prefix).is_some_and(|it| it.len() == digits);
    let known = if is_plain { call.desk.phone(&text).filter(is_mobile) } else { None };
    known.ok_or_else(|| bad(call, "Invalid phone number."))
}

/// As its people write it: Iranian numbers nationally, others with their country code.
fn national(phone: PhoneNumber) -> String {
    let text = phone.to_e164();
    text.strip_prefix("+98").map_or_else(|| text.clone(), |rest| format!("0{rest}"))
}

async fn check_phone(call: Call) -> Result<Response, Response> {
    let phone = phone(&call, &fields(&call).await?, "Phone number is required.")?;
    let (desk, service, dialect) = (&call.desk, &call.desk.service, &call.desk.dialect);
    if desk.options.reveal_registered {
        let known = service.identify(dialect, phone).await.map_err(|failure| call.refuses(failure))?;
        if known.is_some() {
            return Ok(answer(StatusCode::OK, json!({ "exists": true })));
        }
    }
    let started = service.start(dialect, &call.origin, StartInput::plain(phone, REGISTRATION)).await;
    started.map_err(|failure| match No::from(failure) {
        No::NotSent(_) => desk.says(StatusCode::INTERNAL_SERVER_ERROR, "Failed to send OTP. Please try again."),
        no => desk.refuses(&no),
    })?;
    Ok(answer(StatusCode::OK, json!({ "exists": false, "message": "OTP sent successfully." })))
}

async fn verify(call: Call) -> Result<Response, Response> {
    let fields = fields(&call).await?;
    let phone = phone(&call, &fields, "Phone number is required.")?;
    let typed = fields.given_text("code").map(str::trim);
    // What is no code is compared with nothing, but a blocked address is told so all the same.
    let code = typed.and_then(desk::code).or_else(|| Code::from_digits(NO_CODE));
    let code = code.ok_or_else(|| call.desk.refuses(&No::Broken))?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    // The token lives as long as the code.
    let life_ms = dialect.policy.code_life_ms;
    let granted = service.grant_newest(dialect, &call.origin, (phone, REGISTRATION), code, life_ms).await;
    let token = granted.map_err(|failure| not_verified(&call, &No::from(failure)))?.value;
    Ok(answer(StatusCode::OK, json!({ "message": "Phone verified.", "registration_token": token })))
}

/// In the place of a code: of fewer digits than a code can be set to have, so that it is refused for that.
const NO_CODE: &str = "0";

fn not_verified(call: &Call, no: &No) -> Response {
    const TOO_MANY_WRONG: &str = "Too many wrong OTP attempts. You are blocked.";
    match no {
        // Tries that others have used up leave nothing to check either.
        No::NothingPending | No::Expired | No::Exhausted => bad(call, "OTP expired or not found"),
        No::Wrong { .. } | No::BadCode => bad(call, "Incorrect OTP."),
        No::Delayed { retry_after_s } => with_retry_after(bad(call, "OTP expired or not found"), *retry_after_s),
        No::StruckOut { retry_after_s } => {
            call.desk.waits(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_WRONG, *retry_after_s)
        }
        No::Blocked { retry_after_s } => {
            call.desk.waits(StatusCode::FORBIDDEN, "Too many attempts. You are blocked.", *retry_after_s)
        }
        no => call.desk.refuses(no),
    }
}

async fn register(call: Call) -> Result<Response, Response> {
    let fields = fields(&call).await?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let refused = |failure| not_registered(&call, &No::from(failure));
    let grant = grant(&call, &fields).await?;
    let password = password(&fields).ok_or_else(|| bad(&call, "Password is required."))?;
    if password.is_short() {
        return Err(bad(&call, "Password must be at least 8 characters."));
    }
    let profile = patch(&fields).map_err(|text| bad(&call, text))?;
    let signed_in = service.register(dialect, &call.origin, grant, password, profile).await.map_err(refused)?;
    let body = json!({ "message": "User registered successfully!", "tokens": tokens(&signed_in.value) });
    Ok(answer(StatusCode::CREATED, body))
}

/// The registration token is looked at first, and stays good whatever else is wrong.
async fn grant(call: &Call, fields: &Fields) -> Result<GrantRef, Response> {
    let token = GRANT_NAMES.iter().find_map(|name| fields.given_text(name));
    let token = token.ok_or_else(|| not_registered(call, &No::BadGrant))?;
    let opened = call.desk.service.open_grant(&call.desk.dialect, token).await;
    opened.map_err(|failure| not_registered(call, &No::from(failure)))
}

fn not_registered(call: &Call, no: &No) -> Response {
    match no {
        No::BadGrant => call.desk.says(StatusCode::FORBIDDEN, "Invalid or expired registration token."),
        No::AccountExists => bad(call, "User already exists."),
        no => call.desk.refuses(no),
    }
}

/// Taken as it is: nothing is trimmed.
fn password(fields: &Fields) -> Option<Password> {
    fields.given_text("password").map(|text| Password::new(text.to_owned()))
}

async fn login(call: Call) -> Result<Response, Response> {
    const MISSING: &str = "Phone number and password are required.";
    let fields = fields(&call).await?;
    let password = password(&fields).ok_or_else(|| bad(&call, MISSING))?;
    let phone = phone(&call, &fields, MISSING)?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let reveal = call.desk.options.reveal_registered;
    let signed_in = service.sign_in_with_password(dialect, &call.origin, phone, password, reveal).await;
    let signed_in = signed_in.map_err(|failure| not_signed_in(&call, &No::from(failure)))?;
    let body = json!({ "message": "Login successful.", "tokens": tokens(&signed_in.value) });
    Ok(answer(StatusCode::OK, body))
}

fn not_signed_in(call: &Call, no: &No) -> Response {
    const STRUCK_OUT: &str = "You are blocked due to too many failed login attempts.";
    let forbidden = |text, seconds| call.desk.waits(StatusCode::FORBIDDEN, text, seconds);
    match no {
        No::NoAccount => bad(call, "Phone number not registered."),
        No::WrongPassword { blocked_for_s: None } => call.desk.says(StatusCode::UNAUTHORIZED, "Incorrect password."),
        No::WrongPassword { blocked_for_s: Some(seconds) } => forbidden(STRUCK_OUT, *seconds),
        No::Blocked { retry_after_s } | No::Delayed { retry_after_s } => {
            forbidden("Temporary access blocked.", *retry_after_s)
        }
        no => call.desk.refuses(no),
    }
}

fn tokens(signed_in: &SignedInTokens) -> Value {
    json!({ "refresh": signed_in.refresh.expose(), "access": signed_in.access.token.expose() })
}

async fn refresh(call: Call) -> Result<Response, Response> {
    let fields = fields(&call).await?;
    let token = fields.given_text("refresh").ok_or_else(|| bad(&call, "Refresh token is required."))?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let refreshed = service.refresh(dialect, &call.origin, token, &[dialect.name]).await;
    let refreshed = refreshed.map_err(|failure| match No::from(failure) {
        No::Token(_) | No::UserGone | No::BadGrant => bad(&call, "Token is invalid"),
        no => call.desk.refuses(&no),
    })?;
    Ok(answer(StatusCode::OK, json!({ "access": refreshed.value.access.token.expose() })))
}

async fn profile(call: Call) -> Result<Response, Response> {
    let user = drf::user(&call).await?;
    let [first_name, last_name, email] = person(&user.account);
    let phone = national(user.phone);
    let body = json!({ "phone": phone, "first_name": first_name, "last_name": last_name, "email": email });
    Ok(answer(StatusCode::OK, body))
}

/// First name, last name, e-mail address.
fn person(account: &Account) -> [&str; 3] {
    let profile = &account.profile;
    [&profile.first_name, &profile.last_name, &profile.email].map(|field| field.as_deref().unwrap_or_default())
}

async fn update(call: Call) -> Result<Response, Response> {
    let user = drf::user(&call).await?;
    let patch = patch(&fields(&call).await?).map_err(|text| bad(&call, text))?;
    let updated = call.desk.service.update_profile(&call.desk.dialect, &call.origin, &user, patch).await;
    let account = updated.map_err(|failure| call.refuses(failure))?;
    let [first_name, last_name, email] = person(&account);
    let data = json!({ "first_name": first_name, "last_name": last_name, "email": email });
    Ok(answer(StatusCode::OK, json!({ "message": "Profile updated successfully", "data": data })))
}

/// The profile fields of a body; one that is not there is left as it is, an empty one is cleared.
fn patch(fields: &Fields) -> Result<ProfilePatch, &'static str> {
    Ok(ProfilePatch {
        first_name: field(fields, "first_name", is_name).ok_or("Invalid first name.")?,
        last_name: field(fields, "last_name", is_name).ok_or("Invalid last name.")?,
        email: field(fields, "email", profile::is_email).ok_or("Invalid email.")?,
        ..ProfilePatch::default()
    })
}

/// `None`: not good.
#[expect(clippy::option_option, reason = "whether it is good, whether it is there, whether it is empty")]
fn field(fields: &Fields, name: &str, is_good: impl Fn(&str) -> bool) -> Option<Option<Option<String>>> {
    match fields.given(name) {
        None => Some(None),
        Some(Value::String(text)) if text.is_empty() => Some(Some(None)),
        Some(Value::String(text)) => is_good(text).then(|| Some(Some(text.clone()))),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => None,
    }
}

fn is_name(text: &str) -> bool {
    profile::is_text(text, profile::NAME_CHARS_MAX)
}

async fn delete(call: Call) -> Result<Response, Response> {
    let user = drf::user(&call).await?;
    let erased = call.desk.service.erase(&call.desk.dialect, &call.origin, &user).await;
    erased.map_err(|failure| call.refuses(failure))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
