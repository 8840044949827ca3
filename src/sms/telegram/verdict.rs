//! What an answer of the Telegram Gateway means: pure, from status and body to an outcome.
//!
//! security 111: the verdict is `ok` in the body; HTTP's own status is looked at only where the body has none. Never
//! quotes the body in an error: it repeats the number.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::sms::{Accepted, SendClass, SendError, outbound::by_status};

/// The members that matter; whatever else stands there is ignored.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    result: Option<RequestStatus>,
}

#[derive(Deserialize)]
struct RequestStatus {
    request_id: Option<String>,
    delivery_status: Option<DeliveryStatus>,
}

#[derive(Deserialize)]
struct DeliveryStatus {
    status: String,
}

/// Judges an answer. `body` is `None` if it could not be read to its end within the limits.
pub(super) fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(body).ok());
    let Some(answer) = answer else {
        return Err(if status.is_success() {
            SendError::new(SendClass::UnknownOutcome, "telegram unreadable success")
        } else {
            SendError::new(by_status(status.as_u16()), format!("telegram http {}", status.as_u16()))
        });
    };
    if !answer.ok {
        return Err(refusal(status, answer.error.as_deref().unwrap_or_default()));
    }
    if !status.is_success() {
        let detail = format!("telegram success in http {}", status.as_u16());
        return Err(SendError::new(SendClass::UnknownOutcome, detail));
    }
    taken(answer.result)
}

/// A request that was taken has an id, and a state that is not an end.
fn taken(result: Option<RequestStatus>) -> Result<Accepted, SendError> {
    let state = result.as_ref().and_then(|result| result.delivery_status.as_ref()).map(|state| state.status.as_str());
    if let Some(state @ ("expired" | "revoked")) = state {
        return Err(SendError::new(SendClass::ProviderDown, format!("telegram message {state}")));
    }
    match result.and_then(|result| result.request_id).filter(|id| is_request_id(id)) {
        Some(id) => Ok(Accepted { provider_id: Some(id) }),
        None => Err(SendError::new(SendClass::UnknownOutcome, "telegram success without id")),
    }
}

/// Longest id taken as one.
const ID_LEN_MAX: usize = 128;

/// The form of an id is not documented: letters, digits and what Base64 and the like are made of.
fn is_request_id(id: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/.:".contains(&byte))
}

fn refusal(status: StatusCode, word: &str) -> SendError {
    let class = by_word(word).unwrap_or_else(|| {
        let class = by_status(status.as_u16());
        // `ok` is documented to be false of what was not done, so an unknown reason leaves no doubt about that.
        if class.certain() { class } else { SendClass::BadConfig }
    });
    let detail =
        if is_word(word) { format!("telegram {word}") } else { "telegram refusal without a reason".to_owned() };
    SendError { retry_after: flood_wait(word), ..SendError::new(class, detail) }
}

/// What may be shown of a reason: capitals, as all reasons have them.
fn is_word(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&word.len()) && word.bytes().all(plain) && word.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The seconds in `FLOOD_WAIT_17`.
fn flood_wait(word: &str) -> Option<Duration> {
    word.strip_prefix("FLOOD_WAIT_")?.parse().ok().map(Duration::from_secs)
}

