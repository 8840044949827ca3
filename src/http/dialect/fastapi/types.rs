//! Pydantic's types that are more than a text: an e-mail address, a date, a web address; with its words for what is not one.
//!
//! Nothing is *taken* that `/v1/me` does not take for the same field, so that a profile is good at every door. The words are those
//! of Pydantic 2.10 and email-validator 2; the tests were run against them.

use std::{borrow::Cow, collections::BTreeSet};

use jiff::civil::Date;
use serde_json::{Value, json};

use crate::service::profile::{self, EMAIL_CHARS_MAX, WEB_ADDRESS_CHARS_MAX};

/// What is wrong with a value, as an entry of `detail` has it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::http::dialect) struct Fault {
    pub(in crate::http::dialect) kind: &'static str,
    pub(in crate::http::dialect) message: Cow<'static, str>,
    pub(in crate::http::dialect) ctx: Option<Value>,
}

impl Fault {
    fn new(kind: &'static str, message: impl Into<Cow<'static, str>>, ctx: Option<Value>) -> Self {
        Self { kind, message: message.into(), ctx }
    }
}

/// `EmailStr`: an address alone, without a name beside it.
pub(in crate::http::dialect) fn email(value: &Value) -> Result<String, Fault> {
    let Value::String(text) = value else {
        return Err(Fault::new("string_type", "Input should be a valid string", None));
    };
    match email_fault(text) {
        None => Ok(text.clone()),
        Some(reason) => {
            let message = format!("value is not a valid email address: {reason}");
            Err(Fault::new("value_error", message, Some(json!({ "reason": reason }))))
        }
    }
}

fn email_fault(text: &str) -> Option<Cow<'static, str>> {
    let Some((local, domain)) = text.split_once('@') else {
        return Some("An email address must have an @-sign.".into());
    };
    let count = text.chars().count();
    if count > EMAIL_CHARS_MAX {
        let over = count - EMAIL_CHARS_MAX;
        let characters = if over == 1 { "character" } else { "characters" };
        return Some(format!("The email address is too long ({over} {characters} too many).").into());
    }
    let fault = if local.is_empty() {
        "There must be something before the @-sign."
    } else if domain.is_empty() {
        "There must be something after the @-sign."
    } else if domain.starts_with('[') {
        "A bracketed IP address after the @-sign is not allowed here."
    } else if local.starts_with('"') {
        "Quoting the part before the @-sign is not allowed here."
    } else if let Some(found) = strangers(local, |c| "!#$%&'*+-/=?^_`{|}~.".contains(c)) {
        return Some(format!("The email address contains invalid characters before the @-sign: {found}.").into());
    } else if let Some(found) = strangers(domain, |c| "-.".contains(c)) {
        return Some(format!("The part after the @-sign contains invalid characters: {found}.").into());
    } else {
        return dots_fault(text, local, domain).map(Cow::Borrowed);
    };
    Some(fault.into())
}

/// Where periods and hyphens stand.
fn dots_fault(text: &str, local: &str, domain: &str) -> Option<&'static str> {
    Some(match () {
        () if local.starts_with('.') => "An email address cannot start with a period.",
        () if local.ends_with('.') => "An email address cannot have a period immediately before the @-sign.",
        () if text.contains("..") => "An email address cannot have two periods in a row.",
        () if domain.starts_with('.') => "An email address cannot have a period immediately after the @-sign.",
        () if domain.ends_with('.') => "An email address cannot end with a period.",
        () if domain.starts_with('-') => "An email address cannot have a hyphen immediately after the @-sign.",
        () if domain.ends_with('-') => "An email address cannot end with a hyphen.",
        () if !domain.contains('.') => "The part after the @-sign is not valid. It should have a period.",
        () if !profile::is_email(text) => "The email address is not valid.",
        () => return None,
    })
}

