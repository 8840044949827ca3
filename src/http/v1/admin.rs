//! `/v1/admin/…`: for keys with the `admin` scope.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::problem::{Problem, ProblemCode},
    V1,
    call::{Call, PathId, Visitor},
    input,
    refusal::Refused,
    render,
};
use crate::{
    record::{PhoneNumber, Refusal},
    service::{DeadLetterFate, Failure, Origin},
    token::Scope,
    webhooks::{event_id, parse_event_id},
};

/// Dead letters in one answer.
const LETTERS_PER_PAGE: usize = 100;

/// Whose number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberBody {
    to: String,
    region: Option<String>,
}

/// Clears delays, blocks and counts of failures of a number.
pub(super) async fn unlock(State(v1): State<Arc<V1>>, call: Call<NumberBody>) -> Result<Response, Refused> {
    let phone = admit(&v1, &call)?;
    let unlocked = v1.service.unlock(&v1.dialect, &call.visitor.origin, phone).await?;
    Ok(render::done(StatusCode::NO_CONTENT, Some(&unlocked)))
}

/// Opens an account that was shut.
pub(super) async fn activate(State(v1): State<Arc<V1>>, call: Call<NumberBody>) -> Result<Response, Refused> {
    set_active(&v1, &call, true).await
}

/// Shuts an account.
pub(super) async fn deactivate(State(v1): State<Arc<V1>>, call: Call<NumberBody>) -> Result<Response, Refused> {
    set_active(&v1, &call, false).await
}

async fn set_active(v1: &V1, call: &Call<NumberBody>, active: bool) -> Result<Response, Refused> {
    let phone = admit(v1, call)?;
    match v1.service.set_active(&v1.dialect, &call.visitor.origin, phone, active).await {
        Ok(set) => Ok(render::done(StatusCode::NO_CONTENT, Some(&set))),
        Err(Failure::Refused(refused)) if refused.refusal == Refusal::NoAccount => Err(ProblemCode::NotFound.into()),
        Err(failure) => Err(failure.into()),
    }
}

/// Events that could not be delivered.
pub(super) async fn dead_events(
    State(v1): State<Arc<V1>>,
    visitor: Visitor,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    authorize(&v1, &visitor.origin)?;
    let unread = || Problem::new(ProblemCode::InvalidField).detail("after must be the id of an event, as in evt_41");
    let Query(mut query) = query.map_err(|_| unread())?;
    let after = query.remove("after").map_or(Some(0), |id| parse_event_id(&id));
    let after = after.filter(|_| query.is_empty()).ok_or_else(unread)?;
    let (letters, next) = v1.service.dead_letters(after, LETTERS_PER_PAGE).await?;
    let events: Vec<Value> = letters.iter().map(render::dead_letter).collect();
    Ok(Json(json!({ "events": events, "next": next.map(event_id) })))
}

/// Delivers one of them after all.
pub(super) async fn retry_dead_event(
    State(v1): State<Arc<V1>>,
    PathId(id): PathId,
    visitor: Visitor,
) -> Result<StatusCode, Refused> {
    decide_dead_event(&v1, &visitor.origin, &id, DeadLetterFate::Retry).await
}

/// Throws one of them away.
pub(super) async fn drop_dead_event(
    State(v1): State<Arc<V1>>,
    PathId(id): PathId,
    visitor: Visitor,
) -> Result<StatusCode, Refused> {
    decide_dead_event(&v1, &visitor.origin, &id, DeadLetterFate::Drop).await
}

async fn decide_dead_event(v1: &V1, origin: &Origin, id: &str, fate: DeadLetterFate) -> Result<StatusCode, Refused> {
    authorize(v1, origin)?;
    let id = parse_event_id(id).ok_or(ProblemCode::NotFound)?;
    let was_there = v1.service.decide_dead_letter(&v1.dialect, origin, id, fate).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(ProblemCode::NotFound.into()) }
}

/// The number that a key with the scope asks about.
fn admit(v1: &V1, call: &Call<NumberBody>) -> Result<PhoneNumber, Refused> {
    authorize(v1, &call.visitor.origin)?;
    input::phone(v1, &call.body.to, call.body.region.as_deref())
}

/// Lets keys with the scope in.
fn authorize(v1: &V1, origin: &Origin) -> Result<(), Refused> {
    let caller = origin.caller.as_ref().ok_or(ProblemCode::InvalidKey)?;
    if !caller.may(Scope::Admin) {
        v1.service.turned_away(&v1.dialect, "scope", origin.address, &origin.request_id);
        return Err(ProblemCode::Scope.into());
    }
    Ok(())
}
