//! How Twilio words its answers: whole, because real clients read more of them than our gateways do.

use serde_json::{Value, json};

use super::rules::{ACCOUNT_SID, Asked, Kind, VERIFY_SID};

/// Times as the 2010 API gives them (RFC 2822), and as Verify does (ISO 8601).
const RFC_2822: &str = "Fri, 20 Nov 2026 17:00:00 +0000";
const ISO_8601: &str = "2026-11-20T17:00:00Z";

/// The resource that a request made.
pub(super) fn created(asked: &Asked, sid: &str) -> String {
    let field = |name| asked.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    match asked.kind {
        Kind::Message => json!({
            "account_sid": ACCOUNT_SID, "api_version": "2010-04-01", "body": asked.body, "date_created": RFC_2822,
            "date_sent": null, "date_updated": RFC_2822, "direction": "outbound-api", "error_code": null,
            "error_message": null, "from": field("From"), "messaging_service_sid": field("MessagingServiceSid"),
            "num_media": "0", "num_segments": "1", "price": null, "price_unit": "USD", "sid": sid, "status": "queued",
            "subresource_uris": { "media": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sid}/Media.json") },
            "to": asked.to, "uri": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sid}.json"),
        }),
        Kind::Call => json!({
            "account_sid": ACCOUNT_SID, "annotation": null, "answered_by": null, "api_version": "2010-04-01",
            "caller_name": null, "date_created": null, "date_updated": null, "direction": "outbound-api",
            "duration": null, "end_time": null, "forwarded_from": null, "from": field("From"),
            "from_formatted": field("From"), "group_sid": null, "parent_call_sid": null, "phone_number_sid": null,
            "price": null, "price_unit": "USD", "queue_time": "0", "sid": sid, "start_time": null, "status": "queued",
            "subresource_uris": {}, "to": asked.to, "to_formatted": asked.to, "trunk_sid": null,
            "uri": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{sid}.json"),
        }),
        Kind::Verification => verification(sid, &asked.to, field("Channel"), "pending"),
        Kind::Feedback => Value::Null,
    }
    .to_string()
}

/// A verification that has ended.
pub(super) fn ended(asked: &Asked, to: &str) -> String {
    verification(&asked.to, to, Some("sms"), &asked.body).to_string()
}

fn verification(sid: &str, to: &str, channel: Option<&str>, status: &str) -> Value {
    json!({
        "sid": sid, "service_sid": VERIFY_SID, "account_sid": ACCOUNT_SID, "to": to, "channel": channel,
        "status": status, "valid": status == "approved", "lookup": {}, "amount": null, "payee": null, "sna": null,
        "send_code_attempts": [{ "time": ISO_8601, "channel": channel, "attempt_sid": format!("VL{}", sid.get(2..)
            .unwrap_or_default()) }],
        "date_created": ISO_8601, "date_updated": ISO_8601,
        "url": format!("https://verify.twilio.com/v2/Services/{VERIFY_SID}/Verifications/{sid}"),
    })
}

/// The same resource, failed for this reason.
pub(super) fn failed(created: &str, code: u32) -> String {
    let mut resource: serde_json::Map<String, Value> = serde_json::from_str(created).expect("the fake's own answer");
    resource.insert("status".to_owned(), json!("failed"));
    resource.insert("error_code".to_owned(), json!(code));
    Value::Object(resource).to_string()
}

/// Twilio's error body; like the real one it repeats what it was sent.
pub(super) fn error(status: u16, code: u32, parameter: &str) -> String {
    let message = match code {
        60200 => format!("Invalid parameter `{parameter}`: +989123456789"),
        60203 => "Max send attempts reached".to_owned(),
        20003 => "Authenticate".to_owned(),
        20429 => "Too Many Requests".to_owned(),
        _ => "The 'To' number is not valid".to_owned(),
    };
    let about = format!("https://www.twilio.com/docs/errors/{code}");
    json!({ "code": code, "message": message, "more_info": about, "status": status }).to_string()
}
