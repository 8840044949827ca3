//! A dialect's calls in the words of the OpenAPI document: what all of them may answer is said here, once.

use serde_json::{Value, json};

use super::desk::TOO_MANY;
use crate::http::{
    docs::{Callers, Content, Operation},
    problem::ProblemCode,
};

/// Headers of an answer that names a wait.
const WAIT: &[&str] = &["Retry-After"];

/// How a dialect refuses: the schema of its refusals, and the form of what it has no words of its own for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    /// The schema's name.
    pub(super) schema: &'a str,
    /// As in its `Spec`.
    pub(super) says: fn(&str) -> Value,
    /// As in its `Spec`.
    pub(super) limited: fn(u64) -> Value,
}

impl Form<'_> {
    /// One call: its method in lower case, its path by default, its id.
    pub(super) fn call(
        self,
        method: &'static str,
        path: &'static str,
        id: &str,
        (summary, description): (&str, &str),
    ) -> Operation {
        let content = |name: &str, text: &str| one(self.schema, name, (self.says)(text));
        let busy = content("busy", "Service temporarily unavailable. Please try again later.");
        let broken = content("fault", "Internal server error");
        let unknown = content("unknown", "The outcome is not known. Please check and try again.");
        Operation::new(method, path, id)
            .about(summary, description)
            .callers(Callers::Public)
            .refuses(&[ProblemCode::InternalError, ProblemCode::OutcomeUnknown])
            .answers(500, "A fault of ours, or the message was not sent.", &[], broken)
            .answers(503, "Nothing was done; ask again.", WAIT, busy)
            .answers(504, "It may have been done.", &[], unknown)
    }

    /// It reads a body of these types; one without required fields may be absent.
    pub(super) fn reads(self, call: Operation, media_types: &[&str], body: Content) -> Operation {
        let content = |name: &str, text: &str| one(self.schema, name, (self.says)(text));
        let slow = content("slow", "The request body did not arrive in time.");
        let large = content("large", "The request body is too large.");
        call.takes_as(false, media_types, body).answers(408, "The body was too slow.", &[], slow).answers(
            413,
            "The body is too large.",
            &[],
            large,
        )
    }

    /// It counts against the address, and sends or checks within limits.
    pub(super) fn limited(self, call: Operation) -> Operation {
        let body = one(self.schema, "limited", (self.limited)(1));
        call.answers(429, "Too many requests, sends or wrong answers.", WAIT, body)
    }
}

/// The form of a dialect that says everything as the framework does.
fn framework(schema: &str) -> Form<'_> {
    Form { schema, says: |text| json!({ "detail": text }), limited: |_| json!({ "detail": TOO_MANY }) }
}

/// One call: its method in lower case, its path by default, its id, and the name of the schema of its refusals.
pub(super) fn call(
    method: &'static str,
    path: &'static str,
    id: &str,
    about: (&str, &str),
    refusal: &str,
) -> Operation {
    framework(refusal).call(method, path, id, about)
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
        framework(refusal).reads(self, media_types, one(schema, name, example))
    }

    fn limited(self, refusal: &str) -> Self {
        framework(refusal).limited(self)
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
