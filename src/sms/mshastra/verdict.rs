//! What an answer of mShastra means: pure, from status and body to an outcome.
//!
//! security 111: HTTP says 200 whatever happened, so only the words or the code in the body count. The provider's
//! documentation is thin: many forms are understood, but a message is taken only if the answer says so and nothing in
//! it says otherwise. Never quotes the body in an error: it repeats the number.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::sms::{
    Accepted, SendClass, SendError,
    outbound::{by_status, is_id},
};

/// Judges an answer. `body` is `None` if it could not be read to its end within the limits.
pub(super) fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let Some(entry) = body.and_then(only_entry) else {
        return Err(if status.is_success() {
            SendError::new(SendClass::UnknownOutcome, "mshastra unreadable answer")
        } else {
            by_http(status)
        });
    };
    let said = Said::read(&entry);
    match (said.taken, said.refusal) {
        (true, None) if status.is_success() => Ok(Accepted { provider_id: entry.id() }),
        (false, Some(refusal)) => Err(refusal),
        (false, None) if !status.is_success() => Err(by_http(status)),
        (false, None) => Err(SendError::new(SendClass::UnknownOutcome, "mshastra answer of no known meaning")),
        (true, _) => Err(SendError::new(SendClass::UnknownOutcome, "mshastra answer contradicts itself")),
    }
}

fn by_http(status: StatusCode) -> SendError {
    SendError::new(by_status(status.as_u16()), format!("mshastra http {}", status.as_u16()))
}

/// The members that matter of the answer to one message; which of the two texts is there depends on the request and
/// on whom one asks.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    msg_id: Value,
    response: Option<String>,
    str_response: Option<String>,
}

impl Entry {
    fn id(&self) -> Option<String> {
        let id = match &self.msg_id {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        is_id(&id).then_some(id)
    }

    /// What the texts say, piece by piece: a composite one separates by commas.
    fn pieces(&self) -> impl Iterator<Item = &str> {
        let texts = [self.response.as_deref(), self.str_response.as_deref()];
        texts.into_iter().flatten().flat_map(|text| text.split(',')).map(str::trim)
    }
}

/// One message was sent, so there is one entry: in a list, or bare.
fn only_entry(body: &[u8]) -> Option<Entry> {
    let entry = match serde_json::from_slice(body).ok()? {
        Value::Array(mut list) if list.len() == 1 => list.pop()?,
        entry @ Value::Object(_) => entry,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
    };
    serde_json::from_value(entry).ok()
}

/// What the pieces of an answer come to.
#[derive(Default)]
struct Said {
    taken: bool,
    /// The first one.
    refusal: Option<SendError>,
}

impl Said {
    fn read(entry: &Entry) -> Self {
        let mut said = Self::default();
        for piece in entry.pieces() {
            if piece == "000" {
                said.taken = true;
            } else if is_code(piece) {
                let class = by_code(piece).unwrap_or(SendClass::UnknownOutcome);
                said.refuse(SendError::new(class, format!("mshastra {piece}")));
            } else {
                said.hear(&words(piece));
            }
        }
        said
    }

    fn hear(&mut self, words: &[String]) {
        let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        if any(&["success", "successful", "successfully"]) && !any(&["not", "no", "without", "fail", "failed", "error"])
        {
            self.taken = true;
        } else if let Some((_, class)) = WORDS.iter().find(|(known, _)| any(known)) {
            self.refuse(SendError::new(*class, "mshastra refusal in words"));
        }
    }

