//! FastAPI 0.115 with Pydantic 2.10: how it reads bodies and fields, and what it answers by itself.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    desk::{Call, answer},
    python_json,
};
use crate::{
    http::{body, json},
    record::UnixMillis,
};

/// 405 with the methods that the path has.
pub(super) fn wrong_method(methods: &[&str]) -> Response {
    let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, json!({ "detail": "Method Not Allowed" }));
    let allow = HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static("POST"));
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// What `HTTPBearer` says, before the body is looked at.
pub(super) fn bearer(call: &Call) -> Result<&str, Response> {
    let line = call.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, token) = line.split_once(' ').unwrap_or((line, ""));
    let forbidden = |text: &str| Err(answer(StatusCode::FORBIDDEN, json!({ "detail": text })));
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

impl Model {
    /// Of the body, which must be a JSON object said to be JSON.
    pub(super) fn of(call: &Call) -> Result<Self, Response> {
        if call.body.is_empty() {
            let missing = json!({ "type": "missing", "loc": ["body"], "msg": "Field required", "input": null });
            return Err(unprocessable(&[missing]));
        }
        let no_object = |input: Value| {
            unprocessable(&[json!({
                "type": "model_attributes_type",
                "loc": ["body"],
                "msg": "Input should be a valid dictionary or object to extract fields from",
                "input": input,
            })])
        };
        if !body::is_json(&call.parts.headers) {
            return Err(no_object(String::from_utf8_lossy(&call.body).into()));
        }
        match json::value(&call.body) {
            Ok(Value::Object(given)) => Ok(Self { given, errors: Vec::new() }),
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
        if !self.given.contains_key(name) {
            let input = Value::Object(self.given.clone());
            self.errors
                .push(json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": input }));
            return None;
        }
        self.bounded(name, bounds)
    }

    /// A text that may be absent or null.
    pub(super) fn optional(&mut self, name: &str, bounds: Text) -> Option<String> {
        if self.given.get(name).is_none_or(Value::is_null) { None } else { self.bounded(name, bounds) }
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

/// A time as Python's `isoformat` writes one in UTC: microseconds unless they are zero, `+00:00`.
pub(super) fn isoformat(at: UnixMillis) -> String {
    let time = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    let form = if at.0.is_multiple_of(1_000) { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%Y-%m-%dT%H:%M:%S.%6f+00:00" };
    time.strftime(form).to_string()
}
