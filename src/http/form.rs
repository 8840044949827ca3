//! Parameters of `/oauth/*`: a form or a JSON object, unknown ones ignored, none twice (RFC 6749 section 3.2).
//!
//! Holds tokens and assertions, so its `Debug` shows counts only.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use serde_json::Value;

use super::{
    body::{self, BodyFault, BodyLimits},
    json,
};

/// Text parameters by name. An empty one counts as absent, as RFC 6749 wants.
#[derive(Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params").field("count", &self.0.len()).finish()
    }
}

/// Reads the parameters of a request.
pub async fn read(request: Request, limits: &BodyLimits) -> Result<Params, BodyFault> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, limits).await?;
    parse(&parts.headers, &bytes)
}

/// The parameters in a body that was collected, by its Content-Type.
pub fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Params, BodyFault> {
    match (is_form(headers), body::is_json(headers)) {
        (true, _) => from_form(bytes),
        (false, true) => from_json(bytes),
        (false, false) => Err(BodyFault::MediaType),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn from_form(bytes: &[u8]) -> Result<Params, BodyFault> {
    let mut params = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        if params.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(BodyFault::RepeatedParameter);
        }
    }
    Ok(Params(params))
}

/// Values that are no strings are left out: a known parameter is then missing, an unknown one ignored.
fn from_json(bytes: &[u8]) -> Result<Params, BodyFault> {
    let texts = json::object(bytes)?.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    });
    Ok(Params(texts.collect()))
}

/// The user name and password of HTTP Basic, decoded as RFC 6749 section 2.3.1 wants (form-encoded inside
/// base64). `None` if the header is absent or no Basic credential.
pub fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    use base64::Engine as _;
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((unescape(user), unescape(password)))
}

fn unescape(text: &str) -> String {
    // A lone `name=` pair is how the decoder is asked for one value; `&` cannot occur unescaped.
    let pair = format!("v={}", text.replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value): (_, Cow<'_, str>)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::HeaderValue};

    use super::*;

    async fn params(content_type: &str, body: &str) -> Result<Params, BodyFault> {
        let request = Request::builder().header(header::CONTENT_TYPE, content_type).body(Body::from(body.to_owned()));
        read(request.unwrap(), &BodyLimits::default()).await
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[tokio::test]
    async fn form_and_json_read_alike() {
        for (kind, body) in [
            (FORM, "grant_type=urn%3Aietf%3Ax&assertion=a.b.c&scope=&extra=1"),
            ("application/json", r#"{"grant_type":"urn:ietf:x","assertion":"a.b.c","scope":"","extra":[1]}"#),
            ("application/json; charset=utf-8", r#"{"grant_type":"urn:ietf:x","assertion":"a.b.c","scope":5}"#),
        ] {
            let params = params(kind, body).await.unwrap();
            assert_eq!(params.get("grant_type"), Some("urn:ietf:x"));
            assert_eq!(params.get("assertion"), Some("a.b.c"));
            assert_eq!(params.get("scope"), None);
            assert!(!format!("{params:?}").contains("a.b.c"));
        }
    }

    #[tokio::test]
    async fn refuses_repeats_and_other_types() {
        assert_eq!(params(FORM, "token=a&token=b").await.unwrap_err(), BodyFault::RepeatedParameter);
        assert_eq!(params(FORM, "x=1&x=1").await.unwrap_err(), BodyFault::RepeatedParameter);
        assert!(matches!(params("application/json", r#"{"a":"1","a":"2"}"#).await, Err(BodyFault::Json(_))));
        assert_eq!(params("text/plain", "token=a").await.unwrap_err(), BodyFault::MediaType);
        assert_eq!(params("multipart/form-data", "token=a").await.unwrap_err(), BodyFault::MediaType);
        assert_eq!(params(FORM, &"x".repeat(16 * 1024 + 1)).await.unwrap_err(), BodyFault::TooLarge);
    }

    #[test]
    fn reads_basic_credentials() {
        let check = |value: &'static str, expected: Option<(&str, &str)>| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            let found = basic_credentials(&headers);
            assert_eq!(found.as_ref().map(|(user, password)| (user.as_str(), password.as_str())), expected, "{value}");
        };
        check("Basic c2tfYWJjOg==", Some(("sk_abc", "")));
        check("basic YSUyNjpiJmM=", Some(("a&", "b&c")));
        check("Bearer c2tfYWJjOg==", None);
        check("Basic !!!", None);
        check("Basic", None);
    }
}
