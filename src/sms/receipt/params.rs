//! Parameters of a receipt: of its query, and of a body that is a form or a flat JSON object.

use reqwest::header;
use serde_json::Value;

use super::ReceiptRequest;

/// Names and values in the order that they came in.
pub(in crate::sms) type Params = Vec<(String, String)>;

/// The parameters of a form or a query.
pub(in crate::sms) fn form(text: &[u8]) -> Params {
    form_urlencoded::parse(text).into_owned().collect()
}

/// The parameters of the query, and behind them those of the body: of a JSON object if it says so or looks like one, of
/// a form otherwise. `None` if a JSON body is none.
pub(in crate::sms) fn all(request: &ReceiptRequest<'_>) -> Option<Params> {
    let mut params = form(request.query.as_bytes());
    if is_json(request) {
        params.extend(flat(&serde_json::from_slice(request.body).ok()?)?);
    } else {
        params.extend(form(request.body));
    }
    Some(params)
}

/// The members of an object that are text, numbers or truth values, as text.
pub(in crate::sms) fn flat(object: &Value) -> Option<Params> {
    let member = |(name, value): (&String, &Value)| text(value).map(|value| (name.clone(), value));
    Some(object.as_object()?.iter().filter_map(member).collect())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_json(request: &ReceiptRequest<'_>) -> bool {
    let said = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.contains("json") || request.body.trim_ascii_start().starts_with(b"{")
}

/// The first value of that name.
pub(in crate::sms) fn value<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A price in text, in millionths: at most six digits behind the point count.
pub(in crate::sms) fn micros(price: &str) -> Option<u64> {
    let (whole, part) = price.trim().split_once('.').unwrap_or_else(|| (price.trim(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_in_millionths() {
        let table = [
            ("0.03330000", Some(33_300)),
            ("1", Some(1_000_000)),
            ("12.5", Some(12_500_000)),
            ("0.0000009", Some(0)),
            (" 0.01 ", Some(10_000)),
            ("", None),
            (".5", None),
            ("-0.01", None),
            ("0.0x", None),
            ("99999999999999999999", None),
        ];
        for (price, expected) in table {
            assert_eq!(micros(price), expected, "{price:?}");
        }
    }

    #[test]
    fn members_of_an_object() {
        let object = serde_json::json!({ "a": "x", "b": 1.5, "c": true, "d": null, "e": [1], "f": {} });
        let pairs = [("a", "x"), ("b", "1.5"), ("c", "true")];
        assert_eq!(flat(&object), Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()));
        assert_eq!(flat(&serde_json::json!([1])), None);
    }
}
