//! The edge: what every request passes on its way in and every answer on its way out.
//!
//! One layer does it all, in one place and one future: request id, client address, CORS, time limit, panics,
//! the request id inside problems, security headers, metrics and the access log line. Knows no route and
//! reads no body. Log lines hold the route's template, never a path or a header of the client's own.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use futures_util::FutureExt as _;

use super::{
    client_ip::{ClientIp, ClientIpRules},
    cors::CorsOrigins,
    listener::PeerAddr,
    problem::{Problem, ProblemCode},
    request_metrics::RequestMetrics,
};
use crate::entropy::Entropy;

/// The id of a request, in its answer, in problems and in log lines.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Longest request id taken from a client.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// Route label of what no route matched.
const ROUTE_OTHER: &str = "other";

/// How the edge treats every request.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Longest time for a handler, body included. Default 30 s: above the send deadline of the providers and
    /// below the patience of proxies. What runs longer is answered 504 `outcome_unknown`.
    pub request_timeout: Duration,
    /// Sends `Strict-Transport-Security` (two years, subdomains). On when TLS is ours or the public URL is
    /// https; over plain http browsers ignore it anyway. Default: off.
    pub hsts: bool,
    /// Whose forwarded addresses are believed.
    pub client_ip: ClientIpRules,
    /// Browser origins that may call. Default: none.
    pub cors: CorsOrigins,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            hsts: false,
            client_ip: ClientIpRules::default(),
            cors: CorsOrigins::default(),
        }
    }
}

/// The id of this request: an extension of the request and an extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The text: 1 to 64 of `[A-Za-z0-9_-]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of a request's id, shared; empty where the edge is missing.
    pub(super) fn of(parts: &Parts) -> Arc<str> {
        parts.extensions.get::<Self>().map(|id| Arc::clone(&id.0)).unwrap_or_default()
    }
}

/// Wraps a complete router. Sets its fallbacks (404 and 405 as problems), so no other may be set before.
pub fn harden(router: Router, settings: EdgeSettings, entropy: &dyn Entropy) -> Router {
    let edge = Arc::new(Edge {
        settings,
        id_prefix: entropy.draw(),
        id_count: AtomicU64::new(0),
        metrics: RequestMetrics::default(),
    });
    router
        .fallback(async || Problem::new(ProblemCode::NotFound))
        .method_not_allowed_fallback(async || Problem::new(ProblemCode::MethodNotAllowed))
        .layer(axum::middleware::from_fn_with_state(edge, pass))
}

#[derive(Debug)]
struct Edge {
    settings: EdgeSettings,
    /// Random at each start, so ids of two runs differ; with a count, because an id is no secret and a
    /// draw per request would cost a system call.
    id_prefix: u64,
    id_count: AtomicU64,
    metrics: RequestMetrics,
}

async fn pass(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(ROUTE_OTHER, MatchedPath::as_str);
    let id = edge.request_id(request.headers());
    let client = edge.client(&request);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(client);
    let origin = edge.settings.cors.admitted(request.headers());

    let mut response = if let Some(refused) = refuse_method(&method) {
        refused
    } else if let Some(preflight) = edge.settings.cors.preflight(&request, origin.as_ref()) {
        preflight
    } else {
        edge.run(request, next, &id).await
    };

    name_problem(&mut response, &id);
    edge.settings.cors.mark(origin, response.headers_mut());
    edge.dress(response.headers_mut(), &id);
    let elapsed = started.elapsed();
    edge.metrics.record(route, &method, response.status(), elapsed);
    tracing::debug!(
        target: "otpd::access",
        request_id = id.as_str(),
        method = RequestMetrics::method_label(&method),
        route,
        status = response.status().as_u16(),
        elapsed_us = elapsed.as_micros(),
        client = %client.ip,
        "request"
    );
    response
}

impl Edge {
    /// The client's own id if it is well formed, else one of ours.
    fn request_id(&self, headers: &HeaderMap) -> RequestId {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_request_id(id));
        let ours = || {
            let count = self.id_count.fetch_add(1, Ordering::Relaxed);
            HEXLOWER.encode(&[self.id_prefix, count].map(u64::to_be_bytes).concat()).into()
        };
        RequestId(given.map_or_else(ours, Arc::from))
    }

    fn client(&self, request: &Request) -> ClientIp {
        // Without a peer (a router called in process) the address is one that no list trusts.
        let nobody = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let peer = request.extensions().get::<PeerAddr>().map_or(nobody, |peer| peer.0.ip());
        self.settings.client_ip.client(peer, request.headers())
    }

    /// Runs the handler within the time limit; a panic ends the request, not the process.
    async fn run(&self, request: Request, next: Next, id: &RequestId) -> Response {
        let guarded = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(self.settings.request_timeout, guarded).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => panicked(panic.as_ref(), id),
            Err(_) => {
                tracing::warn!(request_id = id.as_str(), "request timed out");
                Problem::new(ProblemCode::OutcomeUnknown).into_response()
            }
        }
    }

    /// The headers of every answer. A handler may set its own policy and caching (documentation pages do).
    fn dress(&self, headers: &mut HeaderMap, id: &RequestId) {
        const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if self.settings.hsts {
            const TWO_YEARS: &str = "max-age=63072000; includeSubDomains";
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TWO_YEARS));
        }
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(REQUEST_ID, id);
        }
    }
}

fn is_request_id(text: &str) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// TRACE echoes credentials and CONNECT makes a proxy: no route may ever take them.
fn refuse_method(method: &Method) -> Option<Response> {
    if !matches!(*method, Method::TRACE | Method::CONNECT) {
        return None;
    }
    let mut response = Problem::new(ProblemCode::MethodNotAllowed).into_response();
    let allow = HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS");
    response.headers_mut().insert(header::ALLOW, allow);
    Some(response)
}

/// The panic's text may hold anything, so it is left to the panic hook; here only that it happened.
fn panicked(_panic: &(dyn Any + Send), id: &RequestId) -> Response {
    tracing::error!(request_id = id.as_str(), "handler panicked");
    Problem::new(ProblemCode::InternalError).into_response()
}

/// Writes the request id into a problem that passes.
fn name_problem(response: &mut Response, id: &RequestId) {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = Body::from(problem.instance(id.as_str()).render());
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    /// Fails only where the edge is missing.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ProblemCode::InternalError.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientIp {
    type Rejection = Problem;

    /// Fails only where the edge is missing.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| ProblemCode::InternalError.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_taken_only_when_well_formed() {
        for good in ["a", "req_1-A", &"x".repeat(64)] {
            assert!(is_request_id(good), "{good}");
        }
        for bad in ["", "a b", "a\tb", "ä", "a,b", "<x>", "a.b", &"x".repeat(65)] {
            assert!(!is_request_id(bad), "{bad}");
        }
    }
}
