//! The two routes for whoever has signed up: completing the profile, reading it.

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::{refused, succeeds, text};
use crate::{
    http::dialect::{
        desk::{Call, answer, with_retry_after},
        fastapi::{self, Model, Text, types},
        no::No,
    },
    record::ProfilePatch,
    service::{
        Failure,
        profile::{BIO_CHARS_MAX, NAME_CHARS_MAX, is_plain},
    },
    token::TokenError,
};

/// Everything is given anew: what is absent is emptied. Whatever number is sent, the token says whose profile it is.
fn patch(call: &Call) -> Result<ProfilePatch, Response> {
    let mut model = Model::of(call)?;
    model.text("phone_number", Text::default());
    let name = model.text("name", Text { min: Some(2), max: Some(NAME_CHARS_MAX) });
    let name = plain(&mut model, "name", name);
    let email = model.typed("email", types::email);
    let bio = model.optional("bio", Text { max: Some(BIO_CHARS_MAX), ..Text::default() });
    let bio = plain(&mut model, "bio", bio);
    let location = model.optional("location", Text { max: Some(NAME_CHARS_MAX), ..Text::default() });
    let location = plain(&mut model, "location", location);
    let birth_date = model.optional_typed("birth_date", types::date);
    // The original takes an empty text for none.
    let avatar = if model.is_blank("avatar") { None } else { model.optional_typed("avatar", types::http_url) };
    model.finish()?;
    Ok(ProfilePatch {
        name: Some(name),
        email: Some(email),
        bio: Some(bio),
        location: Some(location),
        birth_date: Some(birth_date),
        avatar: Some(avatar),
        ..ProfilePatch::default()
    })
}

/// An empty one is none.
fn plain(model: &mut Model, name: &str, text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    if !is_plain(&text) {
        model.reject(name, "Control characters are not allowed");
    }
    Some(text)
}

/// As in FastAPI: who asks at all, then the body, then the token.
pub(super) async fn complete(call: Call) -> Result<Response, Response> {
    const CRASH: &str = "An error occurred while completing profile";
    let refused = |failure| refused(&call, &No::from(failure), CRASH);
    let token = fastapi::bearer(&call)?;
    let patch = patch(&call)?;
    let (service, dialect) = (&call.desk.service, &call.desk.dialect);
    let user = service.authenticate(dialect, token).await.map_err(refused)?;
    let account = service.update_profile(dialect, &call.origin, &user, patch).await.map_err(refused)?;
    let data = json!({
        "user_id": account.user_id,
        "profile_id": account.user_id,
        "name": account.profile.name,
        "email": account.profile.email,
        "phone_number": user.phone.to_e164(),
    });
    Ok(succeeds("Profile completed successfully", data, None))
}

/// The one answer that is no envelope.
pub(super) async fn show(call: Call) -> Result<Response, Response> {
    let token = fastapi::bearer(&call)?;
    let user = call.desk.service.authenticate(&call.desk.dialect, token).await;
    let user = user.map_err(not_shown)?;
    let (account, profile) = (&user.account, &user.account.profile);
    let given = |field: &Option<String>| field.clone().unwrap_or_default();
    Ok(answer(
        StatusCode::OK,
        json!({
            "id": account.user_id,
            "name": given(&profile.name),
            "email": given(&profile.email),
            "phone_number": user.phone.to_e164(),
            "bio": given(&profile.bio),
            "location": given(&profile.location),
            "birth_date": profile.birth_date,
            "avatar": given(&profile.avatar),
            "is_verified": true,
            "is_active": account.active,
            "created_at": fastapi::isoformat(account.created_at),
            "updated_at": fastapi::isoformat(account.updated_at),
        }),
    ))
}

fn not_shown(failure: Failure) -> Response {
    const CRASH: &str = "An error occurred while retrieving profile";
    match No::from(failure) {
        No::Token(TokenError::Expired) => fastapi::unauthorized(text::TOKEN_EXPIRED),
        No::Token(_) => fastapi::unauthorized(text::TOKEN_INVALID),
        No::UserGone | No::NoAccount => fastapi::detail(StatusCode::NOT_FOUND, text::NOBODY),
        No::Inactive => fastapi::detail(StatusCode::FORBIDDEN, text::INACTIVE),
        No::Limited { retry_after_s } | No::Busy { retry_after_s } => {
            with_retry_after(fastapi::detail(StatusCode::SERVICE_UNAVAILABLE, CRASH), retry_after_s)
        }
        No::OutcomeUnknown => fastapi::detail(StatusCode::GATEWAY_TIMEOUT, CRASH),
        _ => fastapi::detail(StatusCode::INTERNAL_SERVER_ERROR, CRASH),
    }
}
