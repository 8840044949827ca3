//! Small headers with a grammar: `RateLimit-Policy`, `RateLimit`, and `Idempotency-Key`.
//!
//! Builds the first two (IETF draft-ietf-httpapi-ratelimit-headers, structured fields) and parses the third.
//! Knows no limit itself.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// `RateLimit-Policy`: the limits that apply.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// `RateLimit`: what is left of them.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `Idempotency-Key` of a request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `Idempotency-Replayed: true` of an answer rendered from a kept outcome.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Most characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// One limit and its state, as told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name on the wire; ASCII without quotes or backslashes.
    pub name: &'static str,
    /// How many in the window.
    pub quota: u32,
    /// Length of the window in seconds.
    pub window_s: u64,
    /// How many are left.
    pub remaining: u32,
    /// Seconds until more are available.
    pub reset_s: u64,
}

/// Room for one limit.
const MEMBER_BYTES: usize = 32;

/// Writes `RateLimit-Policy: "sends";q=3;w=120` and `RateLimit: "sends";r=2;t=30`, one member per limit;
/// nothing if there is none.
pub fn write(headers: &mut HeaderMap, limits: &[RateLimit]) {
    let room = MEMBER_BYTES * limits.len();
    let (mut policy, mut state) = (String::with_capacity(room), String::with_capacity(room));
    for limit in limits {
        let separator = if policy.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(policy, "{separator}\"{}\";q={};w={}", limit.name, limit.quota, limit.window_s);
        let _ = write!(state, "{separator}\"{}\";r={};t={}", limit.name, limit.remaining, limit.reset_s);
    }
    if let (false, Ok(policy), Ok(state)) =
        (policy.is_empty(), HeaderValue::try_from(policy), HeaderValue::try_from(state))
    {
        headers.insert(RATE_LIMIT_POLICY, policy);
        headers.insert(RATE_LIMIT, state);
    }
}

/// The header is there but is no key: empty, too long, repeated, or with characters other than visible ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed idempotency key")]
pub struct IdempotencyKeyFormat;

/// The `Idempotency-Key`, bare or quoted: 1 to 255 visible ASCII characters, none of them a quote or a
/// backslash, so that both spellings of one key are the same key.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, IdempotencyKeyFormat> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(IdempotencyKeyFormat);
    }
    let text = line.to_str().map_err(|_| IdempotencyKeyFormat)?.trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len());
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if fits && visible { Ok(Some(key)) } else { Err(IdempotencyKeyFormat) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_structured_fields() {
        let mut headers = HeaderMap::new();
        write(&mut headers, &[]);
        assert!(headers.is_empty());
        let sends = RateLimit { name: "sends", quota: 3, window_s: 120, remaining: 2, reset_s: 30 };
        let day = RateLimit { name: "day", quota: 10, window_s: 86_400, remaining: 9, reset_s: 400 };
        write(&mut headers, &[sends, day]);
        assert_eq!(headers[RATE_LIMIT_POLICY], r#""sends";q=3;w=120, "day";q=10;w=86400"#);
        assert_eq!(headers[RATE_LIMIT], r#""sends";r=2;t=30, "day";r=9;t=400"#);
    }

    #[test]
    fn reads_idempotency_keys() {
        let check = |values: &[&[u8]], expected: Result<Option<&str>, IdempotencyKeyFormat>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(idempotency_key(&headers), expected, "{values:?}");
        };
        check(&[], Ok(None));
        check(&[b"abc-1"], Ok(Some("abc-1")));
        check(&[b"\"abc-1\""], Ok(Some("abc-1")));
        check(&[b" abc-1 "], Ok(Some("abc-1")));
        check(&["k".repeat(255).as_bytes()], Ok(Some(&"k".repeat(255))));
        let refused: [&[u8]; 9] =
            [b"", b"\"\"", b"\"", b"a b", b"a\tb", b"\"abc", b"a\\b", "schlüssel".as_bytes(), &[b'k'; 256]];
        for value in refused {
            check(&[value], Err(IdempotencyKeyFormat));
        }
        check(&[b"a", b"b"], Err(IdempotencyKeyFormat));
    }
}
