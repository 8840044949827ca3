//! mShastra's delivery callbacks: unsigned JSON (`providers.md` section 4), let in by the secret in their path.
//!
//! The provider's documentation of them is thin and its clients disagree about names, so several spellings are read, and
//! the states are those of SMPP receipts, which every such service passes on.

use serde_json::Value;

use crate::sms::{
    outbound::is_id,
    receipt::{Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState, params},
};

/// Names of the provider's id of the message, in small letters without separators.
const IDS: [&str; 3] = ["msgid", "messageid", "id"];
/// Names of the state.
const STATES: [&str; 4] = ["status", "dlrstatus", "dlr", "state"];

/// Reads a callback: one object, a list of them, or a form.
pub(super) fn read(request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
    let entries = match serde_json::from_slice(request.body) {
        Ok(Value::Array(entries)) => entries.iter().map(params::flat).collect(),
        _ => Some(params::all(request).into_iter().collect::<Vec<_>>()),
    };
    let entries = entries.filter(|entries| !entries.is_empty()).ok_or(ReceiptRefused::Unreadable)?;
    let receipts = entries.iter().map(|entry| receipt(entry)).collect::<Option<Vec<_>>>();
    Ok(receipts.ok_or(ReceiptRefused::Unreadable)?.into_iter().flatten().collect())
}

/// `None` if it names no message or no state; an inner `None` if the state is no news.
fn receipt(entry: &[(String, String)]) -> Option<Option<Receipt>> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let value = |names: &[&str]| {
        let of = |wanted: &&str| entry.iter().find(|(name, _)| plain(name) == *wanted).map(|(_, value)| value.trim());
        names.iter().find_map(of)
    };
    let id = value(&IDS).filter(|id| is_id(id))?.to_owned();
    let state = state(value(&STATES)?);
    Some(state.map(|state| Receipt { of: ReceiptOf::ProviderId(id), state, price_micros: None }))
}

fn state(status: &str) -> Option<ReceiptState> {
    match status.to_ascii_uppercase().as_str() {
        "DELIVRD" | "DELIVERED" => Some(ReceiptState::Delivered),
        "SENT" | "SUBMITTED" | "ACCEPTD" | "ACCEPTED" | "ENROUTE" | "BUFFERED" => Some(ReceiptState::Sent),
        "UNDELIV" | "UNDELIVERED" | "EXPIRED" | "REJECTD" | "REJECTED" | "DELETED" | "FAILED" => {
            Some(ReceiptState::Undelivered)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn read_it(query: &str, body: &str) -> Result<Vec<Receipt>, ReceiptRefused> {
        let (headers, from) = (HeaderMap::new(), std::net::Ipv4Addr::LOCALHOST.into());
        let body = body.as_bytes();
        read(&ReceiptRequest { url: "", query, secret: None, from, headers: &headers, body, now_s: 0 })
    }

    fn of(id: &str, state: ReceiptState) -> Receipt {
        Receipt { of: ReceiptOf::ProviderId(id.to_owned()), state, price_micros: None }
    }

    #[test]
    fn spellings_that_are_read() {
        use ReceiptState::{Delivered, Sent, Undelivered};
        let one = Ok(vec![of("123-a", Delivered)]);
        assert_eq!(read_it("", r#"{"msg_id":"123-a","status":"DELIVRD","number":"989123456789"}"#), one);
        assert_eq!(read_it("", r#"{"MessageId":"123-a","DlrStatus":"Delivered"}"#), one);
        assert_eq!(read_it("", "msgid=123-a&status=delivered"), one);
        assert_eq!(read_it("msgid=123-a&status=delivered", ""), one);
        let many = r#"[{"msg_id":1,"status":"SENT"},{"msg_id":2,"status":"UNDELIV"},{"msg_id":3,"status":"unknown"}]"#;
        assert_eq!(read_it("", many), Ok(vec![of("1", Sent), of("2", Undelivered)]));
        for no in
            ["", "[]", "{}", "[1]", r#"{"msg_id":"1"}"#, r#"{"status":"SENT"}"#, r#"{"msg_id":"a b","status":"SENT"}"#]
        {
            assert_eq!(read_it("", no), Err(ReceiptRefused::Unreadable), "{no}");
        }
    }

    #[test]
    fn states() {
        use ReceiptState::{Delivered, Sent, Undelivered};
        for (words, expected) in [
            (&["DELIVRD", "delivered"][..], Some(Delivered)),
            (&["SENT", "submitted", "ACCEPTD", "accepted", "ENROUTE", "buffered"], Some(Sent)),
            (&["UNDELIV", "EXPIRED", "REJECTD", "rejected", "DELETED", "failed", "undelivered"], Some(Undelivered)),
            (&["UNKNOWN", "", "0"], None),
        ] {
            for word in words {
                assert_eq!(state(word), expected, "{word}");
            }
        }
    }
}
