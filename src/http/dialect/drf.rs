//! Django REST framework 3.16 with SimpleJWT 5.5: how it reads bodies and fields, and what it answers by itself.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    desk::{Call, answer},
    no::No,
    python_json,
};
use crate::{http::json, record::UnixMillis, service::User, token::TokenError};

/// Most bytes of a client's own media type that an answer repeats.
const MEDIA_TYPE_BYTES_MAX: usize = 100;

/// Bodies that its default parsers take.
pub(super) const FORMS: &[&str] = &["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];

/// `{"detail": …}`: what the framework itself says.
pub(super) fn detail(status: StatusCode, text: &str) -> Response {
    answer(status, json!({ "detail": text }))
}

/// 405 with the methods that the path has; `OPTIONS` tells them and nothing more.
pub(super) fn wrong_method(methods: &[&str], asked: &Method) -> Response {
    let allow = HeaderValue::try_from(format!("{}, OPTIONS", methods.join(", ")));
    let mut response = if asked == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{asked}\" not allowed."))
    };
    response.headers_mut().insert(header::ALLOW, allow.unwrap_or(HeaderValue::from_static("OPTIONS")));
    response
}

/// What an address is told that asks too often.
pub(super) fn throttled(seconds: u64) -> Value {
    let unit = if seconds == 1 { "second" } else { "seconds" };
    json!({ "detail": format!("Request was throttled. Expected available in {seconds} {unit}.") })
}

/// The body, whatever its form: JSON, a form, multipart. No body at all is an empty object.
pub(super) async fn data(call: &Call) -> Result<Value, Response> {
    if call.body.is_empty() {
        return Ok(json!({}));
    }
    let media_type = call.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => json_data(&call.body),
        "application/x-www-form-urlencoded" => {
            let fields =
                form_urlencoded::parse(&call.body).map(|(name, value)| (name.into_owned(), value.into_owned()));
            form(fields)
        }
        "multipart/form-data" => form(multipart(media_type, call.body.clone()).await?.into_iter()),
        _ => {
            let named = media_type.get(..MEDIA_TYPE_BYTES_MAX).unwrap_or(media_type);
            let text = format!("Unsupported media type \"{named}\" in request.");
            Err(detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text))
        }
    }
}

fn json_data(bytes: &[u8]) -> Result<Value, Response> {
    json::value(bytes).map_err(|_| {
        let text = format!("JSON parse error - {}", python_json::fault(bytes).text());
        detail(StatusCode::BAD_REQUEST, &text)
    })
}

fn form(fields: impl Iterator<Item = (String, String)>) -> Result<Value, Response> {
    let mut map = Map::new();
    for (name, value) in fields {
        if map.insert(name, value.into()).is_some() {
            return Err(detail(StatusCode::BAD_REQUEST, "Form parse error - a field appears more than once"));
        }
    }
    Ok(map.into())
}

async fn multipart(media_type: &str, body: Bytes) -> Result<Vec<(String, String)>, Response> {
    let broken = || detail(StatusCode::BAD_REQUEST, "Multipart form parse error - Invalid boundary or part");
    let boundary = multer::parse_boundary(media_type).map_err(|_| broken())?;
    let whole = stream::once(async move { Ok::<_, std::convert::Infallible>(body) });
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| broken())? {
        let name = part.name().ok_or_else(broken)?.to_owned();
        fields.push((name, part.text().await.map_err(|_| broken())?));
    }
    Ok(fields)
}

/// The fields of a serializer, and what is wrong with them, all together.
#[derive(Debug, Default)]
pub(super) struct Fields {
    given: Map<String, Value>,
    errors: Map<String, Value>,
}

/// Bounds of a text field, in characters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Text {
    /// Fewest.
    pub(super) min: usize,
    /// Most.
    pub(super) max: Option<usize>,
    /// A number is no text here: as a number, a code has lost its leading zeros.
    pub(super) strict: bool,
}

impl Fields {
    /// Of a dictionary; anything else is one error of its own.
    pub(super) fn of(data: Value) -> Result<Self, Value> {
        let kind = match data {
            Value::Object(given) => return Ok(Self { given, errors: Map::new() }),
            Value::Null => "NoneType",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
            Value::String(_) => "str",
            Value::Array(_) => "list",
        };
        Err(json!({ "non_field_errors": [format!("Invalid data. Expected a dictionary, but got {kind}.")] }))
    }

    /// A required text, trimmed; `None` if something is wrong with it.
    pub(super) fn text(&mut self, name: &str, bounds: Text) -> Option<String> {
        match text(self.given.get(name), bounds) {
            Ok(text) => Some(text),
            Err(messages) => {
                self.errors.insert(name.to_owned(), messages.into());
                None
            }
        }
    }

    /// A value as it was sent, for views that look at bodies without a serializer.
    pub(super) fn given(&self, name: &str) -> Option<&Value> {
        self.given.get(name)
    }

    /// A text that is not empty, as it was sent; whatever else is there counts as nothing.
    pub(super) fn given_text(&self, name: &str) -> Option<&str> {
        self.given(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// What the dialect's own rule says of a field.
    pub(super) fn reject(&mut self, name: &str, message: &str) {
        self.errors.insert(name.to_owned(), json!([message]));
    }

    /// Everything that is wrong, by field.
    pub(super) fn finish(self) -> Result<(), Value> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors.into()) }
    }
}

