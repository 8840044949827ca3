//! What all APIs of the document share: its head, problems, headers, credentials; and the calls about the server itself.

use serde_json::{Map, Value, json};

use super::{
    super::problem::{Problem, ProblemCode},
    Api, DOCUMENT_PATH, example,
    operation::{Callers, Content, Operation},
};

/// What the edge may answer to any call. (And 405 `method_not_allowed` to a method that a path does not have.)
pub(in crate::http) const EDGE: &[ProblemCode] = &[ProblemCode::InternalError, ProblemCode::OutcomeUnknown];
/// Reading a JSON body.
pub(in crate::http) const BODY: &[ProblemCode] = &[
    ProblemCode::MalformedJson,
    ProblemCode::UnknownField,
    ProblemCode::InvalidField,
    ProblemCode::RequestTimeout,
    ProblemCode::BodyTooLarge,
    ProblemCode::UnsupportedMediaType,
];
/// Letting a caller in.
pub(in crate::http) const ADMISSION: &[ProblemCode] = &[ProblemCode::InvalidKey, ProblemCode::RateLimited];
/// Knowing a signed-in person.
pub(in crate::http) const SIGNED_IN: &[ProblemCode] =
    &[ProblemCode::InvalidKey, ProblemCode::TokenInvalid, ProblemCode::TokenExpired, ProblemCode::AccountInactive];
/// Reaching a number's record and keeping what changed.
pub(in crate::http) const RECORD: &[ProblemCode] = &[
    ProblemCode::RateLimited,
    ProblemCode::Overloaded,
    ProblemCode::Draining,
    ProblemCode::StorageUnavailable,
    ProblemCode::OutcomeUnknown,
];
/// Sending a message.
pub(in crate::http) const SENDING: &[ProblemCode] = &[
    ProblemCode::DestinationNotPermitted,
    ProblemCode::ChannelUnsupported,
    ProblemCode::SendLimited,
    ProblemCode::DeliveryFailed,
    ProblemCode::NoRouteAvailable,
];

const INTRODUCTION: &str = "\
One-time codes to phones, checked, and tokens for who holds the phone.

**The way in.** `POST /v1/verifications` sends a code. `POST /v1/verifications/{id}/check` answers a receipt for the right \
one, and `POST /oauth/token` gives tokens for the receipt. `POST /v1/sessions` does the last two in one call.

**Bodies** are JSON objects in UTF-8 of at most 16 KiB with snake_case names; unknown fields are refused, except at `/oauth/*`. \
Times are RFC 3339 in UTC.

**Errors** are problems (RFC 9457): branch on `code`, and read about each at `/errors/{code}`. `/oauth/*` answers OAuth's own \
form. Any path answers 405 `method_not_allowed` with `Allow` to a method that it does not have.

**Five other back ends** are spoken below, each under its own name: their bodies, errors and tokens have the forms of the \
originals, and unknown fields are ignored there. All are doors to the same numbers, users and limits.

**Limits.** Every 429 and 503 says in `Retry-After` when to come back.

**Retries.** Put the same `Idempotency-Key` on every try of one request that changes something; then it happens once.

**Request-Id** stands on every answer and in every problem. Send one of your own (1 to 64 of `A-Z a-z 0-9 _ -`) to have it used.";

pub(super) fn info() -> Value {
    json!({
        "title": "otpd",
        "summary": "Sign-in by phone",
        "description": INTRODUCTION,
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    })
}

pub(super) fn schemas() -> Map<String, Value> {
    let codes: Vec<&str> = ProblemCode::ALL.iter().map(|code| code.slug()).collect();
    let field_error = json!({
        "type": "object",
        "required": ["pointer", "message"],
        "properties": {
            "pointer": { "type": "string", "description": "JSON pointer (RFC 6901); empty for the whole body" },
            "message": { "type": "string", "description": "What is expected there" },
        },
    });
    let problem = json!({
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["type", "title", "status", "instance", "code"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "A stable path under `/errors/`" },
            "title": { "type": "string", "description": "The same for every occurrence" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "More about this occurrence, for developers" },
            "instance": { "type": "string", "description": "The request's id" },
            "code": { "type": "string", "enum": codes, "description": "What to branch on" },
            "retry_after": { "type": "integer", "minimum": 1, "description": "Seconds to wait; as `Retry-After`" },
            "attempts_remaining": { "type": "integer", "minimum": 0, "description": "Checks left" },
            "verification_id": { "type": "string", "description": "Of `outcome_unknown`: it can still be checked" },
            "proof_of_work": {
                "type": "object",
                "description": "Of `proof_of_work_required`: as `Proof-Of-Work-Challenge`",
                "required": ["challenge", "bits"],
                "properties": {
                    "challenge": { "type": "string", "description": "44 characters without meaning for clients" },
                    "bits": { "type": "integer", "minimum": 8, "maximum": 30, "description": "Zero bits to find" },
                },
            },
            "errors": { "type": "array", "items": field_error, "description": "What is wrong with the body" },
        },
    });
    Map::from_iter([("Problem".to_owned(), problem), ("ProblemPage".to_owned(), problem_page())])
}

fn problem_page() -> Value {
    json!({
        "type": "object",
        "required": ["type", "code", "status", "title", "description"],
        "properties": {
            "type": { "type": "string" },
            "code": { "type": "string" },
            "status": { "type": "integer" },
            "title": { "type": "string" },
            "description": { "type": "string", "description": "What it means and what a client should do" },
        },
    })
}

