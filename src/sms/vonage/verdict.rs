//! What an answer of Vonage's SMS API means: pure, from status and body to an outcome.
//!
//! security 111: HTTP says 200 whatever happened; the verdict is the `status` of each entry, one per part of the text.
//! A message is taken only if every part is. Never quotes the body in an error: it repeats the number.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::sms::{
    Accepted, SendClass, SendError,
    outbound::{by_status, is_id},
};

/// The members that matter; whatever else stands there is ignored.
#[derive(Deserialize)]
struct Answer {
    messages: Vec<Entry>,
}

/// One part of the message.
#[derive(Deserialize)]
struct Entry {
    status: Status,
    #[serde(rename = "message-id")]
    id: Option<String>,
    #[serde(rename = "error-text")]
    error_text: Option<String>,
}

/// A numeral in text in the documentation; a number is understood too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Text(String),
    Number(u16),
}

impl Entry {
    fn code(&self) -> Option<u16> {
        match &self.status {
            Status::Text(code) => code.parse().ok(),
            Status::Number(code) => Some(*code),
        }
    }

    /// Is the recipient the parameter that is complained about?
    fn blames_recipient(&self) -> bool {
        let text = self.error_text.as_deref().unwrap_or_default().to_ascii_lowercase();
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.next() == Some("to") || words.next_back() == Some("to")
    }
}

/// `status` of a part that was taken.
const TAKEN: u16 = 0;

/// Judges an answer. `body` is `None` if it could not be read to its end within the limits.
pub(super) fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(body).ok());
    let parts = answer.map(|answer| answer.messages).unwrap_or_default();
    let codes: Option<Vec<u16>> = parts.iter().map(Entry::code).collect();
    let Some(codes) = codes.filter(|codes| !codes.is_empty()) else {
        return Err(if status.is_success() {
            SendError::new(SendClass::UnknownOutcome, "vonage unreadable success")
        } else {
            SendError::new(by_status(status.as_u16()), format!("vonage http {}", status.as_u16()))
        });
    };
    let refused = parts.iter().zip(&codes).find(|(_, code)| **code != TAKEN);
    match refused {
        // Part of it is on its way: neither taken nor certainly not.
        Some((_, code)) if codes.contains(&TAKEN) => {
            Err(SendError::new(SendClass::UnknownOutcome, format!("vonage took a part, then {code}")))
        }
        Some((part, code)) => {
            // A code nobody has heard of, in a success of HTTP: by_status calls that unknown.
            let class = by_code(*code, part).unwrap_or_else(|| by_status(status.as_u16()));
            Err(SendError::new(class, format!("vonage {code}")))
        }
        None if !status.is_success() => {
            let detail = format!("vonage success in http {}", status.as_u16());
            Err(SendError::new(SendClass::UnknownOutcome, detail))
        }
        None => match parts.into_iter().next().and_then(|first| first.id).filter(|id| is_id(id)) {
            Some(id) => Ok(Accepted { provider_id: Some(id) }),
            None => Err(SendError::new(SendClass::UnknownOutcome, "vonage success without id")),
        },
    }
}

