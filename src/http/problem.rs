//! Errors on the wire: RFC 9457 problems for `/v1`, OAuth's own JSON form for `/oauth` (in `oauth`), and the page of
//! every code under `/errors/`.
//!
//! Owns the closed list of codes with their status and texts. A problem never holds a cause, a phone number,
//! a code or anything the client sent; causes go to the log.

mod oauth;

use std::borrow::Cow;

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::json;

pub use self::oauth::{OauthError, OauthErrorCode};
use super::proof_of_work;

/// `Retry-After` of a 429 or 503 that names no time of its own, in seconds: long enough to spread a burst,
/// short enough that a person still waits.
pub const RETRY_AFTER_S_DEFAULT: u64 = 5;

/// Declares the codes once: variant, status, wire name, title, and the text of its page.
macro_rules! problem_codes {
    ($($variant:ident $status:ident $slug:literal $title:literal $page:literal)*) => {
        /// Every code a problem can have. The wire name is stable; clients branch on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $page] $variant,)*
        }

        impl ProblemCode {
            /// All codes, in the order of their status.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The wire name, also the last part of the `type` path.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// A short title, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The `type`: a stable path under `/errors/`.
            pub fn type_path(self) -> &'static str {
                match self { $(Self::$variant => concat!("/errors/", $slug),)* }
            }

            /// What the code means and what a client should do, for its page.
            pub fn page(self) -> &'static str {
                match self { $(Self::$variant => $page,)* }
            }
        }
    };
}

problem_codes! {
    MalformedJson BAD_REQUEST "malformed_json" "Malformed JSON"
        "The body is not well-formed JSON in UTF-8. Send one JSON object."
    UnknownField BAD_REQUEST "unknown_field" "Unknown field"
        "The body has a field this call does not know; `errors` points at it. Remove it or correct its name."
    InvalidField BAD_REQUEST "invalid_field" "Invalid field"
        "A field is missing, repeated, of the wrong type or out of range; `errors` points at it and says what is \
         expected."
    CodeIncorrect BAD_REQUEST "code_incorrect" "Incorrect code"
        "The code is not the one that was sent. `attempts_remaining` says how many more checks are allowed."
    CodeFormat BAD_REQUEST "code_format" "Not a code"
        "The text is not a code of the expected number of digits. No attempt was counted."
    InvalidKey UNAUTHORIZED "invalid_key" "Invalid API key"
        "The call needs an API key, or the one given is unknown or revoked."
    TokenInvalid UNAUTHORIZED "token_invalid" "Invalid token"
        "The access token is missing, malformed, not ours, or its session has ended. Sign in again."
    TokenExpired UNAUTHORIZED "token_expired" "Expired token"
        "The access token has expired. Use the refresh token."
    SignatureInvalid UNAUTHORIZED "signature_invalid" "Invalid signature"
        "The receipt has neither the signature of its provider nor the secret of its path, or its time is not now."
    Scope FORBIDDEN "scope" "Not permitted"
        "The caller's credential does not permit this call or one of its fields."
    DestinationNotPermitted FORBIDDEN "destination_not_permitted" "Destination not permitted"
        "Messages to this destination are not permitted here."
    AccountInactive FORBIDDEN "account_inactive" "Account inactive"
        "An administrator has shut the account."
    FreshLoginRequired FORBIDDEN "fresh_login_required" "Recent sign-in required"
        "The call needs a recent sign-in. Sign in again and repeat it."
    NotFound NOT_FOUND "not_found" "Not found"
        "There is nothing at this path."
    VerificationNotFound NOT_FOUND "verification_not_found" "Verification not found"
        "The verification is unknown or forgotten. Start a new one."
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "Method not allowed"
        "The path does not take this method; `Allow` names those it takes."
    RequestTimeout REQUEST_TIMEOUT "request_timeout" "Request timeout"
        "The body did not arrive in time. Nothing was done; repeat the call."
    AlreadyApproved CONFLICT "already_approved" "Already approved"
        "The verification was approved before. A code works once."
    PhoneInUse CONFLICT "phone_in_use" "Number in use"
        "The number belongs to an account."
    IdempotencyInFlight CONFLICT "idempotency_in_flight" "Still in progress"
        "The first call with this Idempotency-Key is still being worked on. Repeat it in a moment."
    VerificationExpired GONE "verification_expired" "Verification expired"
        "The verification has expired. Start a new one."
    VerificationClosed GONE "verification_closed" "Verification closed"
        "The verification was canceled or its message could not be delivered. Start a new one."
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "Body too large"
        "The body is larger than this server accepts."
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "Unsupported media type"
        "Send the body with the Content-Type this call takes: application/json (at /oauth/* also \
         application/x-www-form-urlencoded)."
    NumberInvalid UNPROCESSABLE_ENTITY "number_invalid" "Invalid phone number"
        "The text is not a phone number this server takes. Send E.164 such as +14155550123, or a national number \
         with its region."
    ChannelUnsupported UNPROCESSABLE_ENTITY "channel_unsupported" "Channel not supported"
        "No route is configured for this channel."
    IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency_key_reused" "Idempotency key reused"
        "The Idempotency-Key was used before with another request. Use a new key."
    ProofOfWorkRequired PRECONDITION_REQUIRED "proof_of_work_required" "Proof of work required"
        "A message is sent only to who has done some work for it. Find a number so that the SHA-256 of \
         `<challenge>:<number>` begins with `bits` zero bits, and repeat the call with that text as `Proof-Of-Work`. A \
         challenge is good once, for the same number and from the same address."
    RateLimited TOO_MANY_REQUESTS "rate_limited" "Too many requests"
        "Too many requests from this address or for this number. Wait for `Retry-After`."
    SendLimited TOO_MANY_REQUESTS "send_limited" "Too many messages"
        "No more messages may be sent to this number now. Wait for `Retry-After`."
    MaxAttemptsReached TOO_MANY_REQUESTS "max_attempts_reached" "Too many wrong codes"
        "The verification has no checks left. Start a new one."
    GuessBudgetExhausted TOO_MANY_REQUESTS "guess_budget_exhausted" "Checks are delayed"
        "Too many wrong codes for this number. Wait for `Retry-After`, or check by verification id."
    InternalError INTERNAL_SERVER_ERROR "internal_error" "Internal error"
        "Something failed here. Give the request id to the operator."
    DeliveryFailed BAD_GATEWAY "delivery_failed" "Delivery failed"
        "The message could not be sent. It does not count against the limits."
    Overloaded SERVICE_UNAVAILABLE "overloaded" "Overloaded"
        "The server is at its limit. Nothing was done; repeat after `Retry-After`."
    Draining SERVICE_UNAVAILABLE "draining" "Shutting down"
        "This instance is shutting down. Nothing was done; repeat, another one will answer."
    NoRouteAvailable SERVICE_UNAVAILABLE "no_route_available" "No route available"
        "No provider can take the message now. Repeat after `Retry-After`."
    StorageUnavailable SERVICE_UNAVAILABLE "storage_unavailable" "Storage unavailable"
        "The store takes no changes now. Nothing was done; repeat after `Retry-After`."
    OutcomeUnknown GATEWAY_TIMEOUT "outcome_unknown" "Outcome unknown"
        "No answer came in time: it may have happened. Repeat with the same Idempotency-Key, or read the \
         verification."
}

