//! What an answer of SNS means: pure, from status and body to an outcome.
//!
//! security 111: a message is taken only if the XML of a success is whole and has an id; an error in it speaks whatever
//! HTTP says. Never quotes the body in an error: its message may repeat the number.

use reqwest::StatusCode;

use crate::sms::{
    Accepted, SendClass, SendError,
    outbound::{by_status, is_id},
};

/// Judges an answer. `body` is `None` if it could not be read to its end within the limits.
pub(super) fn judge(status: StatusCode, body: Option<&[u8]>) -> Result<Accepted, SendError> {
    let text = body.and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
    if let Some(error) = element(text, "ErrorResponse").and_then(|error| element(error, "Error")) {
        return Err(refusal(status, error));
    }
    if !status.is_success() {
        return Err(SendError::new(by_status(status.as_u16()), format!("sns http {}", status.as_u16())));
    }
    let Some(result) = element(text, "PublishResponse").and_then(|response| element(response, "PublishResult")) else {
        return Err(SendError::new(SendClass::UnknownOutcome, "sns unreadable success"));
    };
    match element(result, "MessageId").filter(|id| is_id(id)) {
        Some(id) => Ok(Accepted { provider_id: Some(id.to_owned()) }),
        None => Err(SendError::new(SendClass::UnknownOutcome, "sns success without id")),
    }
}

fn refusal(status: StatusCode, error: &str) -> SendError {
    let code = element(error, "Code").unwrap_or_default();
    let message = element(error, "Message").unwrap_or_default();
    // A code nobody has heard of, in a success of HTTP: by_status calls that unknown.
    let class = by_code(code, message).unwrap_or_else(|| by_status(status.as_u16()));
    let plain = is_id(code) && code.bytes().any(|byte| byte.is_ascii_alphabetic());
    SendError::new(class, if plain { format!("sns {code}") } else { format!("sns http {}", status.as_u16()) })
}

/// What stands in the first element of this name. SNS writes neither comments nor CDATA, and what is read out is held to
/// its form, so that no XML library is needed for three names.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let open = format!("<{name}");
    let inner = xml.match_indices(&open).find_map(|(at, _)| {
        let rest = xml.get(at + open.len()..)?;
        // Attributes (a namespace) may follow, but no longer name.
        let (attributes, inner) = rest.split_once('>')?;
        let ends = attributes.is_empty() || attributes.starts_with(|letter: char| letter.is_ascii_whitespace());
        (ends && !attributes.ends_with('/')).then_some(inner)
    })?;
    inner.split_once(&format!("</{name}>")).map(|(inner, _)| inner.trim())
}

