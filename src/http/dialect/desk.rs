//! What every dialect works with: who asks, how often, with which body; and the answers that need no use case.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use super::{Framework, Place, Route, Spec, drf, fastapi, no::No};
use crate::{
    http::{
        body::{self, BodyFault, BodyLimits},
        client_ip::ClientIp,
        ip_limit::IpLimiter,
        middleware::RequestId,
        proof_of_work,
    },
    record::{CODE_DIGITS, Code, PhoneNumber},
    service::{
        Dialect, Failure, Origin, Service, code_input, digits,
        number::{self, NumberRules},
    },
};

/// One dialect as it is served: its translation, its figures in force, and what it works with.
#[derive(Debug)]
pub struct Desk {
    /// What it is, and where.
    pub place: Place,
    /// The use cases.
    pub service: Service,
    /// Its name and policy, for the use cases.
    pub dialect: Dialect,
    /// Requests of one address per minute.
    pub ip_limiter: IpLimiter,
    /// How typed numbers are read.
    pub numbers: NumberRules,
    /// Bounds of bodies.
    pub body_limits: BodyLimits,
    /// What only some dialects have.
    pub options: Options,
}

/// Settings that only some dialects have.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tell whether a number is registered.
    pub reveal_registered: bool,
    /// What numbers may begin with.
    pub phone_number_prefixes: Vec<String>,
    /// Cookies travel over https alone.
    pub secure_cookies: bool,
}

/// One request, read and let in.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) desk: Arc<Desk>,
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    pub(super) origin: Origin,
}

impl Desk {
    fn spec(&self) -> &'static Spec {
        self.place.spec
    }

    /// The number of a text that has passed the dialect's own rule.
    pub(super) fn phone(&self, text: &str) -> Option<PhoneNumber> {
        let read = number::parse(text, &self.numbers, None);
        read.inspect_err(|_| self.service.count_refusal(&self.dialect, "number")).ok()
    }

    /// A refusal that the original has no body for.
    pub(super) fn says(&self, status: StatusCode, text: &str) -> Response {
        (status, Json((self.spec().says)(text))).into_response()
    }

    /// A refusal with a wait.
    pub(super) fn waits(&self, status: StatusCode, text: &str, retry_after_s: u64) -> Response {
        with_retry_after(self.says(status, text), retry_after_s)
    }

    /// The answer to a failure that this call has no words of its own for.
    pub(super) fn refuses(&self, no: &No) -> Response {
        const BUSY: &str = "Service temporarily unavailable. Please try again later.";
        match no {
            No::Limited { retry_after_s } => self.waits(StatusCode::TOO_MANY_REQUESTS, TOO_MANY, *retry_after_s),
            No::Delayed { retry_after_s } | No::Blocked { retry_after_s } | No::StruckOut { retry_after_s } => {
                self.waits(StatusCode::TOO_MANY_REQUESTS, TOO_MANY, *retry_after_s)
            }
            No::Busy { retry_after_s } => self.waits(StatusCode::SERVICE_UNAVAILABLE, BUSY, *retry_after_s),
            No::OutcomeUnknown => {
                self.says(StatusCode::GATEWAY_TIMEOUT, "The outcome is not known. Please check and try again.")
            }
            No::Unproven(challenge) => {
                let mut response = self.says(StatusCode::PRECONDITION_REQUIRED, UNPROVEN);
                proof_of_work::ask(response.headers_mut(), &challenge.to_string(), challenge.bits);
                response
            }
            No::NotPermitted => self.says(StatusCode::FORBIDDEN, NOT_PERMITTED),
            No::Inactive => self.says(StatusCode::FORBIDDEN, "User is inactive"),
            No::Token(_) | No::UserGone => match self.spec().framework {
                Framework::Drf | Framework::DrfSlashed => drf::bad_token("Token is invalid"),
                Framework::FastApi => self.says(StatusCode::UNAUTHORIZED, "Invalid token"),
            },
            No::ProfileTooLarge => self.says(StatusCode::BAD_REQUEST, "The profile is too large."),
            No::NotSent(_)
            | No::Wrong { .. }
            | No::Exhausted
            | No::Expired
            | No::NothingPending
            | No::BadCode
            | No::WrongPassword { .. }
            | No::NoAccount
            | No::AccountExists
            | No::BadGrant
            | No::Broken => self.says(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
        }
    }
}

