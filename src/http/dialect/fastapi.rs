//! FastAPI 0.115 with Pydantic 2.10: how it reads bodies and fields, and what it answers by itself.
//!
//! `types` reads the values that are more than a text. Where the framework would answer 500 (a text that is no UTF-8 in a
//! field, a year 0), this answers as it does to other bad input.

pub(super) mod types;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::types::Fault;
use super::{
    desk::{Call, answer},
    python_json,
};
use crate::{http::json, record::UnixMillis};

/// `{"detail": …}`: what the framework itself says, and what an original says by raising `HTTPException`.
pub(super) fn detail(status: StatusCode, text: &str) -> Response {
    answer(status, json!({ "detail": text }))
}

/// 401: the token is not good.
pub(super) fn unauthorized(text: &str) -> Response {
    let mut response = detail(StatusCode::UNAUTHORIZED, text);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// 405 with the methods that the path has.
pub(super) fn wrong_method(methods: &[&str]) -> Response {
    let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    let allow = HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static("POST"));
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// What `HTTPBearer` says, before the body is looked at.
pub(super) fn bearer(call: &Call) -> Result<&str, Response> {
    let line = call.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, token) = line.split_once(' ').unwrap_or((line, ""));
    let forbidden = |text: &str| Err(detail(StatusCode::FORBIDDEN, text));
    if scheme.is_empty() || token.is_empty() {
        return forbidden("Not authenticated");
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return forbidden("Invalid authentication credentials");
    }
    Ok(token)
}

/// The fields of a model, and what is wrong with them, all together.
#[derive(Debug)]
pub(super) struct Model {
    given: Map<String, Value>,
    errors: Vec<Value>,
}

/// Bounds of a text field, in characters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Text {
    /// Fewest.
    pub(super) min: Option<usize>,
    /// Most.
    pub(super) max: Option<usize>,
}

/// 422 with this list.
fn unprocessable(errors: &[Value]) -> Response {
    answer(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": errors }))
}

/// Whether the body is JSON: said to be, or not said to be anything (as Python's and many other clients send it).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(line) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = line.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").unwrap_or_default();
    subtype == "json" || subtype.ends_with("+json")
}

/// What is wrong with the body as a whole.
fn no_model(kind: &str, message: &str, input: Value) -> Response {
    unprocessable(&[json!({ "type": kind, "loc": ["body"], "msg": message, "input": input })])
}

impl Model {
    /// Of the body, which must be a JSON object.
    pub(super) fn of(call: &Call) -> Result<Self, Response> {
        let missing = || no_model("missing", "Field required", Value::Null);
        let no_object = |input: Value| {
            let message = "Input should be a valid dictionary or object to extract fields from";
            no_model("model_attributes_type", message, input)
        };
        if call.body.is_empty() {
            return Err(missing());
        }
        let unreadable = |_| detail(StatusCode::BAD_REQUEST, "There was an error parsing the body");
        let text = std::str::from_utf8(&call.body).map_err(unreadable)?;
        if !is_json(&call.parts.headers) {
            return Err(no_object(text.into()));
        }
        match json::value(&call.body) {
            Ok(Value::Object(given)) => Ok(Self { given, errors: Vec::new() }),
            Ok(Value::Null) => Err(missing()),
            Ok(other) => Err(no_object(other)),
            Err(_) => {
                let fault = python_json::fault(&call.body);
                Err(unprocessable(&[json!({
                    "type": "json_invalid",
                    "loc": ["body", fault.at],
                    "msg": "JSON decode error",
                    "input": {},
                    "ctx": { "error": fault.message },
                })]))
            }
        }
    }

    /// A required text; `None` if something is wrong with it.
    pub(super) fn text(&mut self, name: &str, bounds: Text) -> Option<String> {
        if self.is_there(name) { self.bounded(name, bounds) } else { None }
    }

    /// A text that may be absent or null.
    pub(super) fn optional(&mut self, name: &str, bounds: Text) -> Option<String> {
        if self.is_null(name) { None } else { self.bounded(name, bounds) }
    }

    /// A required value of a type of [`types`].
    pub(super) fn typed(&mut self, name: &str, read: fn(&Value) -> Result<String, Fault>) -> Option<String> {
        if self.is_there(name) { self.read(name, read) } else { None }
    }

    /// One that may be absent or null.
    pub(super) fn optional_typed(&mut self, name: &str, read: fn(&Value) -> Result<String, Fault>) -> Option<String> {
        if self.is_null(name) { None } else { self.read(name, read) }
    }

    /// An empty text.
    pub(super) fn is_blank(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| value == "")
    }

    fn is_null(&self, name: &str) -> bool {
        self.given.get(name).is_none_or(Value::is_null)
    }

    fn is_there(&mut self, name: &str) -> bool {
        let is_there = self.given.contains_key(name);
        if !is_there {
            let input = Value::Object(self.given.clone());
            self.errors
                .push(json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": input }));
        }
        is_there
    }

    fn read(&mut self, name: &str, read: fn(&Value) -> Result<String, Fault>) -> Option<String> {
        match read(self.given.get(name).unwrap_or(&Value::Null)) {
            Ok(text) => Some(text),
            Err(fault) => {
                self.error(name, fault.kind, &fault.message, fault.ctx);
                None
            }
        }
    }

    fn bounded(&mut self, name: &str, bounds: Text) -> Option<String> {
        let input = self.given.get(name).cloned().unwrap_or_default();
        let Value::String(text) = &input else {
            self.error(name, "string_type", "Input should be a valid string", None);
            return None;
        };
        let count = text.chars().count();
        let plural = |n: usize| if n == 1 { "character" } else { "characters" };
        if let Some(min) = bounds.min.filter(|min| count < *min) {
            let message = format!("String should have at least {min} {}", plural(min));
            self.error(name, "string_too_short", &message, Some(json!({ "min_length": min })));
            return None;
        }
        if let Some(max) = bounds.max.filter(|max| count > *max) {
            let message = format!("String should have at most {max} {}", plural(max));
            self.error(name, "string_too_long", &message, Some(json!({ "max_length": max })));
            return None;
        }
        Some(text.clone())
    }

    /// What the dialect's own validator says of a field.
    pub(super) fn reject(&mut self, name: &str, message: &str) {
        let ctx = Some(json!({ "error": {} }));
        self.error(name, "value_error", &format!("Value error, {message}"), ctx);
    }

    fn error(&mut self, name: &str, kind: &str, message: &str, ctx: Option<Value>) {
        let input = self.given.get(name).cloned().unwrap_or_default();
        let mut error = json!({ "type": kind, "loc": ["body", name], "msg": message, "input": input });
        if let (Some(ctx), Value::Object(fields)) = (ctx, &mut error) {
            fields.insert("ctx".to_owned(), ctx);
        }
        self.errors.push(error);
    }

    /// Everything that is wrong, in the order of the fields.
    pub(super) fn finish(self) -> Result<(), Response> {
        if self.errors.is_empty() { Ok(()) } else { Err(unprocessable(&self.errors)) }
    }
}

/// A time as Python's `isoformat` writes one of a database in UTC: microseconds, `+00:00`. They are written when they are
/// zero too, which is one time in a thousand here and was never seen there.
pub(super) fn isoformat(at: UnixMillis) -> String {
    let time = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_always_have_microseconds() {
        assert_eq!(isoformat(UnixMillis(1_759_486_523_435)), "2025-10-03T10:15:23.435000+00:00");
        assert_eq!(isoformat(UnixMillis(1_759_486_523_000)), "2025-10-03T10:15:23.000000+00:00");
    }
}
