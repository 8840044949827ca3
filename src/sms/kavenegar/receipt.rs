//! Kavenegar's delivery pushes: unsigned, so each is only a hint to ask `sms/status` about the message (`providers.md`
//! section 3).

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::sms::{
    outbound::is_id,
    receipt::{Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState, params},
};

/// Most messages asked after at once, of `sms/status`'s own 500; a push names one.
const IDS_MAX: usize = 100;

/// The messages that a push is about, each once.
pub(super) fn ids(request: &ReceiptRequest<'_>) -> Result<Vec<String>, ReceiptRefused> {
    let params = params::all(request).ok_or(ReceiptRefused::Unreadable)?;
    let named = params.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("messageid"));
    let mut ids: Vec<String> =
        named.flat_map(|(_, ids)| ids.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    ids.sort();
    ids.dedup();
    // Only what is an id may reach the request's list.
    let sound = (1..=IDS_MAX).contains(&ids.len()) && ids.iter().all(|id| is_id(id));
    if sound { Ok(ids) } else { Err(ReceiptRefused::Unreadable) }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "return")]
    verdict: Verdict,
    #[serde(default)]
    entries: Vec<Value>,
}

#[derive(Deserialize)]
struct Verdict {
    status: u32,
}

/// `return.status` of a request that was answered.
const ANSWERED: u32 = 200;

/// What `sms/status` says of those messages, and of no other.
pub(super) fn states(ids: &[String], status: StatusCode, body: Option<&[u8]>) -> Result<Vec<Receipt>, ReceiptRefused> {
    let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(body).ok());
    let answered = answer.filter(|answer| status.is_success() && answer.verdict.status == ANSWERED);
    let entries = answered.ok_or(ReceiptRefused::Unconfirmed)?.entries;
    Ok(entries.iter().filter_map(|entry| receipt(ids, entry)).collect())
}

fn receipt(ids: &[String], entry: &Value) -> Option<Receipt> {
    let member = |name: &str| match entry.get(name)? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let id = member("messageid").filter(|id| ids.contains(id))?;
    let state = state(member("status")?.parse().ok()?)?;
    Some(Receipt { of: ReceiptOf::ProviderId(id), state, price_micros: None })
}

/// The states of `providers.md` section 3; queued and scheduled are no news, and an id that is none says nothing.
fn state(status: u32) -> Option<ReceiptState> {
    match status {
        // At the centre, at the carrier.
        4 | 5 => Some(ReceiptState::Sent),
        10 => Some(ReceiptState::Delivered),
        // Failed, undelivered, called off, filtered.
        6 | 11 | 13 | 14 => Some(ReceiptState::Undelivered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use super::*;

    fn ids_of(query: &str, body: &str) -> Result<Vec<String>, ReceiptRefused> {
        let (headers, from) = (HeaderMap::new(), std::net::Ipv4Addr::LOCALHOST.into());
        let body = body.as_bytes();
        ids(&ReceiptRequest { url: "", query, secret: None, from, headers: &headers, body, now_s: 0 })
    }

    #[test]
    fn pushes_name_messages() {
        let ids = |ids: &[&str]| Ok(ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(ids_of("messageid=8792343&status=10", ""), ids(&["8792343"]));
        assert_eq!(ids_of("", "messageid=8792343&status=10"), ids(&["8792343"]));
        assert_eq!(ids_of("", r#"{"messageid":8792343,"status":10}"#), ids(&["8792343"]));
        assert_eq!(ids_of("messageid=2,1", "MessageId=1"), ids(&["1", "2"]));
        let many = (0..101).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        for no in ["", "status=10", "messageid=", "messageid=1%2C", "messageid=a%26b", &format!("messageid={many}")] {
            assert_eq!(ids_of(no, ""), Err(ReceiptRefused::Unreadable), "{no}");
        }
        assert_eq!(ids_of("", "{"), Err(ReceiptRefused::Unreadable));
    }

    fn said(status: u16, body: &Value) -> Result<Vec<Receipt>, ReceiptRefused> {
        let ids = ["1".to_owned(), "2".to_owned()];
        states(&ids, StatusCode::from_u16(status).unwrap(), Some(body.to_string().as_bytes()))
    }

    /// Every state, and only of what was asked for.
    #[test]
    fn states_of_messages() {
        use ReceiptState::{Delivered, Sent, Undelivered};
        for (status, expected) in [
            (1, None),
            (2, None),
            (4, Some(Sent)),
            (5, Some(Sent)),
            (6, Some(Undelivered)),
            (10, Some(Delivered)),
            (11, Some(Undelivered)),
            (13, Some(Undelivered)),
            (14, Some(Undelivered)),
            (50, None),
            (100, None),
        ] {
            let entries =
                json!([{ "messageid": 1, "status": status, "statustext": "x" }, { "messageid": 3, "status": 10 }]);
            let receipts = said(200, &json!({ "return": { "status": 200, "message": "x" }, "entries": entries }));
            let of = |state| Receipt { of: ReceiptOf::ProviderId("1".to_owned()), state, price_micros: None };
            assert_eq!(receipts, Ok(expected.map(of).into_iter().collect()), "{status}");
        }
        for (status, body) in [
            (200, json!({ "return": { "status": 403 } })),
            (500, json!({ "return": { "status": 200 }, "entries": [] })),
            (200, json!({})),
            (200, json!("x")),
        ] {
            assert_eq!(said(status, &body), Err(ReceiptRefused::Unconfirmed), "{body}");
        }
        assert_eq!(states(&[], StatusCode::OK, None), Err(ReceiptRefused::Unconfirmed));
    }
}
