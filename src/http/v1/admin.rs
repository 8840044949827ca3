//! `/v1/admin/…`: for keys with the `admin` scope.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{super::problem::ProblemCode, V1, call::Call, input, refusal::Refused, render};
use crate::{
    record::{PhoneNumber, Refusal},
    service::Failure,
    token::Scope,
};

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

/// The number that a key with the scope asks about.
fn admit(v1: &V1, call: &Call<NumberBody>) -> Result<PhoneNumber, Refused> {
    let origin = &call.visitor.origin;
    let caller = origin.caller.as_ref().ok_or(ProblemCode::InvalidKey)?;
    if !caller.may(Scope::Admin) {
        v1.service.turned_away(&v1.dialect, "scope", origin.address, &origin.request_id);
        return Err(ProblemCode::Scope.into());
    }
    input::phone(v1, &call.body.to, call.body.region.as_deref())
}
