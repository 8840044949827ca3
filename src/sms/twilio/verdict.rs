//! What an answer of Twilio means: pure, from status and body to an outcome. Messages, calls and verifications have one
//! form of answer and one register of codes, so this serves each of Twilio's gateways.
//!
//! security 111: success is read from the body, never from the status alone. Never quotes the body in
//! an error, because Twilio repeats the number in its messages.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::sms::{
    Accepted, SendClass, SendError,
    outbound::{by_status, is_id},
};

/// The members that matter of a message or of an error; whatever else stands there is ignored.
#[derive(Deserialize)]
struct Answer {
    /// A message's id.
    sid: Option<String>,
    /// A message's state; in an error the HTTP status, a number.
    status: Option<Status>,
    /// Why a message failed.
    error_code: Option<u32>,
    /// An error's code.
    code: Option<u32>,
    /// An error's words, which name a parameter that is wrong. They repeat its value, too.
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Message(String),
    Http(u16),
}

/// Judges an answer to `gateway`. `body` is `None` if it could not be read to its end within the limits.
pub(in crate::sms) fn judge(gateway: &str, status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(body).ok());
    if status.is_success() {
        return taken(gateway, answer);
    }
    match answer.as_ref().and_then(|answer| answer.code.map(|code| (code, answer.message.as_deref()))) {
        Some((code, message)) => Err(refusal(gateway, code, message, by_status(status.as_u16()))),
        None => Err(SendError::new(by_status(status.as_u16()), format!("{gateway} http {}", status.as_u16()))),
    }
}

/// A 2xx answer: the message was taken only if it has an id, no error, and a state that is not an end.
fn taken(gateway: &str, answer: Option<Answer>) -> Result<Accepted, SendError> {
    let Some(answer) = answer else {
        return Err(SendError::new(SendClass::UnknownOutcome, format!("{gateway} unreadable success")));
    };
    if let Some(code) = answer.error_code.or(answer.code) {
        let by_status = match answer.status {
            Some(Status::Http(status)) if status >= 400 => by_status(status),
            Some(Status::Http(_) | Status::Message(_)) | None => SendClass::UnknownOutcome,
        };
        return Err(refusal(gateway, code, answer.message.as_deref(), by_status));
    }
    if let Some(Status::Message(state)) = &answer.status
        && ENDS.contains(&state.as_str())
    {
        return Err(SendError::new(SendClass::ProviderDown, format!("{gateway} message failed")));
    }
    match answer.sid {
        Some(sid) if is_id(&sid) => Ok(Accepted { provider_id: Some(sid) }),
        Some(_) | None => Err(SendError::new(SendClass::UnknownOutcome, format!("{gateway} success without sid"))),
    }
}

/// States of a message, a call or a verification from which nothing more comes.
const ENDS: [&str; 8] =
    ["failed", "undelivered", "canceled", "busy", "no-answer", "deleted", "expired", "max_attempts_reached"];
/// Five verifications of one number are open: no more until the oldest, which live ten minutes, are over.
const TOO_MANY_OPEN: (u32, Duration) = (60203, Duration::from_secs(600));
/// "Invalid parameter", and which one stands in the words alone.
const INVALID_PARAMETER: u32 = 60200;

fn refusal(gateway: &str, code: u32, message: Option<&str>, otherwise: SendClass) -> SendError {
    let is_recipient = message.is_some_and(|message| message.contains("`To`"));
    let class = match by_code(code) {
        Some(_) if code == INVALID_PARAMETER && is_recipient => SendClass::InvalidNumber,
        Some(class) => class,
        None => otherwise,
    };
    let retry_after = (code == TOO_MANY_OPEN.0).then_some(TOO_MANY_OPEN.1);
    SendError { retry_after, ..SendError::new(class, format!("{gateway} {code}")) }
}

