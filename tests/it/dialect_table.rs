//! Rows of a dialect's contract: a call, its status and its exact body, key order included.
//!
//! In an expected body `<…>` stands for anything that differs each time: a token, a time, an id.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, TestApp};

/// Every dialect without its limit per address: all clients here are one.
pub(crate) const NO_IP_LIMITS: &str = "\
    dialects.auth_otp.ip_per_minute = 0\n\
    dialects.usr_otp.ip_per_minute = 0\n\
    dialects.signup_login.ip_per_minute = 0\n\
    dialects.phone_password.ip_per_minute = 0\n\
    dialects.typed_verification.ip_per_minute = 0";

/// One row: what it shows, the call, the body sent as JSON, the status, the exact answer.
pub(crate) type Row<'a> = (&'a str, &'a str, Value, u16, &'a str);

/// A call as `POST /path`.
pub(crate) fn request(app: &TestApp, call: &str) -> reqwest::RequestBuilder {
    let (method, path) = call.split_once(' ').unwrap();
    app.client.request(Method::from_bytes(method.as_bytes()).unwrap(), app.url(path))
}

/// Sends the rows one after another.
pub(crate) async fn rows(app: &TestApp, rows: Vec<Row<'_>>) {
    for (what, call, body, status, expected) in rows {
        let answer = Answer::read(request(app, call).json(&body)).await;
        answers(what, &answer, status, expected);
    }
}

/// Asserts status and exact body.
#[track_caller]
pub(crate) fn answers(what: &str, answer: &Answer, status: u16, expected: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.raw);
    assert!(is_like(expected, &answer.raw), "{what}:\n expected {expected}\n answered {}", answer.raw);
}

/// Is `raw` the expected text, with anything (but quotes and braces) in place of each `<…>`?
fn is_like(expected: &str, raw: &str) -> bool {
    let Some((before, rest)) = expected.split_once('<') else { return expected == raw };
    let Some(raw) = raw.strip_prefix(before) else { return false };
    let (_, after) = rest.split_once('>').unwrap();
    let end = raw.find(['"', '}', '{', ',']).unwrap_or(raw.len());
    (1..=end).any(|end| raw.is_char_boundary(end) && is_like(after, &raw[end..]))
}

#[test]
fn placeholders_stand_for_something_and_the_rest_is_exact() {
    assert!(is_like(r#"{"a":"<x>","b":1}"#, r#"{"a":"anything","b":1}"#));
    assert!(!is_like(r#"{"a":"<x>","b":1}"#, r#"{"a":"","b":1}"#));
    assert!(!is_like(r#"{"a":"<x>","b":1}"#, r#"{"a":"anything","b":2}"#));
    assert!(!is_like(r#"{"a":"<x>"}"#, r#"{"a":"anything","b":1}"#));
    assert!(!is_like(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#));
}
