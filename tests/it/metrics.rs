//! `/metrics` after a known flow: every name, and values that equal what happened (`v1.md`, Operations; DESIGN 6).

use serde_json::json;

use crate::{
    harness_tokens::{ANNA, BELA, JWT_BEARER},
    spawned::Spawned,
};

/// The value of a series; 0 if it is not there.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn other_than(code: &str) -> String {
    code.chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect()
}

/// Two starts, a resend too early, wrong and right checks, an exchange, a short cut, a refresh, refused callers.
async fn flow(otpd: &Spawned) -> Vec<String> {
    let (id, code) = otpd.start_for(ANNA, "login").await;
    let check = format!("/v1/verifications/{id}/check");
    otpd.post(&check, json!({ "code": other_than(&code) })).await.refused(400, "code_incorrect");
    otpd.post(&check, json!({ "code": other_than(&code) })).await.refused(400, "code_incorrect");
    otpd.post(&format!("/v1/verifications/{id}/resend"), json!({})).await.refused(429, "send_limited");
    let receipt = otpd.post(&check, json!({ "code": code })).await.text("receipt");
    otpd.post(&check, json!({ "code": code })).await.refused(409, "already_approved");
    let grant = json!({ "grant_type": JWT_BEARER, "assertion": receipt });
    let refresh = otpd.post("/oauth/token", grant).await.text("refresh_token");
    let grant = json!({ "grant_type": "refresh_token", "refresh_token": refresh });
    assert_eq!(otpd.post("/oauth/token", grant).await.status, 200);
    let (id, code) = otpd.start_for(BELA, "my-purpose").await;
    let body = json!({ "verification_id": id, "code": code });
    otpd.post("/v1/sessions", body).await.refused(400, "invalid_field");
    otpd.post("/v1/verifications", json!({ "to": "x" })).await.refused(422, "number_invalid");
    otpd.post("/v1/verifications", json!({ "to": BELA, "custom_code": "1234" })).await.refused(403, "scope");
    otpd.post_as("sk_x", "/v1/verifications", json!({ "to": BELA })).await.refused(401, "invalid_key");
    vec![id]
}

#[tokio::test]
async fn figures_equal_what_happened() {
    let otpd = Spawned::start(tempfile::tempdir().unwrap()).await;
    let ids = flow(&otpd).await;
    let metrics = otpd.metrics().await;
    let issued =
        |purpose: &str| format!(r#"otpd_codes_issued_total{{dialect="v1",purpose="{purpose}",channel="sms"}}"#);
    let checks = |outcome: &str| format!(r#"otpd_code_checks_total{{dialect="v1",outcome="{outcome}"}}"#);
    let refusals = |reason: &str| format!(r#"otpd_refusals_total{{dialect="v1",reason="{reason}"}}"#);
    let tokens = |kind: &str| format!(r#"otpd_tokens_issued_total{{kind="{kind}"}}"#);
    let read = |outcome: &str| format!(r#"otpd_tokens_read_total{{kind="receipt",outcome="{outcome}"}}"#);
    let requests = |route: &str, status: u16| {
        format!(r#"otpd_http_requests_total{{route="{route}",method="POST",status="{status}"}}"#)
    };
    let check = "/v1/verifications/{id}/check";
    for (series, expected) in [
        (issued("login"), 1.0),
        (issued("other"), 1.0),
        (issued("signup"), 0.0),
        (checks("incorrect"), 2.0),
        (checks("approved"), 1.0),
        (checks("already_approved"), 1.0),
        (checks("closed"), 1.0),
        (refusals("cooldown"), 1.0),
        (refusals("number"), 1.0),
        (refusals("scope"), 1.0),
        (refusals("key"), 1.0),
        (refusals("send_window"), 0.0),
        (tokens("receipt"), 1.0),
        (tokens("access"), 2.0),
        (tokens("refresh"), 2.0),
        (read("known"), 1.0),
        (read("checked"), 0.0),
        (r#"otpd_sms_sends_total{route="console",outcome="accepted"}"#.to_owned(), 2.0),
        (r#"otpd_sms_send_seconds_count{route="console"}"#.to_owned(), 2.0),
        ("otpd_time_to_verify_seconds_count".to_owned(), 1.0),
        ("otpd_phone_actors".to_owned(), 2.0),
        ("otpd_phone_activations_total".to_owned(), 2.0),
        ("otpd_phone_actor_failures_total".to_owned(), 0.0),
        (requests("/v1/verifications", 201), 2.0),
        (requests(check, 400), 2.0),
        (requests(check, 200), 1.0),
        (requests(check, 409), 1.0),
        (requests("/oauth/token", 200), 2.0),
    ] {
        assert_eq!(value(&metrics, &series), expected, "{series}\n{metrics}");
    }
    for name in ["otpd_commit_batch_size_count", "otpd_commit_seconds_count", "process_resident_memory_bytes"] {
        assert!(value(&metrics, name) > 0.0, "{name}\n{metrics}");
    }
    for metric in otpd::metrics::TABLE {
        // What has never happened has no series yet; what exists is described.
        let described = metrics.contains(&format!("# HELP {} ", metric.name));
        assert!(described || !metrics.contains(metric.name), "{}", metric.name);
    }
    // security 100: no number, no address, no id.
    let id = ids[0].as_str();
    for private in ["9121234567", "15112345678", "127.0.0.1", id, id.trim_start_matches("ver_"), "my-purpose"] {
        assert!(!metrics.contains(private), "{private}");
    }
}
