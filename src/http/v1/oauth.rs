//! `/oauth/…` and `/.well-known/…`: tokens as OAuth 2 has them, errors in its own form.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    super::problem::{OauthError, OauthErrorCode, Problem},
    V1,
    call::OauthCall,
    refusal::Refused,
    render,
};
use crate::{
    record::{Refusal, SECOND},
    service::{Failure, Introspection},
};

/// RFC 7523: a signed assertion, here a receipt, is exchanged for tokens.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const REFRESH: &str = "refresh_token";

pub(super) async fn token(State(v1): State<Arc<V1>>, request: Request) -> Result<Response, OauthError> {
    let call = OauthCall::read(&v1, request).await?;
    let needed = |name: &'static str| {
        let missing = || OauthError::new(OauthErrorCode::InvalidRequest, format!("{name} is missing"));
        call.params.get(name).ok_or_else(missing)
    };
    let signed_in = match needed("grant_type")? {
        JWT_BEARER => v1.service.redeem(&v1.dialect, &call.origin, needed("assertion")?).await,
        REFRESH => v1.service.refresh(&v1.dialect, &call.origin, needed("refresh_token")?, &v1.refresh_of).await,
        _ => {
            let known = format!("grant_type must be {JWT_BEARER} or {REFRESH}");
            return Err(OauthError::new(OauthErrorCode::UnsupportedGrantType, known));
        }
    };
    Ok(render::tokens(&signed_in.map_err(grant_error)?))
}

/// What is wrong with an assertion or a refresh token is one error; everything else keeps its own.
fn grant_error(failure: Failure) -> OauthError {
    let is_of_the_grant = match &failure {
        Failure::Token(_) | Failure::UnknownId => true,
        Failure::Refused(refused) => matches!(
            refused.refusal,
            Refusal::ReceiptInvalid
                | Refusal::SessionUnknown
                | Refusal::NoAccount
                | Refusal::Inactive
                | Refusal::RefreshReused
                | Refusal::UnknownChallenge
        ),
        Failure::NotDelivered { .. }
        | Failure::DeliveryUnknown { .. }
        | Failure::ProofOfWorkRequired(_)
        | Failure::SendsOverloaded
        | Failure::NoRoute { .. }
        | Failure::ChannelUnsupported
        | Failure::BudgetSpent { .. }
        | Failure::DestinationNotPermitted { .. }
        | Failure::DestinationClosed { .. }
        | Failure::PasswordsOverloaded
        | Failure::Fault(_)
        | Failure::Internal(_) => false,
    };
    if is_of_the_grant {
        return OauthError::new(OauthErrorCode::InvalidGrant, "the assertion or refresh token is not good any more");
    }
    Refused::from(failure).problem().into()
}

pub(super) async fn revoke(State(v1): State<Arc<V1>>, request: Request) -> Result<Response, OauthError> {
    let call = OauthCall::read(&v1, request).await?;
    let missing = || OauthError::new(OauthErrorCode::InvalidRequest, "token is missing");
    let token = call.params.get("token").ok_or_else(missing)?;
    let revoked = v1.service.revoke(&v1.dialect, &call.origin, token).await;
    let revoked = revoked.map_err(|failure| Refused::from(failure).problem())?;
    Ok(render::done(StatusCode::OK, revoked.as_ref()))
}

pub(super) async fn introspect(State(v1): State<Arc<V1>>, request: Request) -> Result<Response, OauthError> {
    let call = OauthCall::read(&v1, request).await?;
    if call.origin.caller.is_none() {
        return Err(OauthError::new(OauthErrorCode::InvalidClient, "introspection needs an API key"));
    }
    let missing = || OauthError::new(OauthErrorCode::InvalidRequest, "token is missing");
    let token = call.params.get("token").ok_or_else(missing)?;
    let found = v1.service.introspect(&v1.dialect, token).await.map_err(|failure| Refused::from(failure).problem())?;
    Ok(Json(introspection(found)).into_response())
}

fn introspection(found: Introspection) -> Value {
    match found {
        Introspection::Inactive => json!({ "active": false }),
        Introspection::Access(claims) => {
            let mut body = serde_json::to_value(&*claims).unwrap_or_default();
            if let Value::Object(body) = &mut body {
                // RFC 7662 means the type of RFC 6749, not the claim of ours by that name.
                body.insert("token_type".to_owned(), "Bearer".into());
                body.insert("active".to_owned(), true.into());
            }
            body
        }
        Introspection::Receipt(claims) => {
            let mut body = serde_json::to_value(&*claims).unwrap_or_default();
            if let Value::Object(body) = &mut body {
                body.insert("token_type".to_owned(), "receipt".into());
                body.insert("active".to_owned(), true.into());
            }
            body
        }
        Introspection::Refresh { sid, user_id, client, expires_at } => json!({
            "active": true,
            "token_type": "refresh_token",
            "sub": user_id.to_string(),
            "user_id": user_id,
            "sid": sid.to_string(),
            "client_id": client.as_str(),
            "exp": expires_at.0 / SECOND,
        }),
    }
}

pub(super) async fn jwks(State(v1): State<Arc<V1>>) -> Json<Value> {
    Json(v1.service.tokens().keys().jwks().clone())
}

/// RFC 8414. `response_types_supported` is `["none"]`: there is no authorization endpoint, and common clients
/// refuse an empty list.
pub(super) async fn metadata(State(v1): State<Arc<V1>>) -> Json<Value> {
    let url = &v1.public_url;
    let settings = v1.service.tokens().settings();
    Json(json!({
        "issuer": settings.issuer,
        "token_endpoint": format!("{url}/oauth/token"),
        "revocation_endpoint": format!("{url}/oauth/revoke"),
        "introspection_endpoint": format!("{url}/oauth/introspect"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "response_types_supported": ["none"],
        "grant_types_supported": [JWT_BEARER, REFRESH],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
        "service_documentation": format!("{url}/api/docs/"),
    }))
}

impl From<Refused> for OauthError {
    fn from(refused: Refused) -> Self {
        let problem: Problem = refused.problem();
        problem.into()
    }
}
