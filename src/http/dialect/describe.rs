//! A dialect's calls in the words of the OpenAPI document: what all of them may answer is said here, once.

use serde_json::{Value, json};

use super::desk::TOO_MANY;
use crate::http::{
    docs::{Callers, Content, Operation},
    problem::ProblemCode,
};

/// Headers of an answer that names a wait.
const WAIT: &[&str] = &["Retry-After"];

/// One call: its method in lower case, its path by default, its id, and the name of the schema of its refusals.
pub(super) fn call(
    method: &'static str,
    path: &'static str,
    id: &str,
    (summary, description): (&str, &str),
    refusal: &str,
) -> Operation {
    let busy = json!({ "detail": "Service temporarily unavailable. Please try again later." });
    let broken = json!({ "detail": "Internal server error" });
    let unknown = json!({ "detail": "The outcome is not known. Please check and try again." });
    Operation::new(method, path, id)
        .about(summary, description)
        .callers(Callers::Public)
        .refuses(&[ProblemCode::InternalError, ProblemCode::OutcomeUnknown])
        .answers(500, "A fault of ours, or the message was not sent.", &[], one(refusal, "fault", broken))
        .answers(503, "Nothing was done; ask again.", WAIT, one(refusal, "busy", busy))
        .answers(504, "It may have been done.", &[], one(refusal, "unknown", unknown))
}

fn one(schema: &str, name: &str, value: Value) -> Content {
    Content::of(schema).example(name, value)
}

/// What a refusal's schema is: an object, whatever its fields. The examples show them.
pub(super) fn refusal(about: &str) -> Value {
    json!({ "type": "object", "minProperties": 1, "description": about })
}

/// A body with named fields, all of them there.
pub(super) fn object(properties: Value) -> Value {
    let names: Vec<&String> = properties.as_object().into_iter().flat_map(|fields| fields.keys()).collect();
    json!({ "type": "object", "required": names, "properties": properties })
}

/// A body that is sent: these fields are required, those may be left out; unknown ones are not looked at.
pub(super) fn request(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": true })
}

/// More of what a call may answer.
pub(super) trait Answers {
    /// Reads a body of these types.
    fn reads(self, media_types: &[&str], schema: &str, name: &str, example: Value, refusal: &str) -> Self;
    /// Counts against the address, and sends or checks within limits.
    fn limited(self, refusal: &str) -> Self;
    /// Answers JSON with one example.
    fn says(self, status: u16, about: &str, schema: &str, name: &str, example: Value) -> Self;
    /// Needs an access token; the refusals have these two bodies.
    fn for_user(self, statuses: &[(u16, Value)], refusal: &str) -> Self;
}

impl Answers for Operation {
    fn reads(self, media_types: &[&str], schema: &str, name: &str, example: Value, refusal: &str) -> Self {
        let text = |text: &str| json!({ "detail": text });
        self.takes_as(false, media_types, one(schema, name, example))
            .answers(
                408,
                "The body was too slow.",
                &[],
                one(refusal, "slow", text("The request body did not arrive in time.")),
            )
            .answers(413, "The body is too large.", &[], one(refusal, "large", text("The request body is too large.")))
    }

    fn limited(self, refusal: &str) -> Self {
        let body = json!({ "detail": TOO_MANY });
        self.answers(429, "Too many requests, sends or wrong answers.", WAIT, one(refusal, "limited", body))
    }

    fn says(self, status: u16, about: &str, schema: &str, name: &str, example: Value) -> Self {
        self.answers(status, about, &[], one(schema, name, example))
    }

    fn for_user(mut self, statuses: &[(u16, Value)], refusal: &str) -> Self {
        for (status, body) in statuses {
            let about = if *status == 401 { "No token, or one that is not good." } else { "Not permitted." };
            let headers: &[&str] = if *status == 401 { &["WWW-Authenticate"] } else { &[] };
            self = self.answers(*status, about, headers, one(refusal, "refused", body.clone()));
        }
        self.callers(Callers::User)
    }
}
