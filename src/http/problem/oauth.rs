//! Errors of `/oauth/*`: OAuth's own JSON form.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Problem, RETRY_AFTER_S_DEFAULT};

/// An error of `/oauth/*` in the form of RFC 6749 section 5.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthError {
    /// The registered error code.
    pub error: OauthErrorCode,
    /// Text for developers; ASCII, nothing the client sent.
    pub description: Cow<'static, str>,
    /// Whole seconds to wait, sent as `Retry-After` of a 429 or 503.
    pub retry_after: Option<u64>,
}

/// OAuth's registered error codes that these endpoints use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OauthErrorCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The caller's key is missing or wrong.
    InvalidClient,
    /// The assertion or refresh token is wrong, used or expired.
    InvalidGrant,
    /// The caller may not use this call.
    UnauthorizedClient,
    /// The grant type is none of ours.
    UnsupportedGrantType,
    /// The scope is none of ours.
    InvalidScope,
    /// Too many requests; the status is 429.
    SlowDown,
    /// Something failed here; the status is 500.
    ServerError,
    /// Overloaded, draining or storage gone; the status is 503.
    TemporarilyUnavailable,
    /// It may have been done; the status is 504.
    OutcomeUnknown,
}

impl OauthErrorCode {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::SlowDown => (StatusCode::TOO_MANY_REQUESTS, "slow_down"),
            Self::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Self::TemporarilyUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Self::OutcomeUnknown => (StatusCode::GATEWAY_TIMEOUT, "temporarily_unavailable"),
        }
    }
}

impl OauthError {
    /// An error with its text.
    pub fn new(error: OauthErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self { error, description: description.into(), retry_after: None }
    }
}

impl From<Problem> for OauthError {
    /// The same refusal in OAuth's words, for what fails before the endpoint itself speaks.
    fn from(problem: Problem) -> Self {
        let error = match problem.code().status() {
            StatusCode::UNAUTHORIZED => OauthErrorCode::InvalidClient,
            StatusCode::FORBIDDEN => OauthErrorCode::UnauthorizedClient,
            StatusCode::TOO_MANY_REQUESTS => OauthErrorCode::SlowDown,
            StatusCode::SERVICE_UNAVAILABLE => OauthErrorCode::TemporarilyUnavailable,
            StatusCode::GATEWAY_TIMEOUT => OauthErrorCode::OutcomeUnknown,
            status if status.is_server_error() => OauthErrorCode::ServerError,
            _ => OauthErrorCode::InvalidRequest,
        };
        let description = problem.0.detail.unwrap_or(Cow::Borrowed(problem.0.title));
        Self { error, description, retry_after: problem.0.retry_after }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let (status, error) = self.error.parts();
        let body = Json(json!({ "error": error, "error_description": self.description }));
        let mut response = (status, body).into_response();
        let waits = matches!(self.error, OauthErrorCode::SlowDown | OauthErrorCode::TemporarilyUnavailable);
        if waits {
            let seconds = self.retry_after.unwrap_or(RETRY_AFTER_S_DEFAULT);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.error == OauthErrorCode::InvalidClient {
            let challenge = HeaderValue::from_static("Basic realm=\"otpd\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ProblemCode, *};

    #[test]
    fn oauth_speaks_its_own_form() {
        let status = |problem: Problem| OauthError::from(problem).into_response().status().as_u16();
        assert_eq!(status(ProblemCode::BodyTooLarge.into()), 400);
        assert_eq!(status(ProblemCode::InvalidKey.into()), 401);
        assert_eq!(status(ProblemCode::RateLimited.into()), 429);
        assert_eq!(status(ProblemCode::Draining.into()), 503);
        assert_eq!(status(ProblemCode::InternalError.into()), 500);
        assert_eq!(status(ProblemCode::OutcomeUnknown.into()), 504);
        let limited = OauthError::from(Problem::new(ProblemCode::RateLimited).retry_after(7)).into_response();
        assert_eq!(limited.headers()[header::RETRY_AFTER], "7");
    }
}