/// The tables of `providers.md` sections 1 and 2: codes of messages, of reports, of calls, of WhatsApp, of
/// verifications.
fn by_code(code: u32) -> Option<SendClass> {
    let class = match code {
        21211 => SendClass::InvalidNumber,
        21614 => SendClass::Landline,
        21612 => SendClass::Unroutable,
        21408 => SendClass::RegionDenied,
        21608 => SendClass::UnverifiedRecipient,
        21610 => SendClass::OptedOut,
        21212 | 21606 | 21609 | 20404 => SendClass::BadConfig,
        21611 | 20429 => SendClass::Throttled,
        // A suspended account is also how an empty balance shows: there is no code of its own for that.
        20003 | 20005 | 20008 | 10001 | 30002 => SendClass::AuthFailed,

        30001 => SendClass::Throttled,
        30003 => SendClass::Unroutable,
        30005 => SendClass::InvalidNumber,
        30006 => SendClass::Landline,
        30007 | 30450 | 30453 => SendClass::FraudBlocked,
        30034 => SendClass::BadConfig,

        // More calls at once than the account may have.
        10004 => SendClass::Throttled,
        // The account may not call at all.
        10005 => SendClass::AuthFailed,
        // Numbers that cost whoever calls them.
        21202 => SendClass::FraudBlocked,
        21208 | 21210 | 21626 => SendClass::BadConfig,
        13224 | 21214 => SendClass::Unroutable,
        21215 | 21216 => SendClass::RegionDenied,
        21217 => SendClass::InvalidNumber,
        21219 => SendClass::UnverifiedRecipient,

        // Not on WhatsApp.
        63003 | 63024 => SendClass::Unroutable,
        21655 | 21656 | 63007 | 63016 => SendClass::BadConfig,
        63018 => SendClass::Throttled,

        INVALID_PARAMETER | 60204 | 60223 | 60243 | 68008 => SendClass::BadConfig,
        60202 | 60203 | 60207 | 60212 => SendClass::Throttled,
        60205 => SendClass::Landline,
        60401 | 60403 => SendClass::ProviderDown,
        60410 => SendClass::FraudBlocked,
        60600 | 60610 => SendClass::Unroutable,
        60605 => SendClass::RegionDenied,
        _ => return None,
    };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "SM0123456789abcdef0123456789abcdef";

    fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
        super::judge("twilio", status, body)
    }

    fn class(status: u16, body: &str) -> (SendClass, String) {
        let status = StatusCode::from_u16(status).unwrap();
        let error = judge(status, Some(body.as_bytes())).unwrap_err();
        (error.class, error.detail)
    }

    #[test]
    fn a_message_with_an_id_and_no_error_is_taken() {
        for status in [200, 201] {
            let body = format!(r#"{{"sid":"{SID}","status":"queued","error_code":null,"num_segments":"1"}}"#);
            let accepted = judge(StatusCode::from_u16(status).unwrap(), Some(body.as_bytes())).unwrap();
            assert_eq!(accepted.provider_id.as_deref(), Some(SID));
        }
    }

    /// security 111: a success in the status alone is none.
    #[test]
    fn successes_that_are_none() {
        use SendClass::{InvalidNumber, ProviderDown, RegionDenied, Throttled, UnknownOutcome};
        let table = [
            ("", UnknownOutcome, "twilio unreadable success"),
            ("<html>hello</html>", UnknownOutcome, "twilio unreadable success"),
            (r#"{"sid":"SM01"#, UnknownOutcome, "twilio unreadable success"),
            ("[]", UnknownOutcome, "twilio unreadable success"),
            ("{}", UnknownOutcome, "twilio success without sid"),
            (r#"{"sid":""}"#, UnknownOutcome, "twilio success without sid"),
            (r#"{"sid":null,"status":"queued"}"#, UnknownOutcome, "twilio success without sid"),
            (r#"{"sid":"SM1\r\nX: 1"}"#, UnknownOutcome, "twilio success without sid"),
            (r#"{"sid":"SM1","status":"failed","error_code":21211}"#, InvalidNumber, "twilio 21211"),
            (r#"{"sid":"SM1","status":"queued","error_code":99999}"#, UnknownOutcome, "twilio 99999"),
            (r#"{"sid":"SM1","status":"failed","error_code":null}"#, ProviderDown, "twilio message failed"),
            (r#"{"code":21408,"message":"no","status":400}"#, RegionDenied, "twilio 21408"),
            (r#"{"code":99999,"message":"no","status":429}"#, Throttled, "twilio 99999"),
        ];
        for (body, expected, detail) in table {
            assert_eq!(class(200, body), (expected, detail.to_owned()), "{body}");
            assert_eq!(class(201, body), (expected, detail.to_owned()), "{body}");
        }
    }

    /// Every code of `providers.md` sections 1 and 2, and those of calls and of WhatsApp.
    #[test]
    fn codes_and_their_classes() {
        use SendClass as C;
        let table = [
            (400, 21211, C::InvalidNumber),
            (400, 21614, C::Landline),
            (400, 21612, C::Unroutable),
            (400, 21408, C::RegionDenied),
            (400, 21608, C::UnverifiedRecipient),
            (400, 21610, C::OptedOut),
            (400, 21212, C::BadConfig),
            (400, 21606, C::BadConfig),
            (400, 21609, C::BadConfig),
            (404, 20404, C::BadConfig),
            (429, 21611, C::Throttled),
            (429, 20429, C::Throttled),
            (401, 20003, C::AuthFailed),
            (403, 20005, C::AuthFailed),
            (403, 20008, C::AuthFailed),
            (400, 10001, C::AuthFailed),
            (400, 30002, C::AuthFailed),
            (400, 30001, C::Throttled),
            (400, 30003, C::Unroutable),
            (400, 30005, C::InvalidNumber),
            (400, 30006, C::Landline),
            (400, 30007, C::FraudBlocked),
            (400, 30034, C::BadConfig),
            (400, 30450, C::FraudBlocked),
            (400, 30453, C::FraudBlocked),
            (429, 10004, C::Throttled),
            (403, 10005, C::AuthFailed),
            (400, 21202, C::FraudBlocked),
            (400, 21208, C::BadConfig),
            (400, 21210, C::BadConfig),
            (400, 21626, C::BadConfig),
            (400, 13224, C::Unroutable),
            (400, 21214, C::Unroutable),
            (400, 21215, C::RegionDenied),
            (400, 21216, C::RegionDenied),
            (400, 21217, C::InvalidNumber),
            (400, 21219, C::UnverifiedRecipient),
            (400, 63003, C::Unroutable),
            (400, 63024, C::Unroutable),
            (400, 21655, C::BadConfig),
            (400, 21656, C::BadConfig),
            (400, 63007, C::BadConfig),
            (400, 63016, C::BadConfig),
            (429, 63018, C::Throttled),
            (400, 60200, C::BadConfig),
            (429, 60202, C::Throttled),
            (429, 60203, C::Throttled),
            (400, 60204, C::BadConfig),
            (400, 60205, C::Landline),
            (429, 60207, C::Throttled),
            (429, 60212, C::Throttled),
            (403, 60223, C::BadConfig),
            (400, 60243, C::BadConfig),
            (500, 60401, C::ProviderDown),
            (500, 60403, C::ProviderDown),
            (403, 60410, C::FraudBlocked),
            (400, 60600, C::Unroutable),
            (400, 60610, C::Unroutable),
            (403, 60605, C::RegionDenied),
            (400, 68008, C::BadConfig),
        ];
        for (status, code, expected) in table {
            let body = format!(r#"{{"code":{code},"message":"+989123456789 secret","status":{status}}}"#);
            assert_eq!(class(status, &body), (expected, format!("twilio {code}")));
        }
    }

    /// "Invalid parameter" is the number's fault if the words name the recipient; a sixth open verification is not asked
    /// for again while the five live.
    #[test]
    fn words_and_waits_of_verifications() {
        for (message, expected) in [
            ("Invalid parameter `To`: +98912", SendClass::InvalidNumber),
            ("Invalid parameter `CustomCode`: 12", SendClass::BadConfig),
        ] {
            let body = format!(r#"{{"code":60200,"message":"{message}","status":400}}"#);
            assert_eq!(class(400, &body), (expected, "twilio 60200".to_owned()));
        }
        let body = br#"{"code":60203,"message":"Max send attempts reached","status":429}"#;
        let error = judge(StatusCode::TOO_MANY_REQUESTS, Some(body)).unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(600)));
        for state in ENDS {
            let body = format!(r#"{{"sid":"CA1","status":"{state}"}}"#);
            assert_eq!(class(201, &body), (SendClass::ProviderDown, "twilio message failed".to_owned()));
        }
    }

    #[test]
    fn unknown_codes_and_unreadable_refusals_go_by_status() {
        use SendClass as C;
        let table = [
            (301, C::BadConfig),
            (307, C::BadConfig),
            (400, C::BadConfig),
            (401, C::AuthFailed),
            (402, C::InsufficientCredit),
            (403, C::AuthFailed),
            (404, C::BadConfig),
            (408, C::ProviderDown),
            (429, C::Throttled),
            (500, C::ProviderDown),
            (503, C::ProviderDown),
        ];
        for (status, expected) in table {
            let unknown = format!(r#"{{"code":99999,"message":"no","status":{status}}}"#);
            assert_eq!(class(status, &unknown), (expected, "twilio 99999".to_owned()));
            assert_eq!(class(status, "<html>+989123456789"), (expected, format!("twilio http {status}")));
            let cut = judge(StatusCode::from_u16(status).unwrap(), None).unwrap_err();
            assert_eq!(cut.class, expected, "a refusal whose body breaks off is still one");
        }
    }

    #[test]
    fn a_success_whose_body_breaks_off_is_unknown() {
        let error = judge(StatusCode::CREATED, None).unwrap_err();
        assert_eq!(error.class, SendClass::UnknownOutcome);
    }
}
