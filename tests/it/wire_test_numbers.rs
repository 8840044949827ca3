//! `[test_numbers]`: everything runs but the send.

use serde_json::json;

use crate::harness::{TestApp, settings};

const LISTED: &str = "+15005550006";
const SETTINGS: &str = "test_numbers.+15005550006 = 271828\nsms.inflight_max = 1";

/// The whole way with a fixed code: nothing is sent and no limit that saves money counts, those on guessing do.
#[tokio::test]
async fn a_listed_number_signs_in_without_a_send() {
    let app = TestApp::with(SETTINGS).await;
    let mut users = Vec::new();
    for _ in 0..30 {
        let started = app.post("/v1/verifications", json!({ "to": LISTED })).await.is(201);
        let delivery = &started.body["deliveries"][0];
        assert_eq!((delivery["route"].as_str(), delivery["status"].as_str()), (Some("test"), Some("accepted")));
        let id = started.text("id");
        app.check(&id, "271829").await.refused(400, "code_incorrect");
        let session = app.post("/v1/sessions", json!({ "verification_id": id, "code": "271828" })).await.is(200);
        let me = app.get_as(&session.text("access_token"), "/v1/me").await.is(200);
        users.push(me.body["user_id"].as_u64().unwrap());
    }
    users.dedup();
    assert_eq!((users.len(), app.gateway.sent().len()), (1, 0));

    // Tries are tries.
    let id = app.start_for(LISTED).await;
    for _ in 0..4 {
        app.check(&id, "000000").await.refused(400, "code_incorrect");
    }
    app.check(&id, "000000").await.refused(429, "max_attempts_reached");
    app.check(&id, "271828").await.refused(429, "max_attempts_reached");
}

/// A number beside it has neither the code nor the freedom.
#[tokio::test]
async fn its_neighbour_is_a_number_like_any_other() {
    let app = TestApp::with(SETTINGS).await;
    let id = app.start_for("+15005550007").await;
    if app.gateway.code("+15005550007") != "271828" {
        app.check(&id, "271828").await.refused(400, "code_incorrect");
    }
    app.post("/v1/verifications", json!({ "to": "+15005550007" })).await.refused(429, "send_limited");
    assert_eq!(app.gateway.sent().len(), 1);
}

/// Her account moves away: the notice to the old number is a message too, and not sent.
#[tokio::test]
async fn a_listed_number_is_told_nothing() {
    let app = TestApp::with(SETTINGS).await;
    let id = app.start_for(LISTED).await;
    let session = app.post("/v1/sessions", json!({ "verification_id": id, "code": "271828" })).await.is(200);
    let (token, new) = (session.text("access_token"), "+12025550123");
    let id = app.post_as(&token, "/v1/me/phone-change", json!({ "to": new })).await.is(201).text("id");
    let code = json!({ "code": app.gateway.code(new) });
    app.post_as(&token, &format!("/v1/verifications/{id}/check"), code).await.is(200);
    let gateway = app.gateway.clone();
    app.stop().await;
    assert_eq!(gateway.sent_to(LISTED), Vec::<String>::new());
    assert_eq!(gateway.sent().len(), 1);
}

/// A resend says the same code; doors of four, eight and ten digits get it in their own length.
#[tokio::test]
async fn the_code_fits_the_door() {
    let app = TestApp::with(SETTINGS).await;
    let key = app.keys.backend.clone();
    for (length, code) in [(4, "2718"), (6, "271828"), (8, "27182827"), (10, "2718282718")] {
        let body = json!({ "to": LISTED, "code_length": length, "channel": "voice" });
        let id = app.post_as(&key, "/v1/verifications", body).await.is(201).text("id");
        app.wait_s(60);
        app.resend(&id).await.is(200);
        app.check(&id, code).await.is(200);
    }
    let asks = json!({ "phone": LISTED, "verification_type": "login" });
    app.post("/api/users/send-otp/", asks).await.is(200);
    let right = json!({ "phone": LISTED, "otp": "2718", "verification_type": "login" });
    app.post("/api/users/verify-otp/", right).await.is(200);
    assert_eq!(app.gateway.sent().len(), 0);
}

/// None exists unless it is listed, what is listed has a form, and beside a real gateway that is told at start.
#[test]
fn the_list_is_checked_and_told() {
    assert!(settings("").test_numbers.is_empty());
    let listed = settings(SETTINGS);
    let printed = listed.printable();
    assert!(!printed.contains("271828") && printed.contains("test_numbers has 1 entries"), "{printed}");
    assert!(!listed.warnings().iter().any(|warning| warning.contains("test_numbers")));
    let real = format!(
        "{SETTINGS}\nsms.gateway = webhook\nsms.webhook.base_url = http://127.0.0.1:9\nsms.webhook.secret = \
         whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    );
    assert!(settings(&real).warnings().iter().any(|warning| warning.contains("test_numbers")));
}