/// What a limit that the originals lack says.
pub(super) const TOO_MANY: &str = "Too many OTP requests. Please try again later.";

/// What a number that gets no messages is told.
pub(super) const NOT_PERMITTED: &str = "Messages are not sent to this number.";
/// What a client is told that has not done the work it is asked for; the challenge is in the header.
pub(super) const UNPROVEN: &str = "Proof of work is required. Please solve the challenge and try again.";

/// Adds `Retry-After`, in whole seconds.
pub(super) fn with_retry_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// An answer of JSON.
pub(super) fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

/// The text with the decimal digits of every script as ASCII ones; nothing else changes.
pub(super) fn folded(text: &str) -> String {
    text.chars().map(|c| digits::to_ascii(c).unwrap_or(c)).collect()
}

/// A typed code, whatever its number of digits; `None`: no code at all.
pub(super) fn code(typed: &str) -> Option<Code> {
    let normal = code_input::normalise(typed, usize::from(*CODE_DIGITS.end())).ok()?;
    Code::from_digits(normal.digits())
}

impl Call {
    /// The answer to a failure that this call has no words of its own for.
    pub(super) fn refuses(&self, failure: Failure) -> Response {
        self.desk.refuses(&No::from(failure))
    }
}

/// Answers a request at a path of this dialect.
pub(super) async fn serve(desk: Arc<Desk>, routes: Vec<&'static Route>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let client = parts.extensions.get::<ClientIp>().copied();
    // A path counts if one of its calls does, whatever the method.
    let is_counted = routes.iter().any(|route| route.counted);
    if let Some(client) = client.filter(|_| is_counted)
        && let Err(limited) = desk.ip_limiter.check(client.bucket)
    {
        desk.service.count_refusal(&desk.dialect, "ip");
        let body = (desk.spec().ip_limited)(limited.retry_after_s);
        return with_retry_after(answer(StatusCode::TOO_MANY_REQUESTS, body), limited.retry_after_s);
    }
    let Some(route) = routes.iter().find(|route| route.answers(&parts.method)) else {
        return wrong_method(desk.spec().framework, &routes, &parts.method);
    };
    let body = match body::read(&parts.headers, body, &desk.body_limits).await {
        Ok(body) => body,
        Err(fault) => return broken_body(&desk, &fault),
    };
    let origin = origin(&parts, client);
    (route.handler)(Call { desk, parts, body, origin }).await.unwrap_or_else(|refused| refused)
}

fn origin(parts: &Parts, client: Option<ClientIp>) -> Origin {
    let nobody = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    Origin {
        request_id: RequestId::of(parts),
        address: client.map_or(nobody, |client| client.ip),
        bucket: client.map_or(nobody, |client| client.bucket.address()),
        caller: None,
        proof: proof_of_work::given(&parts.headers),
        idempotency: None,
    }
}

fn wrong_method(framework: Framework, routes: &[&'static Route], method: &Method) -> Response {
    let methods: Vec<&str> = routes.iter().map(|route| route.method).collect();
    match framework {
        Framework::Drf | Framework::DrfSlashed => drf::wrong_method(&methods, method),
        Framework::FastApi => fastapi::wrong_method(&methods),
    }
}

fn broken_body(desk: &Desk, fault: &BodyFault) -> Response {
    match fault {
        BodyFault::TooLarge => desk.says(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large."),
        BodyFault::TooSlow => desk.says(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time."),
        BodyFault::MediaType => {
            desk.says(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The request body must not be compressed.")
        }
        BodyFault::Broken | BodyFault::RepeatedParameter | BodyFault::Json(_) => {
            desk.says(StatusCode::BAD_REQUEST, "The request body is broken off.")
        }
    }
}
