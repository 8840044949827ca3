//! What an answer of Kavenegar means: pure, from status and body to an outcome.
//!
//! security 111: the verdict is `return.status` in the body; HTTP's own status is looked at only where the body has
//! none. Never quotes the body in an error: it repeats the text, code included.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::sms::{
    Accepted, SendClass, SendError,
    outbound::{by_status, is_id},
};

/// The members that matter; whatever else stands there is ignored.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "return")]
    verdict: Verdict,
    /// A list for `sms/send`; for `verify/lookup` the provider's own clients disagree: a list or one object.
    #[serde(default)]
    entries: Value,
}

#[derive(Deserialize)]
struct Verdict {
    status: Status,
}

/// A number in the documentation; a numeral in text is understood too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Number(u32),
    Text(String),
}

impl Status {
    fn code(&self) -> Option<u32> {
        match self {
            Self::Number(code) => Some(*code),
            Self::Text(code) => code.parse().ok(),
        }
    }
}

/// `return.status` of a request that was taken.
const TAKEN: u32 = 200;

/// Judges an answer. `body` is `None` if it could not be read to its end within the limits.
pub(super) fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(body).ok());
    let Some((answer, code)) = answer.and_then(|answer| answer.verdict.status.code().map(|code| (answer, code))) else {
        return Err(if status.is_success() {
            SendError::new(SendClass::UnknownOutcome, "kavenegar unreadable success")
        } else {
            SendError::new(by_status(status.as_u16()), format!("kavenegar http {}", status.as_u16()))
        });
    };
    if code != TAKEN {
        // A code nobody has heard of, in a success of HTTP: by_status calls that unknown.
        let class = by_code(code).unwrap_or_else(|| by_status(status.as_u16()));
        return Err(SendError::new(class, format!("kavenegar {code}")));
    }
    if !status.is_success() {
        let detail = format!("kavenegar success in http {}", status.as_u16());
        return Err(SendError::new(SendClass::UnknownOutcome, detail));
    }
    taken(&answer.entries)
}

/// One recipient, so one entry: it must have an id, and a state that is not an end.
fn taken(entries: &Value) -> Result<Accepted, SendError> {
    let entry = entries.as_array().map_or(Some(entries), |list| list.first());
    let member = |name| entry.and_then(|entry| entry.get(name));
    let state = member("status").and_then(Value::as_u64);
    if let Some(class) = state.and_then(ended) {
        return Err(SendError::new(class, format!("kavenegar message status {}", state.unwrap_or_default())));
    }
    let id = match member("messageid") {
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) | None => None,
    };
    match id.filter(|id| is_id(id) && !matches!(id.as_str(), "0" | "-1")) {
        Some(id) => Ok(Accepted { provider_id: Some(id) }),
        None => Err(SendError::new(SendClass::UnknownOutcome, "kavenegar success without id")),
    }
}

/// Message states (`sms/status`) that say the message went nowhere; all others are on their way.
fn ended(state: u64) -> Option<SendClass> {
    match state {
        // Failed, or called off.
        6 | 13 => Some(SendClass::ProviderDown),
        11 => Some(SendClass::Unroutable),
        // The recipient's operator filters such lines at the recipient's wish.
        14 => Some(SendClass::OptedOut),
        100 => Some(SendClass::UnknownOutcome),
        _ => None,
    }
}

