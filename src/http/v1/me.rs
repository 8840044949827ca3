//! `/v1/me…`: what a signed-in person may do.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{
    super::problem::ProblemCode,
    V1,
    call::{Counted, PathId, UserCall, UserCallWith},
    input::{self, invalid},
    refusal::Refused,
    render,
};
use crate::{
    record::{PhoneNumber, ProfilePatch, Session},
    service::{
        Failure,
        profile::{self, BIO_CHARS_MAX, NAME_CHARS_MAX},
    },
    token::HexId,
};

pub(super) async fn read(call: UserCall) -> Response {
    render::json(StatusCode::OK, &render::user(call.user.phone, &call.user.account))
}

/// A field that is absent stays, one that is null is cleared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProfileBody {
    #[serde(deserialize_with = "given")]
    name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    first_name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    last_name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    email: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    bio: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    location: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    birth_date: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    avatar: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    locale: Option<Option<String>>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) async fn update(State(v1): State<Arc<V1>>, call: UserCallWith<ProfileBody>) -> Result<Response, Refused> {
    let patch = patch(call.body)?;
    let account = v1.service.update_profile(&v1.dialect, &call.origin, &call.user, patch).await?;
    Ok(render::json(StatusCode::OK, &render::user(call.user.phone, &account)))
}

fn patch(body: ProfileBody) -> Result<ProfilePatch, Refused> {
    Ok(ProfilePatch {
        name: text("/name", body.name, NAME_CHARS_MAX)?,
        first_name: text("/first_name", body.first_name, NAME_CHARS_MAX)?,
        last_name: text("/last_name", body.last_name, NAME_CHARS_MAX)?,
        email: field("/email", body.email, "must be an e-mail address", profile::is_email)?,
        bio: text("/bio", body.bio, BIO_CHARS_MAX)?,
        location: text("/location", body.location, NAME_CHARS_MAX)?,
        birth_date: field("/birth_date", body.birth_date, "must be a date such as 1995-01-31", profile::is_date)?,
        avatar: field("/avatar", body.avatar, "must be an http or https address", profile::is_web_address)?,
        locale: locale(text("/locale", body.locale, 35)?)?,
    })
}

type Field = Option<Option<String>>;

/// One that is absent or null, or is good; `words` are for what is not.
fn field(
    pointer: &'static str,
    field: Field,
    words: &'static str,
    is_good: impl Fn(&str) -> bool,
) -> Result<Field, Refused> {
    match &field {
        Some(Some(value)) if !is_good(value) => Err(invalid(pointer, words)),
        _ => Ok(field),
    }
}

fn text(pointer: &'static str, text: Field, chars_max: usize) -> Result<Field, Refused> {
    field(pointer, text, "is too long or has control characters", |text| profile::is_text(text, chars_max))
}

fn locale(tag: Field) -> Result<Field, Refused> {
    if let Some(Some(tag)) = &tag {
        input::locale("/locale", tag)?;
    }
    Ok(tag)
}

pub(super) async fn erase(State(v1): State<Arc<V1>>, call: UserCall) -> Result<StatusCode, Refused> {
    v1.service.erase(&v1.dialect, &call.origin, &call.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn export(State(v1): State<Arc<V1>>, call: UserCall) -> Result<Json<Value>, Refused> {
    let phone = call.user.phone;
    let export = v1.service.export(&v1.dialect, &call.origin, &call.user).await?;
    let sessions = list(&v1, phone, &export.sessions, &call.user.session);
    Ok(Json(render::export(phone, &export, &sessions)))
}

pub(super) async fn sessions(State(v1): State<Arc<V1>>, call: UserCall) -> Result<Json<Value>, Refused> {
    let sessions = v1.service.sessions(&v1.dialect, &call.user).await?;
    let sessions = list(&v1, call.user.phone, &sessions, &call.user.session);
    Ok(Json(json!({ "sessions": sessions })))
}

fn list(v1: &V1, phone: PhoneNumber, sessions: &[Session], current: &Session) -> Vec<Value> {
    let entry = |session: &Session| {
        let sid = v1.service.sid(phone, session).to_string();
        render::session(&sid, session, session.nonce == current.nonce)
    };
    sessions.iter().map(entry).collect()
}

pub(super) async fn end_session(
    State(v1): State<Arc<V1>>,
    PathId(sid): PathId,
    call: UserCall,
) -> Result<StatusCode, Refused> {
    let sid: HexId = sid.parse().map_err(|_| ProblemCode::NotFound)?;
    match v1.service.end_session(&v1.dialect, &call.origin, &call.user, sid).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        // It would be told as an unknown verification's.
        Err(Failure::UnknownId) => Err(ProblemCode::NotFound.into()),
        Err(failure) => Err(failure.into()),
    }
}

/// Where the account shall move.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhoneChangeBody {
    to: String,
    region: Option<String>,
}

pub(super) async fn start_phone_change(
    State(v1): State<Arc<V1>>,
    _counted: Counted,
    call: UserCallWith<PhoneChangeBody>,
) -> Result<Response, Refused> {
    let to = input::phone(&v1, &call.body.to, call.body.region.as_deref())?;
    if to == call.user.phone {
        return Err(invalid("/to", "is the number of this account"));
    }
    let started = v1.service.start_phone_change(&v1.dialect, &call.origin, &call.user, to).await?;
    Ok(render::verification(StatusCode::CREATED, &started))
}
