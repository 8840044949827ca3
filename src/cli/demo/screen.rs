//! How requests and answers look: `>` is sent, `<` comes back, bodies are indented JSON, credentials are shortened.

use std::io::{self, IsTerminal as _};

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::wire::{Answer, Body, Call, Payload};
use crate::cli::{Failed, say};

/// The headers of answers that say something about the flow.
const SHOWN: [&str; 9] = [
    "location",
    "ratelimit-policy",
    "ratelimit",
    "retry-after",
    "idempotency-replayed",
    "cache-control",
    "www-authenticate",
    "content-type",
    "request-id",
];

/// Fields whose value lets its holder in.
const CREDENTIALS: [&str; 5] = ["access_token", "refresh_token", "token", "receipt", "assertion"];

/// Standard output, with bold titles where it is a terminal.
#[derive(Debug)]
pub(super) struct Screen {
    bold: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { bold: io::stdout().is_terminal() }
    }

    pub(super) fn line(&self, text: &str) -> Result<(), Failed> {
        say::result(&format!("{text}\n"))
    }

    pub(super) fn title(&self, text: &str) -> Result<(), Failed> {
        let (on, off) = if self.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.line(&format!("\n{on}{text}{off}"))
    }

    pub(super) fn request(&self, call: &Call<'_>) -> Result<(), Failed> {
        let mut text = format!("> {} {}\n", call.method, call.path);
        if let Some(token) = call.bearer {
            text.push_str(&format!("> Authorization: Bearer {}\n", shortened(token)));
        }
        if let Some(key) = &call.idempotency_key {
            text.push_str(&format!("> Idempotency-Key: {key}\n"));
        }
        match &call.body {
            Body::None => {}
            Body::Json(body) => {
                text.push_str("> Content-Type: application/json\n");
                text.push_str(&pretty(body));
            }
            Body::Form(fields) => {
                text.push_str("> Content-Type: application/x-www-form-urlencoded\n");
                for (name, value) in fields {
                    let value = if CREDENTIALS.contains(name) { shortened(value) } else { (*value).to_owned() };
                    text.push_str(&format!("  {name}={value}\n"));
                }
            }
        }
        say::result(&text)
    }

    pub(super) fn answer(&self, answer: &Answer) -> Result<(), Failed> {
        let mut text = format!("< {} {}\n", answer.status, answer.reason);
        text.push_str(&headers(&answer.headers));
        match &answer.body {
            Payload::Empty => {}
            Payload::Json(body) => text.push_str(&pretty(body)),
            Payload::Other(bytes) => text.push_str(&format!("  ({bytes} bytes that are no JSON)\n")),
        }
        say::result(&text)
    }
}

fn headers(headers: &HeaderMap) -> String {
    let shown = SHOWN.into_iter().filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)));
    shown.map(|(name, value)| format!("< {}: {value}\n", titled(name))).collect()
}

/// `retry-after` as people write it.
fn titled(name: &str) -> String {
    let known = [
        ("ratelimit", "RateLimit"),
        ("ratelimit-policy", "RateLimit-Policy"),
        ("www-authenticate", "WWW-Authenticate"),
    ];
    if let Some((_, spelling)) = known.into_iter().find(|(lower, _)| *lower == name) {
        return spelling.to_owned();
    }
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Indented JSON without whole credentials.
fn pretty(body: &Value) -> String {
    let mut body = body.clone();
    shorten("", &mut body);
    let text = serde_json::to_string_pretty(&body).unwrap_or_default();
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn shorten(name: &str, value: &mut Value) {
    match value {
        Value::String(text) if CREDENTIALS.contains(&name) || text.starts_with("eyJ") => *text = shortened(text),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| shorten(name, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(name, item)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Enough to recognise, too little to use.
fn shortened(credential: &str) -> String {
    credential.chars().take(3).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// security 118: nothing that lets its holder in stands on the screen whole.
    #[test]
    fn credentials_are_shortened_wherever_they_stand() {
        let body = json!({"access_token": "eyJhbGciOi.x.y", "refresh_token": "rt-secret-thing", "expires_in": 900,
            "deep": [{"receipt": "abcdef"}, {"other": "eyJ0eXAi"}], "id": "ver_1"});
        let shown = pretty(&body);
        for secret in ["hbGciOi", "secret", "def", "0eXAi"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("\"eyJ…\"") && shown.contains("ver_1") && shown.contains("900"), "{shown}");
    }

    #[test]
    fn header_names_are_spelled_as_people_do() {
        assert_eq!(titled("retry-after"), "Retry-After");
        assert_eq!(titled("ratelimit"), "RateLimit");
    }
}
