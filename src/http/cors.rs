//! Cross-origin access for browsers: an exact list of origins, and nothing without one.
//!
//! No wildcard, no reflection of unknown origins, no `null`, no credentials: tokens travel in headers that
//! scripts of a listed origin set themselves.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};

/// Origins whose scripts may call. Empty: no answer ever mentions CORS.
#[derive(Debug, Clone, Default)]
pub struct CorsOrigins(Vec<HeaderValue>);

/// The text is no origin that may be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an origin: expected scheme://host or scheme://host:port in lower case")]
pub struct BadOrigin;

impl CorsOrigins {
    /// Checks and keeps the list. An origin is `https://host` or `http://host`, with a port if it is not the
    /// scheme's own; no path, no wildcard, no `null`.
    pub fn new<T: AsRef<str>>(origins: &[T]) -> Result<Self, BadOrigin> {
        origins.iter().map(|origin| checked(origin.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The origin of a request, if it is listed.
    pub(super) fn admitted(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.iter().find(|listed| *listed == origin).cloned()
    }

    /// Answers the browser's question before a call, for a listed origin.
    pub(super) fn preflight(&self, request: &Request, admitted: Option<&HeaderValue>) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let (true, Some(_)) = (asks, admitted) else { return None };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let names = HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key, Proof-Of-Work, Request-Id");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(response)
    }

    /// Marks an answer: readable by the listed origin, and different for others.
    pub(super) fn mark(&self, admitted: Option<HeaderValue>, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = admitted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = "Location, Request-Id, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, \
                           Proof-Of-Work-Challenge, WWW-Authenticate";
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
        }
    }
}

fn checked(origin: &str) -> Result<HeaderValue, BadOrigin> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).ok_or(BadOrigin)?;
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (rest, None),
    };
    let host_is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'[' | b']' | b':');
    let fits = !host.is_empty() && host.bytes().all(host_is_plain);
    if !fits || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(BadOrigin);
    }
    HeaderValue::from_str(origin).map_err(|_| BadOrigin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// security 88: the matrix of origins against an exact list.
    #[test]
    fn only_exact_origins_are_admitted() {
        let cors = CorsOrigins::new(&["https://good.example", "http://localhost:3000"]).unwrap();
        let admitted = |origin: &'static str| {
            cors.admitted(&HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))])).is_some()
        };
        assert!(admitted("https://good.example"));
        assert!(admitted("http://localhost:3000"));
        for stranger in [
            "https://good.example.evil.com",
            "https://evil.com",
            "http://good.example",
            "https://good.example:8443",
            "https://GOOD.example",
            "https://good.example/",
            "https://sub.good.example",
            "null",
            "*",
            "",
            "http://localhost",
            "https://good.exampl",
            "https://xgood.example",
        ] {
            assert!(!admitted(stranger), "{stranger}");
        }
        assert!(CorsOrigins::default().admitted(&HeaderMap::new()).is_none());
    }

    #[test]
    fn what_is_no_origin_cannot_be_listed() {
        for bad in [
            "*",
            "null",
            "",
            "good.example",
            "https://",
            "https://*.good.example",
            "https://good.example/",
            "https://good.example:http",
            "https://Good.example",
            "ftp://good.example",
            "https://a b",
        ] {
            assert!(CorsOrigins::new(&[bad]).is_err(), "{bad}");
        }
        assert!(CorsOrigins::new(&["https://[::1]:8443", "https://[::1]"]).is_ok());
    }
}
