//! What the answer to a webhook means: pure, from status and body to an outcome, by the operator's rule.
//!
//! security 111: with a pointer set, a success of HTTP is one only if the body says so. Never quotes the body in an
//! error: it may repeat the text.

use reqwest::StatusCode;
use serde_json::Value;

use crate::sms::{
    SendClass, SendError,
    outbound::{by_status, is_id},
};

/// When a message counts as taken, and what else an answer can say.
pub(super) struct Rule {
    /// Statuses of a success.
    pub(super) statuses: Vec<u16>,
    /// What the body of a success says where; `None`: the status is enough.
    pub(super) says: Option<(String, String)>,
    /// Where the receiver's id of the message stands.
    pub(super) id: Option<String>,
    /// Where a refusal names its reason.
    pub(super) reason: Option<String>,
    /// The receiver's words for a reason, beside the names of the classes.
    pub(super) words: Vec<(String, SendClass)>,
}

impl Rule {
    /// Judges an answer; a success brings the receiver's id, if there is one. `body` is `None` if it could not be read
    /// to its end within the limits.
    pub(super) fn judge(&self, status: StatusCode, body: Option<&[u8]>) -> Result<Option<String>, SendError> {
        let json: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
        let at = |pointer: &Option<String>| json.as_ref()?.pointer(pointer.as_deref()?).and_then(scalar);
        if self.statuses.contains(&status.as_u16()) {
            let Some((pointer, expected)) = &self.says else { return Ok(at(&self.id).filter(|id| is_id(id))) };
            let Some(json) = &json else {
                return Err(SendError::new(SendClass::UnknownOutcome, "webhook unreadable success"));
            };
            if json.pointer(pointer).and_then(scalar).as_ref() == Some(expected) {
                return Ok(at(&self.id).filter(|id| is_id(id)));
            }
        }
        if let Some(class) = at(&self.reason).and_then(|word| self.class(&word)) {
            return Err(SendError::new(class, format!("webhook {}", class.label())));
        }
        if status.is_success() {
            // Neither the success agreed upon nor a reason against it.
            return Err(SendError::new(SendClass::UnknownOutcome, "webhook answer of no known meaning"));
        }
        Err(SendError::new(by_status(status.as_u16()), format!("webhook http {}", status.as_u16())))
    }

    fn class(&self, word: &str) -> Option<SendClass> {
        let own = self.words.iter().find(|(known, _)| known == word).map(|(_, class)| *class);
        own.or_else(|| class_named(word))
    }
}

/// The class of this label.
pub(super) fn class_named(label: &str) -> Option<SendClass> {
    SendClass::ALL.into_iter().find(|class| class.label() == label)
}

/// A value as settings spell it; lists and objects are none.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(says: Option<(&str, &str)>) -> Rule {
        Rule {
            statuses: vec![200, 202],
            says: says.map(|(pointer, expected)| (pointer.to_owned(), expected.to_owned())),
            id: Some("/message_id".to_owned()),
            reason: Some("/error/0/code".to_owned()),
            words: vec![("E12".to_owned(), SendClass::InvalidNumber), ("7".to_owned(), SendClass::Throttled)],
        }
    }

    fn judged(rule: &Rule, status: u16, body: &str) -> Result<Option<String>, SendError> {
        rule.judge(StatusCode::from_u16(status).unwrap(), Some(body.as_bytes()))
    }

    fn class(rule: &Rule, status: u16, body: &str) -> (SendClass, String) {
        let error = judged(rule, status, body).unwrap_err();
        (error.class, error.detail)
    }

    /// Without a pointer the operator said that the status is enough.
    #[test]
    fn a_status_can_be_enough() {
        let rule = rule(None);
        for (body, id) in [("", None), ("<html>", None), (r#"{"message_id":"a-1"}"#, Some("a-1"))] {
            assert_eq!(judged(&rule, 200, body).unwrap().as_deref(), id, "{body}");
            assert_eq!(judged(&rule, 202, body).unwrap().as_deref(), id, "{body}");
        }
        for body in [r#"{"message_id":71}"#, r#"{"message_id":"71"}"#] {
            assert_eq!(judged(&rule, 200, body).unwrap().as_deref(), Some("71"));
        }
        // What is no id is not kept.
        assert_eq!(judged(&rule, 200, r#"{"message_id":"a\r\nb"}"#).unwrap(), None);
        assert!(rule.judge(StatusCode::OK, None).is_ok());
        // Another success of HTTP is not the one agreed upon.
        assert_eq!(class(&rule, 204, "").0, SendClass::UnknownOutcome);
    }

    /// security 111: with a pointer the body decides.
    #[test]
    fn a_body_must_say_it() {
        for (says, body) in [
            (("/result/ok", "true"), r#"{"result":{"ok":true}}"#),
            (("/code", "0"), r#"{"code":0}"#),
            (("/code", "0"), r#"{"code":"0"}"#),
            (("/error", ""), r#"{"error":""}"#),
            (("/error", "null"), r#"{"error":null}"#),
            (("/0/s", "send success"), r#"[{"s":"send success"}]"#),
        ] {
            assert!(judged(&rule(Some(says)), 200, body).is_ok(), "{body}");
            assert_eq!(class(&rule(Some(says)), 503, body).0, SendClass::ProviderDown, "{body}");
        }
        let rule = rule(Some(("/ok", "true")));
        let unreadable = "webhook unreadable success";
        let nothing = "webhook answer of no known meaning";
        for (body, detail) in [
            ("", unreadable),
            ("<html>true</html>", unreadable),
            (r#"{"ok":true"#, unreadable),
            ("{}", nothing),
            (r#"{"ok":false}"#, nothing),
            (r#"{"ok":[true]}"#, nothing),
            (r#"{"error":[{"code":"new"}]}"#, nothing),
        ] {
            assert_eq!(class(&rule, 200, body), (SendClass::UnknownOutcome, detail.to_owned()), "{body}");
        }
        assert_eq!(rule.judge(StatusCode::OK, None).unwrap_err().class, SendClass::UnknownOutcome);
    }

    /// A reason is our name of a class or a word of the operator's list, whatever HTTP says.
    #[test]
    fn reasons_are_classes() {
        let rule = rule(Some(("/ok", "true")));
        for (word, expected) in [("\"E12\"", SendClass::InvalidNumber), ("7", SendClass::Throttled)] {
            let body = format!(r#"{{"ok":false,"error":[{{"code":{word}}}]}}"#);
            for status in [200, 400, 500] {
                assert_eq!(class(&rule, status, &body), (expected, format!("webhook {}", expected.label())), "{body}");
            }
        }
        for expected in SendClass::ALL {
            let body = format!(r#"{{"error":[{{"code":"{}"}}]}}"#, expected.label());
            assert_eq!(class(&rule, 422, &body).0, expected);
        }
    }

    #[test]
    fn without_a_reason_a_failure_of_http_speaks() {
        use SendClass as C;
        for says in [None, Some(("/ok", "true"))] {
            for (status, expected) in [
                (307, C::BadConfig),
                (401, C::AuthFailed),
                (404, C::BadConfig),
                (429, C::Throttled),
                (503, C::ProviderDown),
            ] {
                for body in ["", "<html>", r#"{"ok":true}"#, r#"{"error":[{"code":"?"}]}"#] {
                    assert_eq!(
                        class(&rule(says), status, body),
                        (expected, format!("webhook http {status}")),
                        "{body}"
                    );
                }
            }
        }
    }
}
