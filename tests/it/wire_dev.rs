//! `dev.show_codes`: the one way in which a code gets into an answer.

use otpd::settings::Settings;
use serde_json::json;

use crate::{answer_rules, harness::TestApp};

const TO: &str = "+989123456789";

/// security 7: under the switch a start and a resend show the code that was sent; reads, checks and replays never do.
/// Without it no answer of any test of this binary holds one (`answer_rules`).
#[tokio::test]
async fn codes_are_shown_under_the_switch_alone() {
    let app = TestApp::with("dev.show_codes = true").await;
    let started = app.post_once("k", "/v1/verifications", json!({ "to": TO })).await.is(201);
    let code = app.gateway.code(TO);
    assert_eq!(started.text("code"), code);
    let id = started.text("id");
    assert!(!app.post_once("k", "/v1/verifications", json!({ "to": TO })).await.is(201).raw.contains(&code));
    assert!(!app.get(&format!("/v1/verifications/{id}")).await.is(200).raw.contains(&code));
    app.wait_s(30);
    assert_eq!(app.resend(&id).await.is(200).text("code"), code);
    let approved = app.check(&id, &code).await.is(200);
    assert!(approved.body.get("code").is_none());
    let app = TestApp::start().await;
    let started = app.post("/v1/verifications", json!({ "to": TO })).await.is(201);
    assert!(started.body.get("code").is_none());
}

/// the search that every answer of this binary goes through finds a code when there is one.
#[tokio::test]
#[should_panic(expected = "a code in an answer")]
async fn a_code_in_an_answer_would_be_found() {
    let app = TestApp::with("dev.show_codes = true").await;
    answer_rules::watch(app.address, &app.gateway);
    app.start_for(TO).await;
}

/// security 7: the switch beside a gateway that really sends refuses to start.
#[test]
fn codes_are_never_shown_beside_a_real_gateway() {
    let twilio = [
        ("OTPD__SMS__GATEWAY", "twilio"),
        ("OTPD__SMS__TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000000"),
        ("OTPD__SMS__TWILIO__AUTH_TOKEN", "00000000000000000000000000000000"),
        ("OTPD__SMS__TWILIO__FROM", "+15005550006"),
    ];
    let load = |show: &str| {
        let pairs = twilio.into_iter().chain([("OTPD__DEV__SHOW_CODES", show)]);
        Settings::load(None, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
    };
    load("false").unwrap();
    let refused = format!("{:?}", load("true").unwrap_err());
    assert!(refused.contains("OTPD__DEV__SHOW_CODES"), "{refused}");
}
