//! Counts and times of requests by route, with the handles kept so that a request costs two look-ups.
//!
//! Labels come from closed sets: route templates, known methods, status codes. Never a path.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use dashmap::DashMap;
use metrics::{Counter, Histogram};

/// The metrics of every request: `otpd_http_requests_total{route,method,status}` and
/// `otpd_http_request_seconds{route}`.
#[derive(Default)]
pub(super) struct RequestMetrics {
    routes: DashMap<Box<str>, Arc<RouteMetrics>>,
}

struct RouteMetrics {
    seconds: Histogram,
    counts: DashMap<(&'static str, u16), Counter>,
}

impl RequestMetrics {
    /// Records one answer. `route` is a template.
    pub(super) fn record(&self, route: &str, method: &Method, status: StatusCode, elapsed: Duration) {
        let metrics = self.route(route);
        metrics.seconds.record(elapsed.as_secs_f64());
        let key = (Self::method_label(method), status.as_u16());
        if let Some(count) = metrics.counts.get(&key) {
            count.increment(1);
            return;
        }
        let (route, status) = (route.to_owned(), status.as_u16().to_string());
        let count =
            metrics::counter!("otpd_http_requests_total", "route" => route, "method" => key.0, "status" => status);
        count.increment(1);
        metrics.counts.insert(key, count);
    }

    /// The method as a label; `other` for what no standard names.
    pub(super) fn method_label(method: &Method) -> &'static str {
        match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            "TRACE" => "TRACE",
            "CONNECT" => "CONNECT",
            _ => "other",
        }
    }

    fn route(&self, route: &str) -> Arc<RouteMetrics> {
        if let Some(known) = self.routes.get(route) {
            return Arc::clone(&known);
        }
        let seconds = metrics::histogram!("otpd_http_request_seconds", "route" => route.to_owned());
        let fresh = Arc::new(RouteMetrics { seconds, counts: DashMap::new() });
        Arc::clone(&self.routes.entry(route.into()).or_insert(fresh))
    }
}

impl fmt::Debug for RequestMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMetrics").field("routes", &self.routes.len()).finish()
    }
}
