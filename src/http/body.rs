//! Request bodies: of the right type, of bounded size, in bounded time.
//!
//! Counts bytes while they stream, so a body without a length is bounded as well. Owns no schema: what the
//! bytes mean is `json`'s and `form`'s.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRef, FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::{
    json::{self, JsonFault},
    problem::{Problem, ProblemCode},
};

/// Bounds of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Most bytes. Default 16 KiB: the largest body of ours is a few hundred bytes.
    pub bytes_max: usize,
    /// Longest time from the first look at the body to its last byte. Default 10 s: a body of one packet on
    /// the slowest phone needs less.
    pub read_timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes_max: 16 * 1024, read_timeout: Duration::from_secs(10) }
    }
}

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The Content-Type is not one the call takes, or the body is compressed.
    #[error("unsupported media type")]
    MediaType,
    /// More than [`BodyLimits::bytes_max`].
    #[error("body too large")]
    TooLarge,
    /// Slower than [`BodyLimits::read_timeout`].
    #[error("body too slow")]
    TooSlow,
    /// The connection broke, or the body's framing is wrong.
    #[error("body broken off")]
    Broken,
    /// A form parameter twice.
    #[error("repeated parameter")]
    RepeatedParameter,
    /// Not the JSON the call takes.
    #[error(transparent)]
    Json(#[from] JsonFault),
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::MediaType => ProblemCode::UnsupportedMediaType.into(),
            BodyFault::TooLarge => ProblemCode::BodyTooLarge.into(),
            BodyFault::TooSlow => ProblemCode::RequestTimeout.into(),
            BodyFault::Broken => ProblemCode::MalformedJson.into(),
            BodyFault::RepeatedParameter => {
                Self::new(ProblemCode::InvalidField).detail("a parameter appears more than once")
            }
            BodyFault::Json(fault) => fault.into(),
        }
    }
}

/// Whether the body is said to be JSON in UTF-8: one `Content-Type: application/json`, at most with that
/// charset. Anything a browser could send without asking first (CORS) is refused.
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let mut parts = line.to_str().unwrap_or_default().split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) => true,
        None => parameter.is_empty(),
    };
    essence.eq_ignore_ascii_case("application/json") && parts.all(utf8)
}

/// Collects the body within its bounds.
pub async fn read(headers: &HeaderMap, body: Body, limits: &BodyLimits) -> Result<Bytes, BodyFault> {
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(BodyFault::MediaType);
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > u64::try_from(limits.bytes_max).unwrap_or(u64::MAX)) {
        return Err(BodyFault::TooLarge);
    }
    let whole = Limited::new(body, limits.bytes_max).collect();
    match tokio::time::timeout(limits.read_timeout, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyFault::TooLarge),
        Ok(Err(_)) => Err(BodyFault::Broken),
        Err(_) => Err(BodyFault::TooSlow),
    }
}

/// Reads a JSON object into `T`, which should deny unknown fields. `empty_is_object` takes a body of no bytes
/// for `{}`, whatever its Content-Type.
pub async fn read_json<T: DeserializeOwned>(
    request: Request,
    limits: &BodyLimits,
    empty_is_object: bool,
) -> Result<T, BodyFault> {
    let (parts, body) = request.into_parts();
    let is_json = is_json(&parts.headers);
    if !is_json && !empty_is_object {
        return Err(BodyFault::MediaType);
    }
    let bytes = read(&parts.headers, body, limits).await?;
    match (is_json, bytes.is_empty() && empty_is_object) {
        (_, true) => Ok(json::typed(b"{}")?),
        (true, false) => Ok(json::typed(&bytes)?),
        (false, false) => Err(BodyFault::MediaType),
    }
}

/// Extracts a JSON object by [`read_json`]; the state gives the [`BodyLimits`].
#[derive(Debug, Clone, Copy)]
pub struct StrictJson<T>(pub T);

/// Like [`StrictJson`], and takes an absent body for `{}`.
#[derive(Debug, Clone, Copy)]
pub struct OptionalJson<T>(pub T);

impl<T, S> FromRequest<S> for StrictJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
    BodyLimits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(read_json(request, &BodyLimits::from_ref(state), false).await?))
    }
}

impl<T, S> FromRequest<S> for OptionalJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
    BodyLimits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(read_json(request, &BodyLimits::from_ref(state), true).await?))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures_util::stream;
    use serde_json::{Map, Value};

    use super::*;

    fn request(content_type: &[&'static str], body: Body) -> Request {
        let mut request = Request::new(body);
        for value in content_type {
            request.headers_mut().append(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        request
    }

    async fn read_map(request: Request, empty_is_object: bool) -> Result<Map<String, Value>, BodyFault> {
        let limits = BodyLimits { bytes_max: 64, read_timeout: Duration::from_secs(10) };
        read_json(request, &limits, empty_is_object).await
    }

    /// security 89: only application/json, so no form of another site can reach a handler.
    #[tokio::test]
    async fn takes_json_only() {
        let check = async |types: &[&'static str], ok: bool| {
            let found = read_map(request(types, Body::from("{}")), false).await;
            assert_eq!(found.is_ok(), ok, "{types:?}");
            assert!(ok || found == Err(BodyFault::MediaType));
        };
        for ok in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            check(&[ok], true).await;
        }
        for refused in [
            "text/plain",
            "text/plain;application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
            "application/json5",
            "application/problem+json",
            "application/json; charset=utf-16",
            "application/json, text/plain",
            "",
            "json",
        ] {
            check(&[refused], false).await;
        }
        check(&[], false).await;
        check(&["application/json", "text/plain"], false).await;
    }

    /// security 93: bytes are counted while they stream, with and without an announced length.
    #[tokio::test]
    async fn size_is_bounded() {
        let body = |size: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(size - 8));
        assert!(read_map(request(&["application/json"], body(64).into()), false).await.is_ok());
        assert_eq!(read_map(request(&["application/json"], body(65).into()), false).await, Err(BodyFault::TooLarge));
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"xxxx")));
        let endless = request(&["application/json"], Body::from_stream(endless));
        assert_eq!(read_map(endless, false).await, Err(BodyFault::TooLarge));
        let mut announced = request(&["application/json"], Body::from("{}"));
        announced.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("65"));
        assert_eq!(read_map(announced, false).await, Err(BodyFault::TooLarge));
    }

    /// security 95: a body that does not come is given up.
    #[tokio::test(start_paused = true)]
    async fn time_is_bounded() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let before = tokio::time::Instant::now();
        assert_eq!(read_map(request(&["application/json"], silent), false).await, Err(BodyFault::TooSlow));
        assert_eq!(before.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn an_absent_body_may_be_an_object() {
        assert_eq!(read_map(request(&[], Body::empty()), true).await, Ok(Map::new()));
        assert_eq!(read_map(request(&["application/json"], Body::empty()), true).await, Ok(Map::new()));
        assert_eq!(read_map(request(&[], Body::from("{}")), true).await, Err(BodyFault::MediaType));
        let empty = read_map(request(&["application/json"], Body::empty()), false).await;
        assert_eq!(empty, Err(BodyFault::Json(JsonFault::Malformed)));
    }

    #[tokio::test]
    async fn compressed_bodies_are_refused() {
        let mut zipped = request(&["application/json"], Body::from("{}"));
        zipped.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(read_map(zipped, false).await, Err(BodyFault::MediaType));
    }
}
