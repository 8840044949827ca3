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
    service::Failure,
    token::HexId,
};

pub(super) async fn read(call: UserCall) -> Json<Value> {
    Json(render::user(call.user.phone, &call.user.account))
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

pub(super) async fn update(State(v1): State<Arc<V1>>, call: UserCallWith<ProfileBody>) -> Result<Json<Value>, Refused> {
    let patch = patch(call.body)?;
    let account = v1.service.update_profile(&v1.dialect, &call.origin, &call.user, patch).await?;
    Ok(Json(render::user(call.user.phone, &account)))
}

fn patch(body: ProfileBody) -> Result<ProfilePatch, Refused> {
    Ok(ProfilePatch {
        name: text("/name", body.name, 100)?,
        first_name: text("/first_name", body.first_name, 100)?,
        last_name: text("/last_name", body.last_name, 100)?,
        email: checked(text("/email", body.email, 254)?, email)?,
        bio: text("/bio", body.bio, 500)?,
        location: text("/location", body.location, 100)?,
        birth_date: checked(text("/birth_date", body.birth_date, 10)?, birth_date)?,
        avatar: checked(text("/avatar", body.avatar, 500)?, avatar)?,
        locale: checked(text("/locale", body.locale, 35)?, |tag| input::locale("/locale", tag).map(drop))?,
    })
}

type Field = Option<Option<String>>;

/// Text of at most `chars_max` characters without control characters other than line feeds and tabs.
fn text(pointer: &'static str, field: Field, chars_max: usize) -> Result<Field, Refused> {
    let Some(Some(value)) = &field else { return Ok(field) };
    let fits = value.chars().count() <= chars_max;
    let plain = value.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    if fits && plain { Ok(field) } else { Err(invalid(pointer, "is too long or has control characters")) }
}

fn checked(field: Field, check: impl FnOnce(&str) -> Result<(), Refused>) -> Result<Field, Refused> {
    if let Some(Some(value)) = &field {
        check(value)?;
    }
    Ok(field)
}

fn email(text: &str) -> Result<(), Refused> {
    // An address alone: no name beside it, and no machine's number in place of a domain.
    let bare = email_address::Options::default().without_display_text().without_domain_literal();
    let valid = email_address::EmailAddress::parse_with_options(text, bare).is_ok();
    if valid { Ok(()) } else { Err(invalid("/email", "must be an e-mail address")) }
}

fn birth_date(text: &str) -> Result<(), Refused> {
    let valid = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    if valid { Ok(()) } else { Err(invalid("/birth_date", "must be a date such as 1995-01-31")) }
}

fn avatar(text: &str) -> Result<(), Refused> {
    // The parser would skip line feeds and tabs.
    let url = Some(text).filter(|text| !text.contains(char::is_whitespace)).and_then(|text| url::Url::parse(text).ok());
    let valid = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if valid { Ok(()) } else { Err(invalid("/avatar", "must be an http or https address")) }
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