/// The table of `providers.md` section 5.
fn by_code(code: u16, part: &Entry) -> Option<SendClass> {
    let class = match code {
        1 | 10 => SendClass::Throttled,
        // A parameter is missing or wrong; ours are of their form, so only the recipient is the person's.
        2 | 3 if part.blames_recipient() => SendClass::InvalidNumber,
        // Parameters, not enabled for HTTP, too long, sender, network code, callback.
        2 | 3 | 11 | 12 | 15 | 22 | 23 => SendClass::BadConfig,
        // Credentials, account barred, signatures.
        4 | 8 | 14 | 32 => SendClass::AuthFailed,
        5 => SendClass::ProviderDown,
        // Unknown prefix, deactivated.
        6 | 33 => SendClass::InvalidNumber,
        7 => SendClass::OptedOut,
        9 => SendClass::InsufficientCredit,
        // Blocked for its content or by a rule of the carrier's.
        17 => SendClass::FraudBlocked,
        29 => SendClass::UnverifiedRecipient,
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

    fn answer(entries: &[&str]) -> String {
        format!(r#"{{"message-count":"{}","messages":[{}]}}"#, entries.len(), entries.join(","))
    }

    fn refusal(code: u16, text: &str) -> String {
        answer(&[&format!(r#"{{"status":"{code}","error-text":"{text}"}}"#)])
    }

    const FIRST: &str = r#"{"to":"447700900000","message-id":"aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab","status":"0",
        "remaining-balance":"3.14","message-price":"0.03","network":"12345"}"#;

    #[test]
    fn a_message_is_taken_if_every_part_is() {
        let second = FIRST.replace("aaaaaaaa", "eeeeeeee");
        let id = Some("aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab");
        for body in [answer(&[FIRST]), answer(&[FIRST, &second]), answer(&[&FIRST.replace("\"0\"", "0")])] {
            assert_eq!(judged(200, &body).unwrap().provider_id.as_deref(), id, "{body}");
        }
        let half = answer(&[FIRST, r#"{"status":"9","error-text":"Quota exceeded"}"#]);
        assert_eq!(class(200, &half), (SendClass::UnknownOutcome, "vonage took a part, then 9".to_owned()));
    }

    /// security 111: a success of HTTP alone is none.
    #[test]
    fn successes_that_are_none() {
        let unreadable = "vonage unreadable success";
        for (body, detail) in [
            (String::new(), unreadable),
            ("<html>0</html>".to_owned(), unreadable),
            (r#"{"messages":[{"status":"0"#.to_owned(), unreadable),
            (r#"{"message-count":"0","messages":[]}"#.to_owned(), unreadable),
            (r#"{"messages":[{"status":"ok"}]}"#.to_owned(), unreadable),
            (r#"{"messages":[{"message-id":"a"}]}"#.to_owned(), unreadable),
            (answer(&[r#"{"status":"0"}"#]), "vonage success without id"),
            (answer(&[r#"{"status":"0","message-id":"a\r\nb"}"#]), "vonage success without id"),
            (refusal(99, "?"), "vonage 99"),
        ] {
            assert_eq!(class(200, &body), (SendClass::UnknownOutcome, detail.to_owned()), "{body}");
        }
        assert_eq!(judge(StatusCode::OK, None).unwrap_err().class, SendClass::UnknownOutcome);
    }

    /// Every code of `providers.md` section 5.
    #[test]
    fn codes_and_their_classes() {
        use SendClass as C;
        for (codes, expected) in [
            (&[1, 10][..], C::Throttled),
            (&[2, 3, 11, 12, 15, 22, 23], C::BadConfig),
            (&[4, 8, 14, 32], C::AuthFailed),
            (&[5], C::ProviderDown),
            (&[6, 33], C::InvalidNumber),
            (&[7], C::OptedOut),
            (&[9], C::InsufficientCredit),
            (&[29], C::UnverifiedRecipient),
        ] {
            for code in codes {
                let (found, detail) = class(200, &refusal(*code, "Something about from"));
                assert_eq!((found, detail), (expected, format!("vonage {code}")));
            }
        }
    }

    /// A parameter that is not liked can be the number.
    #[test]
    fn a_recipient_that_is_blamed_is_the_numbers_fault() {
        for text in ["to address is not numeric", "Invalid value for parameter: to", "Missing `to`"] {
            assert_eq!(class(200, &refusal(3, text)).0, SendClass::InvalidNumber, "{text}");
        }
        for text in ["", "Invalid value for parameter: from", "token is wrong", "text is to be set"] {
            assert_eq!(class(200, &refusal(3, text)).0, SendClass::BadConfig, "{text}");
        }
    }

    #[test]
    fn without_a_verdict_a_failure_of_http_speaks() {
        use SendClass as C;
        for (status, expected) in [
            (307, C::BadConfig),
            (401, C::AuthFailed),
            (402, C::InsufficientCredit),
            (429, C::Throttled),
            (503, C::ProviderDown),
        ] {
            for body in ["", "<html>447700900000", "[]"] {
                assert_eq!(class(status, body), (expected, format!("vonage http {status}")), "{body}");
            }
        }
        // Two sides that contradict each other prove nothing.
        assert_eq!(class(500, &answer(&[FIRST])).0, C::UnknownOutcome);
    }
}