/// The reasons that clients of the Gateway know; Telegram's page names but the first.
fn by_word(word: &str) -> Option<SendClass> {
    let class = match word {
        "ACCESS_TOKEN_INVALID" | "ACCESS_TOKEN_REQUIRED" => SendClass::AuthFailed,
        "PHONE_NUMBER_INVALID" => SendClass::InvalidNumber,
        // Nobody of that number is on Telegram, or takes such messages.
        "PHONE_NUMBER_NOT_FOUND" | "PHONE_NUMBER_NOT_AVAILABLE" => SendClass::Unroutable,
        "BALANCE_NOT_ENOUGH" => SendClass::InsufficientCredit,
        "CODE_INVALID"
        | "CODE_LENGTH_INVALID"
        | "CODE_LENGTH_REQUIRED"
        | "SENDER_USERNAME_INVALID"
        | "SENDER_NOT_VERIFIED"
        | "SENDER_NOT_OWNED"
        | "TTL_INVALID"
        | "PAYLOAD_INVALID"
        | "CALLBACK_URL_INVALID"
        | "REQUEST_ID_INVALID"
        | "REQUEST_ID_REQUIRED"
        | "PHONE_NUMBER_MISMATCH"
        | "UNKNOWN_METHOD" => SendClass::BadConfig,
        "MESSAGE_ALREADY_SENT" => SendClass::UnknownOutcome,
        _ if word.starts_with("FLOOD_WAIT") => SendClass::Throttled,
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

    fn refused(word: &str) -> String {
        format!(r#"{{"ok":false,"error":"{word}"}}"#)
    }

    #[test]
    fn a_request_with_an_id_is_taken() {
        for id in ["8234982734", "aGVsbG8_d29ybGQ=", "5f1c-71"] {
            for state in ["", r#","delivery_status":{"status":"sent","updated_at":1767225600}"#] {
                let body = format!(
                    r#"{{"ok":true,"result":{{"request_id":"{id}","phone_number":"+989123456789","request_cost":0.01{state}}}}}"#
                );
                assert_eq!(judged(200, &body).unwrap().provider_id.as_deref(), Some(id), "{body}");
            }
        }
    }

    /// security 111: a success of HTTP alone is none.
    #[test]
    fn successes_that_are_none() {
        use SendClass as C;
        let unreadable = "telegram unreadable success";
        let bare = "telegram success without id";
        for (body, class_, detail) in [
            ("", C::UnknownOutcome, unreadable),
            ("<html>ok</html>", C::UnknownOutcome, unreadable),
            (r#"{"ok":true"#, C::UnknownOutcome, unreadable),
            (r#"{"result":{}}"#, C::UnknownOutcome, unreadable),
            (r#"{"ok":"true"}"#, C::UnknownOutcome, unreadable),
            (r#"{"ok":true}"#, C::UnknownOutcome, bare),
            (r#"{"ok":true,"result":{}}"#, C::UnknownOutcome, bare),
            (r#"{"ok":true,"result":{"request_id":""}}"#, C::UnknownOutcome, bare),
            (r#"{"ok":true,"result":{"request_id":"a\r\nb"}}"#, C::UnknownOutcome, bare),
            (
                r#"{"ok":true,"result":{"request_id":"1","delivery_status":{"status":"expired"}}}"#,
                C::ProviderDown,
                "telegram message expired",
            ),
            (r#"{"ok":false}"#, C::BadConfig, "telegram refusal without a reason"),
            (r#"{"ok":false,"error":"NEW_REASON"}"#, C::BadConfig, "telegram NEW_REASON"),
            (r#"{"ok":false,"error":"+989123456789"}"#, C::BadConfig, "telegram refusal without a reason"),
            (r#"{"ok":false,"error":"989123456789"}"#, C::BadConfig, "telegram refusal without a reason"),
        ] {
            assert_eq!(class(200, body), (class_, detail.to_owned()), "{body}");
        }
        assert_eq!(judge(StatusCode::OK, None).unwrap_err().class, C::UnknownOutcome);
    }

    #[test]
    fn reasons_and_their_classes() {
        use SendClass as C;
        for (words, expected) in [
            (&["ACCESS_TOKEN_INVALID", "ACCESS_TOKEN_REQUIRED"][..], C::AuthFailed),
            (&["PHONE_NUMBER_INVALID"], C::InvalidNumber),
            (&["PHONE_NUMBER_NOT_FOUND", "PHONE_NUMBER_NOT_AVAILABLE"], C::Unroutable),
            (&["BALANCE_NOT_ENOUGH"], C::InsufficientCredit),
            (&["FLOOD_WAIT", "FLOOD_WAIT_17"], C::Throttled),
            (&["CODE_INVALID", "SENDER_USERNAME_INVALID", "SENDER_NOT_VERIFIED", "SENDER_NOT_OWNED"], C::BadConfig),
            (&["TTL_INVALID", "PAYLOAD_INVALID", "CALLBACK_URL_INVALID", "UNKNOWN_METHOD"], C::BadConfig),
            (&["MESSAGE_ALREADY_SENT"], C::UnknownOutcome),
        ] {
            for (word, status) in words.iter().flat_map(|word| [200, 400, 401].map(|status| (word, status))) {
                assert_eq!(class(status, &refused(word)), (expected, format!("telegram {word}")));
            }
        }
    }

    #[test]
    fn a_flood_says_how_long_to_wait() {
        for (word, wait) in [("FLOOD_WAIT_17", Some(17)), ("FLOOD_WAIT", None), ("FLOOD_WAIT_X", None)] {
            let error = judged(200, &refused(word)).unwrap_err();
            assert_eq!((error.class, error.retry_after), (SendClass::Throttled, wait.map(Duration::from_secs)));
        }
    }

    #[test]
    fn without_a_verdict_a_failure_of_http_speaks() {
        use SendClass as C;
        for (status, expected) in
            [(307, C::BadConfig), (401, C::AuthFailed), (429, C::Throttled), (503, C::ProviderDown)]
        {
            for body in ["", "<html>989123456789", "[]"] {
                assert_eq!(class(status, body), (expected, format!("telegram http {status}")), "{body}");
            }
            let expected = (expected, "telegram NEW_REASON".to_owned());
            assert_eq!(class(status, &refused("NEW_REASON")), expected);
        }
        // Two sides that contradict each other prove nothing.
        assert_eq!(class(500, r#"{"ok":true,"result":{"request_id":"1"}}"#).0, C::UnknownOutcome);
    }
}
