//! What an answer of Vonage's Messages API means: pure, from status and body to an outcome.
//!
//! A refusal is a problem document (RFC 7807) whose `type` ends in a code. security 111: a success is one only with an id.
//! Never quotes the body in an error: it may repeat the number.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::sms::{
    Accepted, SendClass, SendError,
    outbound::{by_status, is_id},
};

/// The members that matter of a success or of a problem; whatever else stands there is ignored.
#[derive(Default, Deserialize)]
struct Answer {
    message_uuid: Option<String>,
    /// `https://developer.vonage.com/api-errors/messages#1000`
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    invalid_parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
}

impl Answer {
    /// The last piece of `type`, if it is one that may be shown.
    fn code(&self) -> Option<&str> {
        let code = self.kind.as_deref()?.rsplit('#').next()?;
        is_id(code).then_some(code)
    }

    /// Is the recipient the parameter that is complained about?
    fn blames_recipient(&self) -> bool {
        self.invalid_parameters.iter().any(|parameter| parameter.name == "to")
    }
}

/// Judges an answer. `body` is `None` if it could not be read to its end within the limits.
pub(super) fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(body).ok());
    let is_readable = answer.is_some();
    let answer = answer.unwrap_or_default();
    if let Some(code) = answer.code() {
        // A code nobody has heard of, in a success of HTTP: by_status calls that unknown.
        let class = by_code(code, &answer).unwrap_or_else(|| by_status(status.as_u16()));
        return Err(SendError::new(class, format!("vonage_messages {code}")));
    }
    if !status.is_success() {
        return Err(SendError::new(by_status(status.as_u16()), format!("vonage_messages http {}", status.as_u16())));
    }
    match answer.message_uuid.filter(|id| is_id(id)) {
        Some(id) => Ok(Accepted { provider_id: Some(id) }),
        None if is_readable => Err(SendError::new(SendClass::UnknownOutcome, "vonage_messages success without id")),
        None => Err(SendError::new(SendClass::UnknownOutcome, "vonage_messages unreadable success")),
    }
}