impl ProblemCode {
    /// The code of a wire name.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.slug() == slug)
    }
}

/// One fault of a body: where, and what is expected there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is expected; never what was sent.
    pub message: Cow<'static, str>,
}

/// An error answer. Boxed, because it travels as the `Err` of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Fields>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Fields {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(serialize_with = "as_slug")]
    code: ProblemCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_remaining: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_of_work: Option<AskedWork>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// What a client has to solve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AskedWork {
    challenge: String,
    bits: u8,
}

fn as_slug<S: serde::Serializer>(code: &ProblemCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.slug())
}

impl Problem {
    /// A problem with nothing but its code. A 429 or 503 waits [`RETRY_AFTER_S_DEFAULT`] unless told.
    pub fn new(code: ProblemCode) -> Self {
        let status = code.status();
        let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self(Box::new(Fields {
            r#type: code.type_path(),
            title: code.title(),
            status: status.as_u16(),
            detail: None,
            instance: None,
            code,
            retry_after: waits.then_some(RETRY_AFTER_S_DEFAULT),
            attempts_remaining: None,
            verification_id: None,
            proof_of_work: None,
            errors: Vec::new(),
        }))
    }

    /// Says more about this occurrence; never what the client sent, never a cause.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Whole seconds until a retry may succeed; also sent as `Retry-After`. At least 1.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// Checks left before the verification closes.
    #[must_use]
    pub fn attempts_remaining(mut self, attempts: u32) -> Self {
        self.0.attempts_remaining = Some(attempts);
        self
    }

    /// The verification that may have been sent (of `outcome_unknown`).
    #[must_use]
    pub fn verification_id(mut self, id: impl Into<String>) -> Self {
        self.0.verification_id = Some(id.into());
        self
    }

    /// The work that is asked for; also sent as `Proof-Of-Work-Challenge`.
    #[must_use]
    pub fn proof_of_work(mut self, challenge: impl Into<String>, bits: u8) -> Self {
        self.0.proof_of_work = Some(AskedWork { challenge: challenge.into(), bits });
        self
    }

