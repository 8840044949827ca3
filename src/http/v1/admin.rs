//! `/v1/admin/…`: for keys with the `admin` scope.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{super::problem::ProblemCode, V1, call::Call, input, refusal::Refused, render};
use crate::token::Scope;

/// Whose number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnlockBody {
    to: String,
    region: Option<String>,
}

/// Clears delays and counts of failures of a number.
pub(super) async fn unlock(State(v1): State<Arc<V1>>, call: Call<UnlockBody>) -> Result<Response, Refused> {
    let caller = call.visitor.origin.caller.as_ref().ok_or(ProblemCode::InvalidKey)?;
    if !caller.may(Scope::Admin) {
        let origin = &call.visitor.origin;
        v1.service.turned_away(&v1.dialect, "scope", origin.address, &origin.request_id);
        return Err(ProblemCode::Scope.into());
    }
    let phone = input::phone(&v1, &call.body.to, call.body.region.as_deref())?;
    let unlocked = v1.service.unlock(&v1.dialect, &call.visitor.origin, phone).await?;
    Ok(render::done(StatusCode::NO_CONTENT, Some(&unlocked)))
}