/// The register of the Messages API, as far as it is about text messages, and of all of Vonage's APIs.
fn by_code(code: &str, answer: &Answer) -> Option<SendClass> {
    let class = match code {
        "1000" | "1241" | "throttled" => SendClass::Throttled,
        // A parameter is missing or wrong; ours are of their form, so only the recipient is the person's.
        "1010" | "1020" | "invalid-params" if answer.blames_recipient() => SendClass::InvalidNumber,
        // Parameters, tag, template, not enabled, too long, sender, ttl, facility, class, pool.
        "1010"
        | "1020"
        | "1021"
        | "1022"
        | "1080"
        | "1090"
        | "1120"
        | "1130"
        | "1140"
        | "1150"
        | "1242"
        | "invalid-params"
        | "invalid-json"
        | "invalid-id"
        | "not-found"
        | "wrong-verb"
        | "accept-header"
        | "content-type-header" => SendClass::BadConfig,
        "1030" | "1100" | "1230" | "1331" => SendClass::ProviderDown,
        "1040" | "1170" | "1190" => SendClass::InvalidNumber,
        // Barred, or asked not to be written to.
        "1050" | "1240" => SendClass::OptedOut,
        "1060"
        | "1370"
        | "unauthorized"
        | "forbidden"
        | "unprovisioned"
        | "account-suspended"
        | "application-suspended"
        | "jwt-expired"
        | "jwt-revoked"
        | "invalid-api-key"
        | "invalid-signature"
        | "invalid-ip"
        | "multiple-auth-methods" => SendClass::AuthFailed,
        "1070" | "low-balance" => SendClass::InsufficientCredit,
        "1160" => SendClass::UnverifiedRecipient,
        // Unavailable, ported, busy, no route, out of reach, blocked by its carrier, out of money, no such device.
        "1180" | "1200" | "1220" | "1250" | "1251" | "1260" | "1280" | "1290" | "1300" | "1310" => {
            SendClass::Unroutable
        }
        "1210" | "1270" | "1282" => SendClass::FraudBlocked,
        // It says that it sent this before.
        "1320" => SendClass::UnknownOutcome,
        "unavailable-legal" => SendClass::RegionDenied,
        _ => return None,
    };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> (SendClass, String) {
        let error = judge(StatusCode::from_u16(status).unwrap(), Some(body.as_bytes())).unwrap_err();
        (error.class, error.detail)
    }

    fn problem(code: &str) -> String {
        format!(
            r#"{{"type":"https://developer.vonage.com/api-errors/messages#{code}","title":"x","detail":"+98912 482913",
                "instance":"bf0ca0bf927b3b52e3cb03217e1a1ddf"}}"#
        )
    }

    #[test]
    fn a_message_with_an_id_is_taken() {
        for status in [200, 202] {
            let body = br#"{"message_uuid":"aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"}"#;
            let accepted = judge(StatusCode::from_u16(status).unwrap(), Some(body)).unwrap();
            assert_eq!(accepted.provider_id.as_deref(), Some("aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"));
        }
    }

    /// security 111: a success in the status alone is none.
    #[test]
    fn successes_that_are_none() {
        let unknown = |what: &str| (SendClass::UnknownOutcome, format!("vonage_messages {what}"));
        for (body, expected) in [
            ("", unknown("unreadable success")),
            ("<html>hello</html>", unknown("unreadable success")),
            (r#"{"message_uuid":"aaaa"#, unknown("unreadable success")),
            ("[]", unknown("unreadable success")),
            ("{}", unknown("success without id")),
            (r#"{"message_uuid":""}"#, unknown("success without id")),
            (r#"{"message_uuid":"a\r\nX: 1"}"#, unknown("success without id")),
            (&problem("9999"), unknown("9999")),
            (&problem("1040"), (SendClass::InvalidNumber, "vonage_messages 1040".to_owned())),
        ] {
            assert_eq!(class(202, body), expected, "{body}");
        }
        assert_eq!(judge(StatusCode::ACCEPTED, None).unwrap_err().class, SendClass::UnknownOutcome);
    }

    /// Every code of the register that text messages can come to, with the status that goes with it.
    #[test]
    fn codes_and_their_classes() {
        use SendClass as C;
        let table: [(u16, &[&str], C); 12] = [
            (429, &["1000", "1241", "throttled"], C::Throttled),
            (
                422,
                &[
                    "1010",
                    "1020",
                    "1021",
                    "1022",
                    "1080",
                    "1090",
                    "1120",
                    "1130",
                    "1140",
                    "1150",
                    "1242",
                    "invalid-params",
                    "invalid-json",
                    "invalid-id",
                    "not-found",
                    "wrong-verb",
                    "accept-header",
                    "content-type-header",
                ],
                C::BadConfig,
            ),
            (500, &["1030", "1100", "1230", "1331"], C::ProviderDown),
            (422, &["1040", "1170", "1190"], C::InvalidNumber),
            (422, &["1050", "1240"], C::OptedOut),
            (
                401,
                &[
                    "1060",
                    "1370",
                    "unauthorized",
                    "forbidden",
                    "unprovisioned",
                    "account-suspended",
                    "application-suspended",
                    "jwt-expired",
                    "jwt-revoked",
                    "invalid-api-key",
                    "invalid-signature",
                    "invalid-ip",
                    "multiple-auth-methods",
                ],
                C::AuthFailed,
            ),
            (402, &["1070", "low-balance"], C::InsufficientCredit),
            (422, &["1160"], C::UnverifiedRecipient),
            (422, &["1180", "1200", "1220", "1250", "1251", "1260", "1280", "1290", "1300", "1310"], C::Unroutable),
            (422, &["1210", "1270", "1282"], C::FraudBlocked),
            (422, &["1320"], C::UnknownOutcome),
            (451, &["unavailable-legal"], C::RegionDenied),
        ];
        for (status, codes, expected) in table {
            for code in codes {
                assert_eq!(class(status, &problem(code)), (expected, format!("vonage_messages {code}")));
            }
        }
    }

    #[test]
    fn a_wrong_parameter_is_the_numbers_fault_if_it_is_the_recipient() {
        for (name, expected) in [("to", SendClass::InvalidNumber), ("from", SendClass::BadConfig)] {
            let mut body: serde_json::Value = serde_json::from_str(&problem("1020")).unwrap();
            body["invalid_parameters"] = serde_json::json!([{ "name": name, "reason": "is not good" }]);
            assert_eq!(class(422, &body.to_string()).0, expected, "{name}");
        }
    }

    #[test]
    fn without_a_code_the_status_speaks_but_never_against_the_number() {
        use SendClass as C;
        for (status, expected) in [
            (307, C::BadConfig),
            (401, C::AuthFailed),
            (402, C::InsufficientCredit),
            (422, C::BadConfig),
            (429, C::Throttled),
            (500, C::ProviderDown),
        ] {
            let shown = (expected, format!("vonage_messages http {status}"));
            assert_eq!(class(status, "<html>+98912"), shown);
            assert_eq!(class(status, r#"{"title":"no","type":"about:+98912"}"#), shown);
            let cut = judge(StatusCode::from_u16(status).unwrap(), None).unwrap_err();
            assert_eq!(cut.class, expected, "a refusal whose body breaks off is still one");
        }
    }
}