/// One real problem of each code, as it is rendered.
pub(super) fn problem_examples() -> Map<String, Value> {
    let example = |code: &ProblemCode| {
        let problem = sample(*code).instance(example::REQUEST_ID).render();
        let value: Value = serde_json::from_slice(&problem).unwrap_or_default();
        (code.slug().to_owned(), json!({ "summary": code.title(), "value": value }))
    };
    ProblemCode::ALL.iter().map(example).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most codes have nothing to add")]
fn sample(code: ProblemCode) -> Problem {
    let problem = Problem::new(code);
    match code {
        ProblemCode::UnknownField => problem.field("/colour", "is unknown"),
        ProblemCode::InvalidField => problem.field("/ttl", "must be 60 to 600 seconds"),
        ProblemCode::NumberInvalid => problem.field("/to", "not a phone number"),
        ProblemCode::CodeIncorrect => problem.attempts_remaining(4),
        ProblemCode::MaxAttemptsReached => problem.attempts_remaining(0).retry_after(187),
        ProblemCode::SendLimited => problem.retry_after(24),
        ProblemCode::GuessBudgetExhausted => problem.retry_after(30),
        ProblemCode::ProofOfWorkRequired => problem.proof_of_work(example::CHALLENGE, 18),
        ProblemCode::OutcomeUnknown => problem.verification_id(example::VERIFICATION_ID),
        _ => problem,
    }
}

pub(super) fn headers() -> Value {
    let text = |required: bool, description: &str, example: &str| {
        let form = json!({ "type": "string" });
        json!({ "required": required, "description": description, "schema": form, "example": example })
    };
    let challenge = format!("{}; bits=18", example::CHALLENGE);
    json!({
        "Request-Id": text(true, "The request's id: the client's own if it was well formed", example::REQUEST_ID),
        "Location": text(true, "Where the new verification is", &format!("/v1/verifications/{}", example::VERIFICATION_ID)),
        "Retry-After": {
            "description": "Whole seconds until a retry may succeed. On every 429 and 503, and with `idempotency_in_flight`",
            "schema": { "type": "integer", "minimum": 1 }, "example": 24,
        },
        "RateLimit-Policy": text(false, "The number's send window: `q` messages in `w` seconds (IETF draft)", "\"sends\";q=3;w=120"),
        "RateLimit": text(false, "`r` messages left, `t` seconds until there are more (IETF draft)", "\"sends\";r=2;t=120"),
        "Idempotency-Replayed": text(false, "`true` if this is the answer of an earlier try with this key", "true"),
        "Proof-Of-Work-Challenge": text(true, "What to solve: the challenge, and how many zero bits", &challenge),
        "Cache-Control": text(true, "Tokens are never cached", "no-store"),
        "WWW-Authenticate": text(true, "Which credential is expected", "Bearer realm=\"otpd\""),
        "Set-Cookie": text(true, "The access token for browsers, or nothing in its place", "HTTP_ACCESS=\"\"; Max-Age=0; Path=/"),
    })
}

pub(super) fn parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names this request, so that tries of it happen once: 1 to 255 visible ASCII characters, bare or \
                quoted, new for every request (a UUID is good). Kept for 24 hours per caller and number. A retry of a request \
                that succeeded is answered the same with `Idempotency-Replayed: true`; refusals are not kept.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 257, "pattern": "^[!-~]+$" },
        },
        "ProofOfWork": {
            "name": "Proof-Of-Work",
            "in": "header",
            "description": "Where the operator asks for it (428): the challenge of that answer, a colon, and a decimal number so that \
                the SHA-256 of this whole text begins with as many zero bits as asked. Good once, for the same number and from \
                the same address; retries with the same `Idempotency-Key` may show it again.",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9_-]{44}:[0-9]{1,20}$" },
        },
    })
}

pub(super) fn security_schemes() -> Map<String, Value> {
    let schemes = [
        (
            "apiKey",
            json!({
                "type": "http", "scheme": "bearer", "bearerFormat": "sk_…",
                "description": "A back end's key, made by `otpd keys create`. Lifts the limit per address and permits what \
                    strangers may not.",
            }),
        ),
        (
            "apiKeyBasic",
            json!({ "type": "http", "scheme": "basic", "description": "The same key as the user name, without a password." }),
        ),
        (
            "accessToken",
            json!({
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A signed-in person's access token.",
            }),
        ),
    ];
    schemes.into_iter().map(|(name, scheme)| (name.to_owned(), scheme)).collect()
}

/// Calls about the server itself.
pub(super) fn about() -> Api {
    let slugs: Vec<&str> = ProblemCode::ALL.iter().map(|code| code.slug()).collect();
    let slug = json!({ "type": "string", "enum": slugs });
    let sample = ProblemCode::SendLimited;
    let page = json!({
        "type": sample.type_path(), "code": sample.slug(), "status": sample.status().as_u16(),
        "title": sample.title(), "description": sample.page(),
    });
    Api {
        tag: "About",
        about: "What errors mean, and this document.",
        operations: vec![
            Operation::new("get", "/errors/{code}", "readProblem")
                .about("What an error means", "The `type` of every problem leads here.")
                .callers(Callers::Public)
                .path_parameter("code", "The problem's code", sample.slug(), slug)
                .answers(200, "The error, explained.", &[], Content::of("ProblemPage").example("send_limited", page))
                .refuses(&[ProblemCode::NotFound])
                .refuses(EDGE),
            Operation::new("get", DOCUMENT_PATH, "readDocument")
                .about("This document", "OpenAPI 3.1 of every call. `/api/docs/` shows it.")
                .callers(Callers::Public)
                .answers(200, "The document.", &[], Content::of("OpenApi"))
                .refuses(EDGE),
        ],
        schemas: vec![(
            "OpenApi",
            json!({ "type": "object", "required": ["openapi", "info", "paths"], "additionalProperties": true }),
        )],
        ..Api::default()
    }
}
