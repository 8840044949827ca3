//! `/v1`, `/oauth` and `/.well-known`: the canonical API (`contracts/v1.md`), a translation onto the use cases.
//!
//! `call` reads a request: who asks, what, and whether it may be let in. `verifications`, `oauth`, `me` and `admin`
//! are the routes, `receipts` is that of providers; `refusal` says every "no" as a problem, `render` every success as
//! JSON. Decides nothing itself.

mod admin;
mod call;
mod input;
mod me;
mod oauth;
mod receipts;
mod refusal;
mod render;
mod verifications;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, post},
};

use super::{body::BodyLimits, ip_limit::IpLimiter, problem};
use crate::{
    service::{Dialect, Service, number::NumberRules},
    token::ApiKeys,
};

pub use self::receipts::ReceiptDoor;

/// What the routes work with.
#[derive(Debug)]
pub struct V1 {
    /// The use cases.
    pub service: Service,
    /// The name `v1` and its figures.
    pub dialect: Dialect,
    /// Back ends' keys.
    pub api_keys: ApiKeys,
    /// Refuse callers without a key.
    pub require_key: bool,
    /// Dialects whose refresh tokens `/oauth/token` takes, because they have no route for them.
    pub refresh_of: Vec<&'static str>,
    /// Calls of one address per minute.
    pub ip_limiter: IpLimiter,
    /// How typed numbers are read.
    pub numbers: NumberRules,
    /// Bounds of bodies.
    pub body_limits: BodyLimits,
    /// How receipts of providers are let in.
    pub receipts: ReceiptDoor,
    /// What clients call this server, without a final slash.
    pub public_url: String,
}

/// Checks by id; a phone change is completed here.
const CHECK_BY_ID: &str = "/v1/verifications/{id}/check";

/// The routes of the canonical API.
pub fn router(v1: Arc<V1>) -> Router {
    Router::new()
        .route("/v1/verifications", post(verifications::start))
        .route("/v1/verifications/check", post(verifications::check_newest))
        .route("/v1/verifications/{id}", get(verifications::read))
        .route(CHECK_BY_ID, post(verifications::check))
        .route("/v1/verifications/{id}/resend", post(verifications::resend))
        .route("/v1/verifications/{id}/cancel", post(verifications::cancel))
        .route("/v1/sessions", post(verifications::sign_in))
        .route("/v1/me", get(me::read).patch(me::update).delete(me::erase))
        .route("/v1/me/export", get(me::export))
        .route("/v1/me/sessions", get(me::sessions))
        .route("/v1/me/sessions/{sid}", delete(me::end_session))
        .route("/v1/me/phone-change", post(me::start_phone_change))
        .route("/v1/admin/unlock", post(admin::unlock))
        .route("/v1/admin/activate", post(admin::activate))
        .route("/v1/admin/deactivate", post(admin::deactivate))
        .route("/v1/receipts/{gateway}", post(receipts::take))
        .route("/v1/receipts/{gateway}/{secret}", post(receipts::take).get(receipts::take))
        .route("/v1/admin/events/dead", get(admin::dead_events))
        .route("/v1/admin/events/dead/{id}", delete(admin::drop_dead_event))
        .route("/v1/admin/events/dead/{id}/retry", post(admin::retry_dead_event))
        .route("/oauth/token", post(oauth::token))
        .route("/oauth/revoke", post(oauth::revoke))
        .route("/oauth/introspect", post(oauth::introspect))
        .route("/.well-known/jwks.json", get(oauth::jwks))
        .route("/.well-known/oauth-authorization-server", get(oauth::metadata))
        .with_state(v1)
        .merge(problem::pages())
}
