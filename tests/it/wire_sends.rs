//! When a message may be sent again, and what becomes of one that was not: cooldown, window, day, share of an
//! address, resends, failures and unknown outcomes.

use std::collections::HashSet;

use otpd::sms::SendClass;
use serde_json::{Value, json};

use crate::harness::{Answer, Script, TestApp, wrong};

const TO: &str = "+989123456789";

async fn start(app: &TestApp) -> Answer {
    app.post("/v1/verifications", json!({ "to": TO })).await
}

async fn keyed_start(app: &TestApp) -> Answer {
    app.post_as(&app.keys.backend, "/v1/verifications", json!({ "to": TO })).await
}

/// v1.md: a start within 30 s of the number's last send answers 429 `send_limited` and sends nothing, whatever its
/// purpose; to the millisecond. security 26, 41.
#[tokio::test]
async fn a_number_cools_down_after_a_send() {
    let app = TestApp::start().await;
    start(&app).await.is(201);
    start(&app).await.refused(429, "send_limited").waits(30);
    let other = app.post("/v1/verifications", json!({ "to": TO, "purpose": "payment" })).await;
    other.refused(429, "send_limited").waits(30);
    keyed_start(&app).await.refused(429, "send_limited").waits(30);
    app.wait_ms(29_999);
    start(&app).await.refused(429, "send_limited").waits(1);
    assert_eq!(app.gateway.sent_to(TO).len(), 1);
    app.wait_ms(1);
    start(&app).await.is(201);
    assert_eq!(app.gateway.sent_to(TO).len(), 2);
}

/// v1.md: a success since then lifts the cooldown; the window of 3 per 120 s stays.
#[tokio::test]
async fn a_success_lifts_the_cooldown_and_not_the_window() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        let id = start(&app).await.is(201).text("id");
        app.check(&id, &app.gateway.code(TO)).await.is(200);
    }
    start(&app).await.refused(429, "send_limited").waits(120);
    app.wait_ms(119_999);
    start(&app).await.refused(429, "send_limited").waits(1);
    app.wait_ms(1);
    start(&app).await.is(201);
}

/// v1.md: 10 sends per number and day, resends counted; nobody is excepted. security 38.
#[tokio::test]
async fn a_number_has_ten_sends_a_day() {
    let app = TestApp::start().await;
    let mut id = String::new();
    for n in 0..10 {
        if n % 2 == 0 {
            id = keyed_start(&app).await.is(201).text("id");
        } else {
            let path = format!("/v1/verifications/{id}/resend");
            app.post_as(&app.keys.backend, &path, json!({})).await.is(200);
        }
        app.wait_s(60);
    }
    let spent = keyed_start(&app).await;
    spent.refused(429, "send_limited").waits(86_400 - 600);
    start(&app).await.refused(429, "send_limited");
    app.wait_s(86_400 - 600);
    keyed_start(&app).await.is(201);
    keyed_start(&app).await.refused(429, "send_limited");
    assert_eq!(app.gateway.sent_to(TO).len(), 11);
}

/// v1.md: at most half of the day's sends from one address (IPv6 by /64), keyed callers aside; so a stranger cannot
/// use up an owner's day. security 21, 38.
#[tokio::test]
async fn one_address_has_half_of_the_day() {
    let app = TestApp::with("server.trusted_proxies = 127.0.0.1").await;
    let body = json!({ "to": TO });
    for n in 0..5 {
        app.post_for(&format!("2001:db8::{n}"), "/v1/verifications", body.clone()).await.is(201);
        app.wait_s(60);
    }
    let stranger = app.post_for("2001:db8::99", "/v1/verifications", body.clone()).await;
    stranger.refused(429, "send_limited").waits(86_400 - 300);
    app.post_for("2001:db8:0:1::1", "/v1/verifications", body).await.is(201);
    app.wait_s(60);
    keyed_start(&app).await.is(201);
}

/// v1.md: resends 30, 60, 120, 120 s after the send before, told by `resend.allowed_in` and `resend.remaining`; the
/// same code again and `expires_at` unchanged; then none. security 13, 41.
#[tokio::test]
async fn resends_wait_longer_and_end() {
    let app = TestApp::start().await;
    let first = app.post("/v1/verifications", json!({ "to": TO, "ttl": 600 })).await.is(201);
    let id = first.text("id");
    assert_eq!(first.body["resend"], json!({ "allowed_in": 30, "remaining": 4 }));
    for (wait, next, remaining) in [(30, 60, 3), (60, 120, 2), (120, 120, 1), (120, 120, 0)] {
        app.wait_ms(wait * 1_000 - 1);
        app.resend(&id).await.refused(429, "send_limited").waits(1);
        app.wait_ms(1);
        let resent = app.resend(&id).await.is(200);
        assert_eq!(resent.body["resend"], json!({ "allowed_in": next, "remaining": remaining }), "{resent:?}");
        assert_eq!(resent.text("expires_at"), first.text("expires_at"));
        assert_eq!(resent.body["deliveries"].as_array().unwrap().len(), 5 - remaining);
    }
    app.wait_s(120);
    app.resend(&id).await.refused(429, "send_limited").waits(600 - 450);
    let codes = app.gateway.codes();
    assert!(codes.len() == 5 && codes.iter().all(|code| *code == codes[0]));
    assert_eq!(HashSet::<u128>::from_iter(app.gateway.ids()).len(), 5, "each resend is a message of its own");
    app.check(&id, &codes[0]).await.is(200);
}

