//! A dialect's calls in the words of the OpenAPI document: what all of them may answer is said here, once.

use serde_json::{Value, json};

use super::{
    desk::{NOT_PERMITTED, UNPROVEN},
    drf,
};
use crate::http::{
    docs::{Callers, Content, Operation},
    problem::ProblemCode,
};

/// Headers of an answer that names a wait.
const WAIT: &[&str] = &["Retry-After"];
/// Headers of an answer that asks for proof of work.
pub(super) const CHALLENGE: &[&str] = &["Proof-Of-Work-Challenge"];

/// How a dialect of the Django REST framework refuses: the schema of its refusals, and the form of what it has no words
/// of its own for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The schema's name.
    pub(super) schema: &'static str,
    /// As in its `Spec`.
    pub(super) says: fn(&str) -> Value,
    /// Too many requests, or too many at once with one token.
    pub(super) limited: fn() -> Value,
}

impl Form {
    fn one(self, name: &str, value: Value) -> Content {
        Content::of(self.schema).example(name, value)
    }

    /// One call: its method in lower case, its path by default, its id.
    pub(super) fn call(
        self,
        method: &'static str,
        path: &'static str,
        id: &str,
        (summary, description): (&str, &str),
    ) -> Operation {
        let content = |name: &str, text: &str| self.one(name, (self.says)(text));
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

    /// It reads a body, in any form the framework takes; one without required fields may be absent.
    pub(super) fn reads(self, call: Operation, schema: &str, body: Value) -> Operation {
        let content = |name: &str, text: &str| self.one(name, (self.says)(text));
        let slow = content("slow", "The request body did not arrive in time.");
        let large = content("large", "The request body is too large.");
        let media_type = json!({ "detail": "Unsupported media type \"text/plain\" in request." });
        call.takes_as(false, drf::FORMS, Content::of(schema).example("request", body))
            .answers(408, "The body was too slow.", &[], slow)
            .answers(413, "The body is too large.", &[], large)
            .answers(415, "Another form of body.", &[], self.one("media type", media_type))
    }

    /// It counts against the address, and sends or checks within limits.
    pub(super) fn limited(self, call: Operation) -> Operation {
        let body = self.one("limited", (self.limited)());
        call.answers(429, "Too many requests, sends or wrong answers.", WAIT, body)
    }

    /// It has a message sent, and so may ask for proof of work first, or send none to this number.
    pub(super) fn sends(self, call: Operation) -> Operation {
        let body = self.one("proof of work", (self.says)(UNPROVEN));
        let call = call.takes_proof().answers(428, "Proof of work is required.", CHALLENGE, body);
        let body = self.one("not permitted", (self.says)(NOT_PERMITTED));
        call.answers(403, "Messages are not sent to this country or kind of number.", &[], body)
    }

    /// It needs an access token.
    pub(super) fn for_user(self, call: Operation) -> Operation {
        let nobody = json!({ "detail": "Authentication credentials were not provided." });
        call.callers(Callers::User).answers(
            401,
            "No token, or one that is not good.",
            &["WWW-Authenticate"],
            self.one("refused", nobody),
        )
    }
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

/// An answer of JSON with one example.
pub(super) trait Says {
    fn says(self, status: u16, about: &str, schema: &str, name: &str, example: Value) -> Self;
}

impl Says for Operation {
    fn says(self, status: u16, about: &str, schema: &str, name: &str, example: Value) -> Self {
        self.answers(status, about, &[], Content::of(schema).example(name, example))
    }
}