/// The table of `providers.md` section 6, and the codes that all services of AWS share.
fn by_code(code: &str, message: &str) -> Option<SendClass> {
    let class = match code {
        // Our other parameters are of their form, so only the recipient is the person's.
        "InvalidParameter"
        | "InvalidParameterValue"
        | "ParameterValueInvalid"
        | "ValidationException"
        | "ValidationError"
        | "UserError"
            if message.contains("PhoneNumber") =>
        {
            SendClass::InvalidNumber
        }
        "InvalidParameter"
        | "InvalidParameterValue"
        | "ParameterValueInvalid"
        | "ValidationException"
        | "ValidationError"
        | "UserError"
        | "InvalidAction"
        | "MissingAction"
        | "MissingParameter"
        | "NotFound"
        | "EndpointDisabled"
        | "PlatformApplicationDisabled" => SendClass::BadConfig,
        "OptedOut" => SendClass::OptedOut,
        "AuthorizationError"
        | "InvalidSecurity"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "AccessDenied"
        | "AccessDeniedException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "UnrecognizedClientException" => SendClass::AuthFailed,
        "Throttled" | "Throttling" | "ThrottlingException" | "ThrottledException" => SendClass::Throttled,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" => SendClass::ProviderDown,
        kms if kms.starts_with("KMS") => SendClass::BadConfig,
        _ => return None,
    };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: &str = "xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"";

    fn judged(status: u16, body: &str) -> Result<Accepted, SendError> {
        judge(StatusCode::from_u16(status).unwrap(), Some(body.as_bytes()))
    }

    fn class(status: u16, body: &str) -> (SendClass, String) {
        let error = judged(status, body).unwrap_err();
        (error.class, error.detail)
    }

    fn success(result: &str) -> String {
        format!(
            "<PublishResponse {NAMESPACE}>\n  <PublishResult>{result}</PublishResult>\n  <ResponseMetadata>\n    \
             <RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId>\n  </ResponseMetadata>\n</PublishResponse>\n"
        )
    }

    fn error(code: &str, message: &str) -> String {
        format!(
            "<ErrorResponse {NAMESPACE}><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
             </Error><RequestId>9dd01905-5012-5f99-8663-4b3ecd0dfaef</RequestId></ErrorResponse>"
        )
    }

    #[test]
    fn a_message_with_an_id_is_taken() {
        for result in [
            "<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId>",
            "\n    <MessageId>\n94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId>\n  ",
        ] {
            let id = judged(200, &success(result)).unwrap().provider_id;
            assert_eq!(id.as_deref(), Some("94f20ce6-13c5-43a0-9a9e-ca52d816e90b"));
        }
    }

    /// security 111: what is cut off or has no id proves nothing.
    #[test]
    fn successes_that_are_none() {
        let whole = success("<MessageId>94f20ce6</MessageId>");
        let unreadable = "sns unreadable success";
        for (body, detail) in [
            (String::new(), unreadable),
            ("<html>PublishResponse</html>".to_owned(), unreadable),
            ("{}".to_owned(), unreadable),
            ("<PublishResponse/>".to_owned(), unreadable),
            ("<PublishResponses><PublishResult></PublishResult></PublishResponses>".to_owned(), unreadable),
            (whole.replace("</PublishResponse>", ""), unreadable),
            (whole.replace("</PublishResult>", ""), unreadable),
            (success(""), "sns success without id"),
            (success("<MessageId></MessageId>"), "sns success without id"),
            (success("<MessageId>a b</MessageId>"), "sns success without id"),
            (error("Unheard", "?"), "sns Unheard"),
        ] {
            assert_eq!(class(200, &body), (SendClass::UnknownOutcome, detail.to_owned()), "{body}");
        }
        assert_eq!(judge(StatusCode::OK, None).unwrap_err().class, SendClass::UnknownOutcome);
    }

    /// Every code of `providers.md` section 6, in its status and inside a success.
    #[test]
    fn codes_and_their_classes() {
        use SendClass as C;
        for (status, code, expected) in [
            (400, "InvalidParameter", C::BadConfig),
            (400, "ParameterValueInvalid", C::BadConfig),
            (400, "ValidationException", C::BadConfig),
            (400, "UserError", C::BadConfig),
            (400, "OptedOut", C::OptedOut),
            (403, "AuthorizationError", C::AuthFailed),
            (403, "InvalidSecurity", C::AuthFailed),
            (403, "InvalidClientTokenId", C::AuthFailed),
            (403, "SignatureDoesNotMatch", C::AuthFailed),
            (429, "Throttled", C::Throttled),
            (400, "Throttling", C::Throttled),
            (500, "InternalError", C::ProviderDown),
            (503, "ServiceUnavailable", C::ProviderDown),
            (400, "KMSDisabled", C::BadConfig),
            (404, "NotFound", C::BadConfig),
            (400, "EndpointDisabled", C::BadConfig),
            (400, "PlatformApplicationDisabled", C::BadConfig),
        ] {
            for status in [status, 200] {
                let body = error(code, "Invalid parameter: Message Reason: empty");
                assert_eq!(class(status, &body), (expected, format!("sns {code}")), "{status}");
            }
        }
        assert_eq!(class(402, &error("Unheard", "?")), (C::InsufficientCredit, "sns Unheard".to_owned()));
    }

    /// A parameter that is not liked can be the number, which is not quoted.
    #[test]
    fn a_recipient_that_is_blamed_is_the_numbers_fault() {
        let message = "Invalid parameter: PhoneNumber Reason: +989123456789 is not valid to publish to";
        let shown = class(400, &error("InvalidParameter", message));
        assert_eq!(shown, (SendClass::InvalidNumber, "sns InvalidParameter".to_owned()));
        // What is no code is not quoted either.
        for code in ["+989123456789", "989123456789", ""] {
            assert_eq!(class(400, &error(code, message)), (SendClass::BadConfig, "sns http 400".to_owned()));
        }
    }

    #[test]
    fn without_a_verdict_a_failure_of_http_speaks() {
        use SendClass as C;
        for (status, expected) in
            [(307, C::BadConfig), (403, C::AuthFailed), (429, C::Throttled), (503, C::ProviderDown)]
        {
            for body in ["", "<html>", "<ErrorResponse><Error>"] {
                assert_eq!(class(status, body), (expected, format!("sns http {status}")), "{body}");
            }
        }
    }
}