/// The characters of a part that it may not have, each once; letters and digits of any script are looked at elsewhere.
fn strangers(part: &str, is_allowed: impl Fn(char) -> bool) -> Option<String> {
    let is_known = |c: char| c.is_alphanumeric() || is_allowed(c);
    let found: BTreeSet<char> = part.chars().filter(|c| !is_known(*c)).collect();
    let shown = |c: &char| match c {
        ' ' => "SPACE".to_owned(),
        '\'' => "\"'\"".to_owned(),
        c if c.is_ascii_graphic() => format!("'{c}'"),
        c => format!("U+{:04X}", u32::from(*c)),
    };
    (!found.is_empty()).then(|| found.iter().map(shown).collect::<Vec<_>>().join(", "))
}

/// `date`, as in 1995-01-31 and no other way. (Pydantic takes a time of midnight too, and seconds since 1970 if they are.)
pub(in crate::http::dialect) fn date(value: &Value) -> Result<String, Fault> {
    let inexact = || {
        let message = "Datetimes provided to dates should have zero time - e.g. be exact dates";
        Fault::new("date_from_datetime_inexact", message, None)
    };
    let text = match value {
        Value::String(text) => text,
        Value::Number(_) => return Err(inexact()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Fault::new("date_type", "Input should be a valid date", None));
        }
    };
    if text.parse::<f64>().is_ok() {
        return Err(inexact());
    }
    match date_fault(text) {
        None if text.len() == 10 => Ok(text.clone()),
        None => Err(inexact()),
        Some(error) => {
            let message = format!("Input should be a valid date or datetime, {error}");
            Err(Fault::new("date_from_datetime_parsing", message, Some(json!({ "error": error }))))
        }
    }
}

/// What is wrong with the first ten characters and the one after them, in the order in which they are read.
fn date_fault(text: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| {
        let part = bytes.get(from..to)?;
        part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0_i16, |n, c| n * 10 + i16::from(c - b'0')))
    };
    if bytes.len() < 10 {
        return Some("input is too short");
    }
    let Some(year) = digits(0, 4) else { return Some("invalid character in year") };
    let is_dash = |at: usize| bytes.get(at) == Some(&b'-');
    if !is_dash(4) {
        return Some("invalid date separator, expected `-`");
    }
    let Some(month) = digits(5, 7) else { return Some("invalid character in month") };
    if !is_dash(7) {
        return Some("invalid date separator, expected `-`");
    }
    let Some(day) = digits(8, 10) else { return Some("invalid character in day") };
    if !(1..=12).contains(&month) {
        return Some("month value is outside expected range of 1-12");
    }
    let small = |n: i16| i8::try_from(n).unwrap_or(i8::MAX);
    if Date::new(year, small(month), small(day)).is_err() {
        return Some("day value is outside expected range");
    }
    if year == 0 {
        return Some("year 0 is out of range");
    }
    match bytes.get(10) {
        None | Some(b'T' | b't' | b'_' | b' ') if bytes.len() == 10 || bytes.len() >= 16 => None,
        None | Some(b'T' | b't' | b'_' | b' ') => Some("input is too short"),
        Some(_) => Some("invalid datetime separator, expected `T`, `t`, `_` or space"),
    }
}