/// The table of `providers.md` section 3.
fn by_code(code: u32) -> Option<SendClass> {
    let class = match code {
        // Parameters, method, date, array lengths, sender, text, template, tag.
        400 | 404..=406 | 412..=415 | 417 | 419 | 420 | 422 | 424 | 426..=428 | 431 | 432 | 607 => SendClass::BadConfig,
        // Account disabled, wrong key, no access, our address not allowed.
        401 | 403 | 407 | 416 => SendClass::AuthFailed,
        // "Operation failed", "cannot answer now".
        402 | 409 => SendClass::ProviderDown,
        411 => SendClass::InvalidNumber,
        418 => SendClass::InsufficientCredit,
        429 | 451 => SendClass::Throttled,
        501 => SendClass::UnverifiedRecipient,
        _ => return None,
    };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Accepted, SendError> {
        judge(StatusCode::from_u16(status).unwrap(), Some(body.as_bytes()))
    }

    fn class(status: u16, body: &str) -> (SendClass, String) {
        let error = judged(status, body).unwrap_err();
        (error.class, error.detail)
    }

    #[test]
    fn a_message_with_an_id_is_taken() {
        let entry = r#"{"messageid":8792343,"message":"482913","status":1,"statustext":"x","cost":120}"#;
        for entries in [format!("[{entry}]"), entry.to_owned(), entry.replace("8792343", "\"8792343\"")] {
            for status in ["200", "\"200\""] {
                let body = format!(r#"{{"return":{{"status":{status},"message":"تایید شد"}},"entries":{entries}}}"#);
                assert_eq!(judged(200, &body).unwrap().provider_id.as_deref(), Some("8792343"), "{body}");
            }
        }
    }

    /// security 111: a success in the status alone is none.
    #[test]
    fn successes_that_are_none() {
        use SendClass as C;
        let table = [
            ("", C::UnknownOutcome, "kavenegar unreadable success"),
            ("<html>hello</html>", C::UnknownOutcome, "kavenegar unreadable success"),
            (r#"{"return":{"status":200"#, C::UnknownOutcome, "kavenegar unreadable success"),
            ("[]", C::UnknownOutcome, "kavenegar unreadable success"),
            (r#"{"return":{"status":"ok"}}"#, C::UnknownOutcome, "kavenegar unreadable success"),
            (r#"{"return":{"status":200}}"#, C::UnknownOutcome, "kavenegar success without id"),
            (r#"{"return":{"status":200},"entries":null}"#, C::UnknownOutcome, "kavenegar success without id"),
            (r#"{"return":{"status":200},"entries":[]}"#, C::UnknownOutcome, "kavenegar success without id"),
            (
                r#"{"return":{"status":200},"entries":[{"messageid":0}]}"#,
                C::UnknownOutcome,
                "kavenegar success without id",
            ),
            (
                r#"{"return":{"status":200},"entries":{"messageid":"1\r\n"}}"#,
                C::UnknownOutcome,
                "kavenegar success without id",
            ),
            (
                r#"{"return":{"status":200},"entries":[{"messageid":1,"status":6}]}"#,
                C::ProviderDown,
                "kavenegar message status 6",
            ),
            (
                r#"{"return":{"status":200},"entries":[{"messageid":1,"status":11}]}"#,
                C::Unroutable,
                "kavenegar message status 11",
            ),
            (
                r#"{"return":{"status":200},"entries":[{"messageid":1,"status":13}]}"#,
                C::ProviderDown,
                "kavenegar message status 13",
            ),
            (
                r#"{"return":{"status":200},"entries":[{"messageid":1,"status":14}]}"#,
                C::OptedOut,
                "kavenegar message status 14",
            ),
            (r#"{"return":{"status":411},"entries":null}"#, C::InvalidNumber, "kavenegar 411"),
            (r#"{"return":{"status":418,"message":"x"}}"#, C::InsufficientCredit, "kavenegar 418"),
            (r#"{"return":{"status":499}}"#, C::UnknownOutcome, "kavenegar 499"),
        ];
        for (body, expected, detail) in table {
            assert_eq!(class(200, body), (expected, detail.to_owned()), "{body}");
        }
        let cut = judge(StatusCode::OK, None).unwrap_err();
        assert_eq!(cut.class, C::UnknownOutcome);
    }

    /// Every code of `providers.md` section 3, in an HTTP success and in the status of the same number.
    #[test]
    fn codes_and_their_classes() {
        use SendClass as C;
        let table: [(&[u16], C); 8] = [
            (
                &[400, 404, 405, 406, 412, 413, 414, 415, 417, 419, 420, 422, 424, 426, 427, 428, 431, 432, 607],
                C::BadConfig,
            ),
            (&[401, 403, 407, 416], C::AuthFailed),
            (&[402, 409], C::ProviderDown),
            (&[411], C::InvalidNumber),
            (&[418], C::InsufficientCredit),
            (&[429, 451], C::Throttled),
            (&[501], C::UnverifiedRecipient),
            (&[499], C::BadConfig),
        ];
        for (codes, expected) in table {
            for code in codes {
                let body = format!(r#"{{"return":{{"status":{code},"message":"09123456789 482913"}},"entries":null}}"#);
                let detail = format!("kavenegar {code}");
                assert_eq!(class(*code, &body), (expected, detail.clone()), "{code}");
                if *code != 499 {
                    assert_eq!(class(200, &body), (expected, detail), "{code} in a success");
                }
            }
        }
    }

    #[test]
    fn without_a_verdict_the_status_speaks_but_never_against_the_number() {
        use SendClass as C;
        for (status, expected) in [
            (307, C::BadConfig),
            (403, C::AuthFailed),
            (411, C::BadConfig),
            (429, C::Throttled),
            (500, C::ProviderDown),
            (502, C::ProviderDown),
        ] {
            assert_eq!(class(status, "<html>09123456789"), (expected, format!("kavenegar http {status}")));
            let cut = judge(StatusCode::from_u16(status).unwrap(), None).unwrap_err();
            assert_eq!(cut.class, expected, "a refusal whose body breaks off is still one");
        }
    }

    /// Two sides that contradict each other prove nothing.
    #[test]
    fn a_success_inside_a_failure_is_unknown() {
        let body = r#"{"return":{"status":200},"entries":[{"messageid":1}]}"#;
        let expected = (SendClass::UnknownOutcome, "kavenegar success in http 500".to_owned());
        assert_eq!(class(500, body), expected);
    }
}