/// v1.md: the waiting time is also told by a read, and rounds up.
#[tokio::test]
async fn a_read_counts_the_wait_down() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let wait = async || app.get(&format!("/v1/verifications/{id}")).await.is(200).body["resend"]["allowed_in"].clone();
    app.wait_ms(1_001);
    assert_eq!(wait().await, 29);
    app.wait_s(29);
    assert_eq!(wait().await, 0);
}

/// v1.md: a resend may name the channel; of a verification that has ended it is refused as a check is.
#[tokio::test]
async fn only_an_open_verification_is_resent() {
    let app = TestApp::start().await;
    let path = |id: &str, call: &str| format!("/v1/verifications/{id}/{call}");
    let approved = app.start_for("+989120000001").await;
    app.check(&approved, &app.gateway.code("+989120000001")).await.is(200);
    let canceled = app.start_for("+989120000002").await;
    app.post(&path(&canceled, "cancel"), json!({})).await.is(200);
    let expired = app.start_for("+989120000003").await;
    let voice = app.post(&path(&expired, "resend"), json!({ "channel": "voice" })).await;
    voice.refused(422, "channel_unsupported");
    let unknown = app.post(&path(&expired, "resend"), json!({ "via": "sms" })).await;
    unknown.refused(400, "unknown_field").points_at("/via");
    app.wait_s(60);
    let auto = app.post(&path(&expired, "resend"), json!({ "channel": "auto" })).await.is(200);
    assert_eq!((auto.text("channel"), auto.body["deliveries"][1]["channel"].as_str()), ("sms".to_owned(), Some("sms")));
    app.wait_s(240);
    app.resend(&approved).await.refused(409, "already_approved");
    app.resend(&canceled).await.refused(410, "verification_closed");
    app.resend(&expired).await.refused(410, "verification_expired");
    assert_eq!(app.gateway.sent().len(), 4);
}

/// What can be checked by id no more offers no resend.
#[tokio::test]
async fn a_worn_out_verification_tells_that_no_resend_is_left() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    for n in 1..=5 {
        app.check(&id, &wrong(&code, n)).await;
    }
    let read = app.get(&format!("/v1/verifications/{id}")).await.is(200);
    assert_eq!(read.body["resend"], json!({ "allowed_in": 0, "remaining": 0 }));
}

/// The caller's own code is kept as a digest alone, so a resend needs it once more (DESIGN 2), and another is refused.
#[tokio::test]
async fn a_chosen_code_is_resent_by_who_knows_it() {
    let app = TestApp::start().await;
    let body = json!({ "to": TO, "custom_code": "004217" });
    let id = app.post_as(&app.keys.backend, "/v1/verifications", body).await.is(201).text("id");
    app.wait_s(30);
    let path = format!("/v1/verifications/{id}/resend");
    app.resend(&id).await.refused(400, "invalid_field").points_at("/custom_code");
    app.post(&path, json!({ "custom_code": "004217" })).await.refused(403, "scope");
    let other = app.post_as(&app.keys.backend, &path, json!({ "custom_code": "004218" })).await;
    other.refused(400, "invalid_field").points_at("/custom_code");
    app.post_as(&app.keys.backend, &path, json!({ "custom_code": "004217" })).await.is(200);
    assert_eq!(app.gateway.codes(), ["004217", "004217"]);
    app.check(&id, "004217").await.is(200);
}

