//! What is asked of the guard for each send, read from the audit journal: nothing leaves the machine that it was not asked for.

use std::fs;

use serde_json::{Value, json};

use crate::harness::TestApp;

const TO: &str = "+989123456789";
const JOURNAL: &str = "audit.journal = on\nspend.budget = enforce\nspend.default_price = 0.01\nspend.per_day = 1000";

impl TestApp {
    /// Stops the server; the journal's lines of that type.
    async fn journal(self, kind: &str) -> Vec<Value> {
        let data = self.stop_and_keep().await;
        let files = fs::read_dir(data.path().join("audit")).unwrap().map(|entry| entry.unwrap().path());
        let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["type"] == kind).collect()
    }
}

/// A resend goes by the challenge's own channel unless it names another, and that is what money is set aside for.
#[tokio::test]
async fn a_resend_is_paid_for_by_the_channel_it_goes_by() {
    let app = TestApp::with_all_channels(JOURNAL).await;
    let id = app.post("/v1/verifications", json!({ "to": TO, "channel": "voice" })).await.is(201).text("id");
    app.wait_s(30);
    app.resend(&id).await.is(200);
    app.wait_s(60);
    app.post(&format!("/v1/verifications/{id}/resend"), json!({ "channel": "whatsapp" })).await.is(200);
    let asked = app.journal("asked").await;
    let channels: Vec<_> = asked.iter().map(|line| line["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["voice", "voice", "whatsapp"]);
    assert!(asked.iter().all(|line| line["tries_max"] == 1), "one gateway is asked once: {asked:?}");
}

/// security 36, 37: other countries and kinds of number get nothing, at every door in its own form, and nobody is asked.
#[tokio::test]
async fn a_destination_that_is_not_permitted() {
    let app = TestApp::with("sms.allowed_countries = IR").await;
    app.post("/v1/verifications", json!({ "to": "+4915112345678" })).await.refused(403, "destination_not_permitted");
    let body = json!({ "phone": "+4915112345678", "verification_type": "login" });
    let refused = app.post("/api/users/send-otp/", body).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!((app.gateway.sent().len(), app.counting.changes()), (0, 0));
    app.start_for(TO).await;

    // Premium rate in Great Britain: refused by its kind, wherever messages may go.
    let app = TestApp::start().await;
    app.post("/v1/verifications", json!({ "to": "+449012345678" })).await.refused(403, "destination_not_permitted");
    assert_eq!(app.gateway.sent().len(), 0);
}

/// security 39: at the cap no message goes out, checks still work, and the next day begins anew.
#[tokio::test]
async fn a_spent_budget_ends_sends_and_nothing_else() {
    let rules = "spend.per_day = 0.03\nspend.default_price = 0.01\nspend.budget = enforce";
    let app = TestApp::with(rules).await;
    let mut ids = Vec::new();
    for nth in 0..3 {
        ids.push(app.start_for(&format!("+98912345678{nth}")).await);
    }
    let refused = app.post("/v1/verifications", json!({ "to": "+989123456783" })).await;
    let wait = refused.refused(503, "no_route_available").body["retry_after"].as_u64().unwrap();
    assert_eq!(wait, 86_400, "the clock stands at midnight UTC");
    let failed = app.post("/api/auth/send-otp/", json!({ "phone_number": "+989123456784" })).await;
    assert!(failed.status >= 500 && failed.status < 504, "as a send that failed: {failed:?}");
    app.check(&ids[0], &app.gateway.code("+989123456780")).await.is(200);
    assert_eq!(app.gateway.sent().len(), 3);
    app.wait_s(86_400);
    app.start_for("+989123456783").await;
}

/// A certain failure gives its money back; one that may have been sent is paid for.
#[tokio::test]
async fn what_was_not_sent_is_not_paid_for() {
    use crate::harness::Script;
    use otpd::sms::SendClass;
    let rules = "spend.per_day = 0.02\nspend.default_price = 0.01\nspend.budget = enforce";
    let app = TestApp::with(rules).await;
    for nth in 0..5 {
        app.gateway.next([Script::Fail(SendClass::RegionDenied)]);
        app.post("/v1/verifications", json!({ "to": format!("+98912345670{nth}") })).await.is(502);
    }
    app.gateway.next([Script::Fail(SendClass::UnknownOutcome)]);
    app.post("/v1/verifications", json!({ "to": "+989123456710" })).await.is(504);
    app.start_for("+989123456711").await;
    let last = app.post("/v1/verifications", json!({ "to": "+989123456712" })).await;
    last.refused(503, "no_route_available");
}
