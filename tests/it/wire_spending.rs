//! What is asked of the guard for each send, read from the audit journal: nothing leaves the machine that it was not asked for.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{RECEIPTS_KEY, TestApp};

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

/// The notice of a phone change is a message like any other: money is set aside for it and it stands in the journal.
#[tokio::test]
async fn the_notice_of_a_phone_change_is_paid_for() {
    let app = TestApp::with(JOURNAL).await;
    let token = app.sign_in(TO).await.text("access_token");
    let id = app.post_as(&token, "/v1/me/phone-change", json!({ "to": "+12025550123" })).await.is(201).text("id");
    let code = json!({ "code": app.gateway.code("+12025550123") });
    app.post_as(&token, &format!("/v1/verifications/{id}/check"), code).await.is(200);
    app.gateway.arrived(3).await;
    let settled = app.journal("settled").await;
    let costs: Vec<_> = settled.iter().map(|line| line["cost"].as_u64().unwrap()).collect();
    assert_eq!(costs, [10_000, 10_000, 10_000]);
}

/// A text is counted as it will be sent: "10 minutes" is a character longer than "1 minute".
#[tokio::test]
async fn parts_are_counted_of_the_text_that_is_sent() {
    let padding = "and so on ".repeat(15);
    // Of 160 characters with one digit of minutes, and code and blank: one part.
    let template = format!("sms.templates.en = {{code}} {{minutes}} {padding}!");
    let app = TestApp::with(&format!("{JOURNAL}\n{template}")).await;
    for (to, ttl) in [("+989120000001", 60), ("+989120000002", 600)] {
        app.post("/v1/verifications", json!({ "to": to, "ttl": ttl })).await.is(201);
    }
    let lengths: Vec<_> = app.gateway.sent().iter().map(|(_, text)| text.len()).collect();
    let asked = app.journal("asked").await;
    let parts: Vec<_> = asked.iter().map(|line| line["parts"].as_u64().unwrap()).collect();
    assert_eq!((lengths, parts), (vec![160, 161], vec![1, 2]));
}

/// Channel auto: of a code that was given nothing further is asked, whatever a receipt says later.
#[tokio::test]
async fn an_answered_message_is_not_asked_for_again() {
    let app = TestApp::with_all_channels(JOURNAL).await;
    let id = app.post("/v1/verifications", json!({ "to": TO, "channel": "auto" })).await.is(201).text("id");
    app.check(&id, &app.gateway.code(TO)).await.is(200);
    let late = json!({ "reference": app.gateway.references()[0], "state": "undelivered" });
    app.post_as(RECEIPTS_KEY, "/v1/receipts/simulated", late).await.is(204);
    // Behind the watcher that the receipt has woken.
    app.start_for("+989120000001").await;
    let asked = app.journal("asked").await;
    assert_eq!(asked.len(), 2, "{asked:?}");
}

/// v1.md: a retry with the same key is answered from what was kept, whatever the guard says meanwhile.
#[tokio::test]
async fn a_retry_is_answered_when_nothing_more_may_be_sent() {
    let app = TestApp::with("spend.per_day = 0.01\nspend.default_price = 0.01\nspend.budget = enforce").await;
    let first = app.post_once("once", "/v1/verifications", json!({ "to": TO })).await.is(201);
    for _ in 0..2 {
        let again = app.post_once("once", "/v1/verifications", json!({ "to": TO })).await.is(201);
        assert_eq!((again.text("id"), again.header("idempotency-replayed")), (first.text("id"), "true"));
    }
    let other = json!({ "to": TO, "purpose": "other" });
    app.post_once("once", "/v1/verifications", other.clone()).await.refused(422, "idempotency_key_reused");
    app.post_once("twice", "/v1/verifications", other).await.refused(503, "no_route_available");
    assert_eq!(app.gateway.sent().len(), 1);
}