    fn refuse(&mut self, refusal: SendError) {
        self.refusal.get_or_insert(refusal);
    }
}

/// Three digits: too short for a code of ours or a number, so it may be shown.
fn is_code(piece: &str) -> bool {
    piece.len() == 3 && piece.bytes().all(|byte| byte.is_ascii_digit())
}

fn words(piece: &str) -> Vec<String> {
    let words = piece.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The table of `providers.md` section 4.
fn by_code(code: &str) -> Option<SendClass> {
    let class = match code {
        // Invalid, without country code, empty.
        "001" | "007" | "008" => SendClass::InvalidNumber,
        // Message, sender.
        "003" | "012" => SendClass::BadConfig,
        // Credentials; a profile blocked, unknown, run out.
        "005" | "009" | "010" | "011" => SendClass::AuthFailed,
        // "Do not disturb".
        "006" => SendClass::OptedOut,
        "013" => SendClass::ProviderDown,
        _ => return None,
    };
    Some(class)
}

/// Words of the same refusals where no code is given, first match; no code is known for an empty balance.
const WORDS: [(&[&str], SendClass); 6] = [
    (&["credit", "credits", "balance"], SendClass::InsufficientCredit),
    (&["authorization", "authentication", "password", "profile"], SendClass::AuthFailed),
    (&["dnd"], SendClass::OptedOut),
    (&["receiver", "country"], SendClass::InvalidNumber),
    (&["sender", "message"], SendClass::BadConfig),
    (&["server"], SendClass::ProviderDown),
];

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

    /// The three forms seen in public clients.
    #[test]
    fn every_known_form_of_a_success() {
        for (body, id) in [
            (r#"[{"msg_id":"71b","number":"255694230173","response":"send success"}]"#, Some("71b")),
            (r#"[{"msg_id":71,"number":"255694230173","response":" Send Successful "}]"#, Some("71")),
            (r#"[{"msg_id":"71","number":"255694230173","str_response":"000"}]"#, Some("71")),
            (r#"[{"str_response":"71,255694230173, 000"}]"#, None),
            (r#"{"msg_id":"71","response":"send success"}"#, Some("71")),
            (r#"[{"msg_id":"7 1\r\n","str_response":"000"}]"#, None),
        ] {
            assert_eq!(judged(200, body).unwrap().provider_id.as_deref(), id, "{body}");
        }
    }

    /// security 111: whatever does not say that it was sent, was not surely sent.
    #[test]
    fn successes_that_are_none() {
        let unreadable = "mshastra unreadable answer";
        let unknown = "mshastra answer of no known meaning";
        let both = "mshastra answer contradicts itself";
        for (body, detail) in [
            ("", unreadable),
            ("000", unreadable),
            ("send success", unreadable),
            ("<html>send success</html>", unreadable),
            ("[]", unreadable),
            (r#"["000"]"#, unreadable),
            (r#"[{"response":"send success"},{"response":"send success"}]"#, unreadable),
            (r#"[{"str_response":0}]"#, unreadable),
            (r#"[{"msg_id":"71"#, unreadable),
            (r#"[{"msg_id":"71"}]"#, unknown),
            (r#"[{"response":""}]"#, unknown),
            (r#"[{"response":"unsuccessful"}]"#, unknown),
            (r#"[{"response":"not successful"}]"#, unknown),
            (r#"[{"response":"queued"}]"#, unknown),
            (r#"[{"str_response":"0000"}]"#, unknown),
            (r#"[{"str_response":"099"}]"#, "mshastra 099"),
            (r#"[{"str_response":"000,71,005"}]"#, both),
            (r#"[{"response":"send success","str_response":"005"}]"#, both),
        ] {
            assert_eq!(class(200, body), (SendClass::UnknownOutcome, detail.to_owned()), "{body}");
        }
        assert_eq!(judge(StatusCode::OK, None).unwrap_err().class, SendClass::UnknownOutcome);
    }

    /// Every code of `providers.md` section 4, bare and in a composite text, and its words.
    #[test]
    fn codes_and_words_and_their_classes() {
        use SendClass as C;
        for (code, words, expected) in [
            ("001", "Invalid Receiver", C::InvalidNumber),
            ("008", "Empty receiver", C::InvalidNumber),
            ("007", "Can not extract country code", C::InvalidNumber),
            ("003", "Invalid Message", C::BadConfig),
            ("005", "Authorization failed", C::AuthFailed),
            ("006", "DND Number", C::OptedOut),
            ("009", "Profile id blocked", C::AuthFailed),
            ("010", "Invalid profile id", C::AuthFailed),
            ("011", "Profile expired", C::AuthFailed),
            ("012", "Sender id longer than 13", C::BadConfig),
            ("013", "Server error", C::ProviderDown),
        ] {
            for said in [code.to_owned(), format!("71,255694230173,{code}")] {
                let body = format!(r#"[{{"msg_id":"","number":"255694230173","str_response":"{said}"}}]"#);
                assert_eq!(class(200, &body), (expected, format!("mshastra {code}")), "{body}");
                assert_eq!(class(500, &body).0, expected, "{body}");
            }
            let body = format!(r#"[{{"number":"255694230173","response":"{words}"}}]"#);
            assert_eq!(class(200, &body), (expected, "mshastra refusal in words".to_owned()), "{body}");
        }
        for words in ["No more credits", "insufficient balance", "Not enough credit"] {
            let body = format!(r#"[{{"response":"{words}"}}]"#);
            assert_eq!(class(200, &body).0, C::InsufficientCredit, "{body}");
        }
    }

    #[test]
    fn without_a_verdict_a_failure_of_http_speaks() {
        use SendClass as C;
        for (status, expected) in [
            (307, C::BadConfig),
            (401, C::AuthFailed),
            (404, C::BadConfig),
            (429, C::Throttled),
            (503, C::ProviderDown),
        ] {
            for body in ["", "<html>255694230173", "[]", r#"[{"response":"?"}]"#] {
                assert_eq!(class(status, body), (expected, format!("mshastra http {status}")), "{body}");
            }
        }
        // Two sides that contradict each other prove nothing.
        assert_eq!(class(500, r#"[{"response":"send success"}]"#).0, C::UnknownOutcome);
    }
}