/// A value as `CharField` takes it: numbers become texts, ends are trimmed.
fn text(value: Option<&Value>, bounds: Text) -> Result<String, Vec<Value>> {
    let only = |message: &str| vec![Value::from(message)];
    let text = match value {
        None => return Err(only("This field is required.")),
        Some(Value::Null) => return Err(only("This field may not be null.")),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) if !bounds.strict => number.to_string(),
        Some(Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(only("Not a valid string."));
        }
    };
    if text.is_empty() {
        return Err(only("This field may not be blank."));
    }
    let mut messages = Vec::new();
    let count = text.chars().count();
    if let Some(max) = bounds.max.filter(|max| count > *max) {
        messages.push(Value::from(format!("Ensure this field has no more than {max} characters.")));
    }
    if count < bounds.min {
        messages.push(Value::from(format!("Ensure this field has at least {} characters.", bounds.min)));
    }
    if text.contains('\0') {
        messages.push(Value::from("Null characters are not allowed."));
    }
    if messages.is_empty() { Ok(text) } else { Err(messages) }
}

/// The signed-in person, as SimpleJWT knows her.
pub(super) async fn user(call: &Call) -> Result<User, Response> {
    let token = bearer(&call.parts.headers)?;
    let known = call.desk.service.authenticate(&call.desk.dialect, token).await;
    known.map_err(|failure| match No::from(failure) {
        No::Token(TokenError::Expired) => bad_token("Token is expired"),
        No::Token(TokenError::WrongType) => bad_token("Token has wrong type"),
        No::Token(_) => bad_token("Token is invalid"),
        No::UserGone | No::NoAccount => unauthorized(json!({ "detail": "User not found", "code": "user_not_found" })),
        No::Inactive => unauthorized(json!({ "detail": "User is inactive", "code": "user_inactive" })),
        no => call.desk.refuses(&no),
    })
}

/// The token of `Authorization: Bearer …`; other schemes count as none.
fn bearer(headers: &HeaderMap) -> Result<&str, Response> {
    let line = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["Bearer", token] => Ok(token),
        ["Bearer", ..] => Err(unauthorized(json!({
            "detail": "Authorization header must contain two space-delimited values",
            "code": "bad_authorization_header",
        }))),
        _ => Err(unauthorized(json!({ "detail": "Authentication credentials were not provided." }))),
    }
}

pub(super) fn bad_token(message: &str) -> Response {
    unauthorized(json!({
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{ "token_class": "AccessToken", "token_type": "access", "message": message }],
    }))
}

fn unauthorized(body: Value) -> Response {
    let mut response = answer(StatusCode::UNAUTHORIZED, body);
    let challenge = HeaderValue::from_static("Bearer realm=\"api\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// A time as its serializers write it: ISO 8601, microseconds unless they are zero, `Z`.
pub(super) fn datetime(at: UnixMillis) -> String {
    let time = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    let form = if at.0.is_multiple_of(1_000) { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    time.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// observed.md section 0: the messages of `CharField`, in the order of its checks.
    #[test]
    fn texts_as_the_framework_takes_them() {
        let bounds = Text { min: 3, max: Some(5), strict: false };
        let check = |given: Value, expected: Result<&str, &[&str]>| {
            let found = text(Some(&given).filter(|given| **given != json!("absent")), bounds);
            let expected = expected.map(str::to_owned);
            assert_eq!(found, expected.map_err(|all| all.iter().map(|one| Value::from(*one)).collect()), "{given}");
        };
        check(json!("abc"), Ok("abc"));
        check(json!("  abc\n"), Ok("abc"));
        check(json!(1234), Ok("1234"));
        check(json!("absent"), Err(&["This field is required."]));
        check(json!(null), Err(&["This field may not be null."]));
        check(json!(""), Err(&["This field may not be blank."]));
        check(json!("   "), Err(&["This field may not be blank."]));
        check(json!(true), Err(&["Not a valid string."]));
        check(json!([1]), Err(&["Not a valid string."]));
        check(json!({}), Err(&["Not a valid string."]));
        check(json!("ab"), Err(&["Ensure this field has at least 3 characters."]));
        check(json!("abcdef"), Err(&["Ensure this field has no more than 5 characters."]));
        check(json!("ab\0d"), Err(&["Null characters are not allowed."]));
        let number = text(Some(&json!(1234)), Text { strict: true, ..bounds });
        assert_eq!(number, Err(vec!["Not a valid string.".into()]), "a code that is sent as a number");
    }

    #[test]
    fn times_have_microseconds_unless_they_are_zero() {
        assert_eq!(datetime(UnixMillis(1_751_978_096_000)), "2025-07-08T12:34:56Z");
        assert_eq!(datetime(UnixMillis(1_751_978_096_007)), "2025-07-08T12:34:56.007000Z");
    }

    #[test]
    fn one_second_is_singular() {
        assert_eq!(throttled(1)["detail"], "Request was throttled. Expected available in 1 second.");
        assert_eq!(throttled(60)["detail"], "Request was throttled. Expected available in 60 seconds.");
    }
}
