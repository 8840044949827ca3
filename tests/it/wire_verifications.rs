//! `/v1/verifications…`: the thin path first.

use serde_json::json;

use crate::harness::TestApp;

/// The whole way: start, code by SMS, check, receipt, tokens, profile.
#[tokio::test]
async fn a_code_becomes_tokens_and_a_profile() {
    let app = TestApp::start().await;
    let id = app.start_for("+989123456789").await;
    let code = app.gateway.code("+989123456789");
    let checked = app.post(&format!("/v1/verifications/{id}/check"), json!({ "code": code })).await;
    assert_eq!((checked.status, checked.text("status").as_str()), (200, "approved"));
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let tokens = app.post("/oauth/token", json!({ "grant_type": grant, "assertion": checked.text("receipt") })).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let me = app.get_as(&tokens.text("access_token"), "/v1/me").await;
    assert_eq!(me.text("phone_number"), "+989123456789");
}

/// security 3: eight digits by configuration, end to end; and six are no longer a code.
#[tokio::test]
async fn eight_digits_are_a_setting() {
    let app = TestApp::with("codes.digits = 8").await;
    let id = app.start_for("+989123456789").await;
    let code = app.gateway.code("+989123456789");
    assert_eq!(code.len(), 8);
    let path = format!("/v1/verifications/{id}/check");
    app.post(&path, json!({ "code": &code[..6] })).await.refused(400, "code_format");
    assert_eq!(app.post(&path, json!({ "code": code })).await.text("status"), "approved");
}
