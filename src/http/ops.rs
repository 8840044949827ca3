//! The operators' listener: metrics, liveness and readiness. No credentials, so it belongs on an address
//! that only operators reach; it shows no number, no code and no address of a client.

use std::{fmt::Debug, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::problem::RETRY_AFTER_S_DEFAULT;

/// What the operators' routes ask of the application.
pub trait Operations: Debug + Send + Sync + 'static {
    /// All metrics in Prometheus' text format.
    fn metrics(&self) -> String;

    /// Whether new requests should be sent here. Called often: must not wait.
    fn readiness(&self) -> Readiness;
}

/// Whether this instance should get requests, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not yet: keys, store or number plans are still being loaded.
    Starting,
    /// No more: the instance finishes what it has and ends.
    Draining,
    /// The store takes no changes (disk full, or closed).
    StoreRefuses,
}

impl Readiness {
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::StoreRefuses => "store_refuses",
        }
    }
}

/// `GET /metrics`, `/healthz` and `/readyz`.
pub fn router(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(ready))
        .with_state(operations)
}

async fn metrics(State(operations): State<Arc<dyn Operations>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], operations.metrics()).into_response()
}

async fn ready(State(operations): State<Arc<dyn Operations>>) -> Response {
    let readiness = operations.readiness();
    let body = Json(json!({ "status": readiness.word() }));
    match readiness {
        Readiness::Ready => body.into_response(),
        Readiness::Starting | Readiness::Draining | Readiness::StoreRefuses => {
            let wait = [(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S_DEFAULT))];
            (StatusCode::SERVICE_UNAVAILABLE, wait, body).into_response()
        }
    }
}