/// `HttpUrl`, kept as it was sent.
pub(in crate::http::dialect) fn http_url(value: &Value) -> Result<String, Fault> {
    let Value::String(text) = value else {
        return Err(Fault::new("url_type", "URL input should be a string or URL", None));
    };
    if text.chars().nth(WEB_ADDRESS_CHARS_MAX).is_some() {
        let message = format!("URL should have at most {WEB_ADDRESS_CHARS_MAX} characters");
        return Err(Fault::new("url_too_long", message, Some(json!({ "max_length": WEB_ADDRESS_CHARS_MAX }))));
    }
    let no_url = |error: &str| {
        let message = format!("Input should be a valid URL, {error}");
        Fault::new("url_parsing", message, Some(json!({ "error": error })))
    };
    if text.is_empty() {
        return Err(no_url("input is empty"));
    }
    let url = url::Url::parse(text).map_err(|error| no_url(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        let schemes = "'http' or 'https'";
        let message = format!("URL scheme should be {schemes}");
        return Err(Fault::new("url_scheme", message, Some(json!({ "expected_schemes": schemes }))));
    }
    if !url.has_host() {
        return Err(no_url("empty host"));
    }
    // What the parser passed over.
    if !profile::is_web_address(text) {
        let error = "non-URL code point";
        let message = format!("Input violated strict URL syntax rules, {error}");
        return Err(Fault::new("url_syntax_violation", message, Some(json!({ "error": error }))));
    }
    Ok(text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(read: fn(&Value) -> Result<String, Fault>, rows: &[(Value, &str, &str)]) {
        for (given, kind, message) in rows {
            let fault = read(given).expect_err(&given.to_string());
            assert_eq!((fault.kind, &*fault.message), (*kind, *message), "{given}");
        }
    }

    #[track_caller]
    fn taken(read: fn(&Value) -> Result<String, Fault>, texts: &[&str]) {
        for text in texts {
            assert_eq!(read(&json!(text)).as_deref(), Ok(*text));
        }
    }

    /// Each of them as Pydantic 2.10.2 with email-validator 2.4 answered it.
    #[test]
    fn addresses() {
        taken(email, &["gaurav@loopinsocial.in", "a@b.co", "a+b@c.co", "o'hara@b.co", "ä@b.co", "a@ä.de"]);
        let long = format!("{}@b.co", "a".repeat(300));
        let rows = [
            (json!(""), "An email address must have an @-sign."),
            (json!("a"), "An email address must have an @-sign."),
            (json!("a@"), "There must be something after the @-sign."),
            (json!("@b.co"), "There must be something before the @-sign."),
            (json!("a@b"), "The part after the @-sign is not valid. It should have a period."),
            (json!("a@@b.co"), "The part after the @-sign contains invalid characters: '@'."),
            (json!("a b@c.co"), "The email address contains invalid characters before the @-sign: SPACE."),
            (json!("a;b@c.co"), "The email address contains invalid characters before the @-sign: ';'."),
            (json!("a\0@b.co"), "The email address contains invalid characters before the @-sign: U+0000."),
            (json!("a@b c.co"), "The part after the @-sign contains invalid characters: SPACE."),
            (json!("a@b,co"), "The part after the @-sign contains invalid characters: ','."),
            (json!("a@b..co"), "An email address cannot have two periods in a row."),
            (json!(".a@b.co"), "An email address cannot start with a period."),
            (json!("a.@b.co"), "An email address cannot have a period immediately before the @-sign."),
            (json!("a@.b.co"), "An email address cannot have a period immediately after the @-sign."),
            (json!("a@b.co."), "An email address cannot end with a period."),
            (json!("a@-b.co"), "An email address cannot have a hyphen immediately after the @-sign."),
            (json!("a@b.co-"), "An email address cannot end with a hyphen."),
            (json!("a@[1.2.3.4]"), "A bracketed IP address after the @-sign is not allowed here."),
            (json!("\"a b\"@c.co"), "Quoting the part before the @-sign is not allowed here."),
            (json!(long), "The email address is too long (51 characters too many)."),
        ];
        for (given, reason) in rows {
            let fault = email(&given).expect_err(reason);
            assert_eq!(fault.message, format!("value is not a valid email address: {reason}"));
            assert_eq!((fault.kind, fault.ctx), ("value_error", Some(json!({ "reason": reason }))));
        }
        refused(email, &[(json!(1), "string_type", "Input should be a valid string")]);
    }

    /// Each of them as Pydantic 2.10.2 answered it.
    #[test]
    fn dates() {
        taken(date, &["1995-01-01", "2000-02-29", "9999-12-31"]);
        let rows = [
            ("", "input is too short"),
            ("abc", "input is too short"),
            ("1995-1-1", "input is too short"),
            ("1995-01", "input is too short"),
            ("1995-01-01T", "input is too short"),
            ("1995-01-01 ", "input is too short"),
            ("x995-01-01", "invalid character in year"),
            ("01-01-1995", "invalid character in year"),
            (" 1995-01-01", "invalid character in year"),
            ("１９９５-01-01", "invalid character in year"),
            ("1995/01/01", "invalid date separator, expected `-`"),
            ("1995-0x-01", "invalid character in month"),
            ("1995-01-0x", "invalid character in day"),
            ("1995-13-01", "month value is outside expected range of 1-12"),
            ("1995-00-10", "month value is outside expected range of 1-12"),
            ("1995-02-30", "day value is outside expected range"),
            ("1995-01-01x", "invalid datetime separator, expected `T`, `t`, `_` or space"),
            ("1995-01-011", "invalid datetime separator, expected `T`, `t`, `_` or space"),
            // There a fault of the server.
            ("0000-01-01", "year 0 is out of range"),
        ];
        for (text, error) in rows {
            let fault = date(&json!(text)).expect_err(text);
            assert_eq!(fault.message, format!("Input should be a valid date or datetime, {error}"), "{text}");
            assert_eq!((fault.kind, fault.ctx), ("date_from_datetime_parsing", Some(json!({ "error": error }))));
        }
        let inexact = "Datetimes provided to dates should have zero time - e.g. be exact dates";
        let no_date = "Input should be a valid date";
        refused(
            date,
            &[
                (json!("1995-01-01T01:00:00"), "date_from_datetime_inexact", inexact),
                (json!("19950101"), "date_from_datetime_inexact", inexact),
                (json!(19_950_101), "date_from_datetime_inexact", inexact),
                (json!(1.5), "date_from_datetime_inexact", inexact),
                (json!(true), "date_type", no_date),
                (json!([]), "date_type", no_date),
                (json!({}), "date_type", no_date),
            ],
        );
    }

    /// Each of them as Pydantic 2.10.2 answered it, but for the length and for what is passed over there.
    #[test]
    fn web_addresses() {
        taken(http_url, &["https://example.com/avatar.jpg", "https://a", "HTTP://A/", "https://例え.jp/x"]);
        let parsing = |error: &str| format!("Input should be a valid URL, {error}");
        let rows = [
            ("", "input is empty"),
            ("not a url", "relative URL without a base"),
            ("example.com/a.jpg", "relative URL without a base"),
            ("//a/b", "relative URL without a base"),
            ("https://", "empty host"),
            // There, with an older library of the same authors: invalid domain character.
            ("https://exa mple.com", "invalid international domain name"),
            ("http://[::1", "invalid IPv6 address"),
            ("http://a:99999", "invalid port number"),
            ("http://1.2.3.4.5", "invalid IPv4 address"),
        ];
        for (text, error) in rows {
            let fault = http_url(&json!(text)).expect_err(text);
            assert_eq!((fault.kind, &*fault.message), ("url_parsing", parsing(error).as_str()), "{text}");
        }
        let long = format!("https://{}", "a".repeat(493));
        let scheme = "URL scheme should be 'http' or 'https'";
        let odd = "Input violated strict URL syntax rules, non-URL code point";
        refused(
            http_url,
            &[
                (json!("ftp://a/b"), "url_scheme", scheme),
                (json!("javascript:alert(1)"), "url_scheme", scheme),
                (json!("data:x"), "url_scheme", scheme),
                (json!(1), "url_type", "URL input should be a string or URL"),
                (json!(long), "url_too_long", "URL should have at most 500 characters"),
                (json!("https://a/\n"), "url_syntax_violation", odd),
                (json!(" https://a/"), "url_syntax_violation", odd),
                (json!("https://a/b c"), "url_syntax_violation", odd),
            ],
        );
    }
}