    /// Points at one fault of the body. `pointer` is a JSON pointer, `message` says what is expected.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), message: message.into() });
        self
    }

    /// The request id of this occurrence; the edge sets it on every problem that passes.
    #[must_use]
    pub fn instance(mut self, request_id: &str) -> Self {
        self.0.instance = Some(request_id.to_owned());
        self
    }

    /// The code, to branch on.
    pub fn code(&self) -> ProblemCode {
        self.0.code
    }

    /// Seconds to wait, if any.
    pub fn wait_s(&self) -> Option<u64> {
        self.0.retry_after
    }

    /// The JSON text.
    pub(super) fn render(&self) -> Vec<u8> {
        // Plain strings and numbers: the serializer has nothing to refuse.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}

impl IntoResponse for Problem {
    /// Carries itself along as an extension, so that the edge can add the request id.
    fn into_response(self) -> Response {
        let mut response = (self.code().status(), self.render()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(work) = &self.0.proof_of_work {
            proof_of_work::ask(headers, &work.challenge, work.bits);
        }
        if let Some(challenge) = challenge(self.code()) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The `WWW-Authenticate` that RFC 9110 asks of every 401.
#[expect(clippy::wildcard_enum_match_arm, reason = "only the codes of status 401 have a challenge")]
fn challenge(code: ProblemCode) -> Option<&'static str> {
    match code {
        ProblemCode::InvalidKey => Some("Bearer realm=\"otpd\", Basic realm=\"otpd\""),
        ProblemCode::SignatureInvalid => Some("Signature realm=\"otpd\""),
        ProblemCode::TokenInvalid => Some("Bearer realm=\"otpd\", error=\"invalid_token\""),
        ProblemCode::TokenExpired => {
            Some("Bearer realm=\"otpd\", error=\"invalid_token\", error_description=\"expired\"")
        }
        _ => None,
    }
}

/// `GET /errors/{code}`: what the `type` of a problem leads to.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/errors/{code}", get(page))
}

async fn page(Path(slug): Path<String>) -> Result<Response, Problem> {
    let code = ProblemCode::from_slug(&slug).ok_or(ProblemCode::NotFound)?;
    let body = json!({
        "type": code.type_path(),
        "code": code.slug(),
        "status": code.status().as_u16(),
        "title": code.title(),
        "description": code.page(),
    });
    Ok(Json(body).into_response())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    /// security 96: the form of a problem with everything that may apply.
    #[test]
    fn renders_as_rfc_9457() {
        let problem = Problem::new(ProblemCode::MaxAttemptsReached)
            .detail("no checks left")
            .retry_after(0)
            .attempts_remaining(0)
            .verification_id("ver_1")
            .field("/code", "must be a string")
            .instance("req-1");
        let text = String::from_utf8(problem.render()).unwrap();
        expect![[r#"{"type":"/errors/max_attempts_reached","title":"Too many wrong codes","status":429,"detail":"no checks left","instance":"req-1","code":"max_attempts_reached","retry_after":1,"attempts_remaining":0,"verification_id":"ver_1","errors":[{"pointer":"/code","message":"must be a string"}]}"#]]
            .assert_eq(&text);
    }

    /// security 96 and contracts/v1.md: every 429 and 503 says when to come back, every 401 has a challenge.
    #[test]
    fn every_code_has_its_headers() {
        for code in ProblemCode::ALL {
            let response = Problem::new(*code).into_response();
            let headers = response.headers();
            assert_eq!(response.status(), code.status());
            assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
            let waits = matches!(response.status().as_u16(), 429 | 503);
            assert_eq!(headers.contains_key(header::RETRY_AFTER), waits, "{code:?}");
            assert_eq!(headers.contains_key(header::WWW_AUTHENTICATE), response.status() == 401, "{code:?}");
            assert_eq!(ProblemCode::from_slug(code.slug()), Some(*code));
        }
    }

    /// The list is the contract's (contracts/v1.md, Errors), and five of our own.
    #[test]
    fn the_list_is_the_contract() {
        let listed = |status: u16| {
            let codes = ProblemCode::ALL.iter().filter(|code| code.status().as_u16() == status);
            codes.map(|code| code.slug()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(listed(400), "malformed_json unknown_field invalid_field code_incorrect code_format");
        assert_eq!(listed(401), "invalid_key token_invalid token_expired signature_invalid");
        assert_eq!(listed(403), "scope destination_not_permitted account_inactive fresh_login_required");
        assert_eq!(listed(404), "not_found verification_not_found");
        assert_eq!(listed(405), "method_not_allowed");
        assert_eq!(listed(408), "request_timeout");
        assert_eq!(listed(409), "already_approved phone_in_use idempotency_in_flight");
        assert_eq!(listed(410), "verification_expired verification_closed");
        assert_eq!(listed(413), "body_too_large");
        assert_eq!(listed(415), "unsupported_media_type");
        assert_eq!(listed(422), "number_invalid channel_unsupported idempotency_key_reused");
        assert_eq!(listed(428), "proof_of_work_required");
        assert_eq!(listed(429), "rate_limited send_limited max_attempts_reached guess_budget_exhausted");
        assert_eq!(listed(500), "internal_error");
        assert_eq!(listed(502), "delivery_failed");
        assert_eq!(listed(503), "overloaded draining no_route_available storage_unavailable");
        assert_eq!(listed(504), "outcome_unknown");
        assert_eq!(ProblemCode::ALL.len(), 39);
    }
}