/// v1.md: a send that certainly failed is 502 `delivery_failed` and is given back: window and cooldown. security 17:
/// the code it had is good for nothing. One retry for what may pass (security 44).
#[tokio::test]
async fn a_failed_send_is_given_back() {
    for (class, tries) in [(SendClass::RegionDenied, 1), (SendClass::ProviderDown, 2)] {
        let app = TestApp::with("sms.retry_backoff_ms = 0\nsms.breaker_failures = 1000").await;
        for _ in 0..3 {
            app.gateway.next(vec![Script::Fail(class); tries]);
            start(&app).await.refused(502, "delivery_failed");
        }
        assert_eq!(app.gateway.sent_to(TO).len(), 3 * tries, "{class:?}");
        app.check_number(TO, &app.gateway.code(TO)).await.refused(410, "verification_closed");
        let sent = start(&app).await.is(201);
        assert_eq!(sent.header("ratelimit"), r#""sends";r=2;t=120"#);
    }
}

/// DESIGN 1: when the fault is the number's, the send stays spent, or a dead number would be free to hammer with.
#[tokio::test]
async fn a_dead_number_stays_spent() {
    let classes = [SendClass::InvalidNumber, SendClass::Landline, SendClass::Unroutable, SendClass::OptedOut];
    for class in classes {
        let app = TestApp::start().await;
        app.gateway.next([Script::Fail(class)]);
        start(&app).await.refused(502, "delivery_failed");
        start(&app).await.refused(429, "send_limited").waits(30);
        assert_eq!(app.gateway.sent_to(TO).len(), 1, "{class:?}");
    }
}

/// A gateway that needs a person's hand is left alone at once, and whoever asks is told before anything is decided.
#[tokio::test]
async fn while_no_gateway_is_left_nothing_is_decided() {
    let app = TestApp::with("sms.breaker_open_ms = 5000").await;
    app.gateway.next([Script::Fail(SendClass::AuthFailed)]);
    start(&app).await.refused(502, "delivery_failed");
    let changes = app.counting.changes();
    for _ in 0..3 {
        let refused = start(&app).await;
        let waits = refused.refused(503, "no_route_available").body["retry_after"].as_u64().unwrap();
        assert!((1..=5).contains(&waits), "it is left alone for five seconds");
    }
    assert_eq!((app.gateway.sent().len(), app.counting.changes()), (1, changes));
}

/// A failed resend takes nothing away: the code that arrived before stays good.
#[tokio::test]
async fn a_failed_resend_leaves_the_code_good() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    app.wait_s(30);
    app.gateway.next([Script::Fail(SendClass::RegionDenied)]);
    app.resend(&id).await.refused(502, "delivery_failed");
    let read = app.get(&format!("/v1/verifications/{id}")).await.is(200);
    assert_eq!(read.text("status"), "pending");
    let states: Vec<&Value> =
        read.body["deliveries"].as_array().unwrap().iter().map(|delivery| &delivery["status"]).collect();
    assert_eq!(states, ["accepted", "failed"]);
    app.resend(&id).await.is(200);
    app.check(&id, &app.gateway.code(TO)).await.is(200);
}

/// v1.md: a provider that did not answer is 504 `outcome_unknown` with the `verification_id`, which stays checkable;
/// window and cooldown stay spent (DESIGN 1), and nothing is sent twice (security 44).
#[tokio::test]
async fn an_unknown_outcome_stays_checkable() {
    let black_hole = "sms.attempt_timeout_ms = 100\nsms.twilio.timeout_ms = 100\nsms.twilio.connect_timeout_ms = 100";
    for (changes, script) in [("", Script::Fail(SendClass::UnknownOutcome)), (black_hole, Script::Hold)] {
        let app = TestApp::with(changes).await;
        app.gateway.next([script]);
        let unknown = start(&app).await;
        unknown.refused(504, "outcome_unknown");
        assert_eq!(app.gateway.sent_to(TO).len(), 1);
        start(&app).await.refused(429, "send_limited").waits(30);
        let id = unknown.text("verification_id");
        let read = app.get(&format!("/v1/verifications/{id}")).await.is(200);
        assert_eq!(
            (read.text("status").as_str(), &read.body["deliveries"][0]["status"]),
            ("pending", &json!("unknown"))
        );
        app.check(&id, &app.gateway.code(TO)).await.is(200);
    }
}

/// v1.md 503 `overloaded`: beyond `sms.inflight_max` nothing is decided, so nothing is spent; others are served as
/// soon as there is room. The actor never waits for the provider: the held number itself is read meanwhile (DESIGN 1).
#[tokio::test]
async fn more_sends_than_allowed_are_refused_before_anything_is_decided() {
    let app = TestApp::with("sms.inflight_max = 1").await;
    app.gateway.next([Script::Hold]);
    let held = async { start(&app).await };
    let others = async {
        app.gateway.arrived(1).await;
        for _ in 0..3 {
            let refused = app.post("/v1/verifications", json!({ "to": "+989120000001" })).await;
            refused.refused(503, "overloaded");
        }
        assert_eq!(app.store.len(), 1);
        app.check_number(TO, &app.gateway.code(TO)).await.is(200);
        app.gateway.release();
    };
    let (held, ()) = tokio::join!(held, others);
    held.is(201);
    app.post("/v1/verifications", json!({ "to": "+989120000001" })).await.is(201);
}

/// contracts/v1.md: after the last wrong code a verification is over, for a resend as well; nothing is sent for nothing.
#[tokio::test]
async fn an_exhausted_verification_is_not_sent_again() {
    let app = TestApp::start().await;
    let to = "+989121110077";
    let id = app.start_for(to).await;
    let code = app.gateway.code(to);
    for n in 1..=5 {
        app.check(&id, &wrong(&code, n)).await;
    }
    app.wait_s(30);
    app.resend(&id).await.refused(429, "max_attempts_reached");
    assert_eq!(app.gateway.sent_to(to).len(), 1);
    app.stop().await;
}
