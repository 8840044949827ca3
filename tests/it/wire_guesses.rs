//! Checks by number alone: the newest verification of a purpose, and the number's own guess budget.

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, wrong};

const TO: &str = "+989123456789";

/// Room for as many codes as a walk through the whole budget needs.
const MANY_SENDS: &str = "limits.sends_per_day = 50\nlimits.sends_per_day_per_ip = 50";

async fn check(app: &TestApp, purpose: &str, code: &str) -> Answer {
    app.post("/v1/verifications/check", json!({ "to": TO, "purpose": purpose, "code": code })).await
}

/// Starts one of a purpose by key; its id and code.
async fn start(app: &TestApp, purpose: &str) -> (String, String) {
    let body = json!({ "to": TO, "purpose": purpose });
    let id = app.post_as(&app.keys.backend, "/v1/verifications", body).await.is(201).text("id");
    (id, app.gateway.code(TO))
}

/// Gives `count` wrong codes by number, waiting out every delay and taking a new code, of another purpose each time,
/// when the old one is worn out or too old. The delays that were told.
async fn fail(app: &TestApp, count: usize) -> Vec<u64> {
    let mut delays = Vec::new();
    for n in 0..count {
        let purpose = if n % 2 == 0 { "login" } else { "payment" };
        app.wait_s(120);
        let (_, code) = start(app, purpose).await;
        check(app, purpose, &wrong(&code, 1)).await.refused(400, "code_incorrect");
        let now = check(app, purpose, &code).await;
        let delay = if now.status == 200 { panic!("{now:?}") } else { now.body["retry_after"].as_u64().unwrap() };
        now.refused(429, "guess_budget_exhausted").waits(delay);
        delays.push(delay);
        app.wait_s(delay);
    }
    delays
}

/// Five wrong codes without a delay.
async fn spend_free_guesses(app: &TestApp) {
    let (_, code) = start(app, "login").await;
    for n in 1..=4 {
        let answer = check(app, "login", &wrong(&code, n)).await;
        answer.refused(400, "code_incorrect");
        assert_eq!(answer.body["attempts_remaining"], 5 - n);
    }
    check(app, "login", &wrong(&code, 5)).await.refused(429, "max_attempts_reached");
}

/// v1.md: a check by number is against the newest of that purpose started here; a canceled one does not hide it.
#[tokio::test]
async fn the_newest_of_the_purpose_is_checked() {
    let app = TestApp::start().await;
    let (_, first) = start(&app, "login").await;
    app.wait_s(30);
    let (_, second) = start(&app, "login").await;
    app.wait_s(30);
    let (_, payment) = start(&app, "payment").await;
    assert!(first != second && second != payment);
    check(&app, "login", &first).await.refused(400, "code_incorrect");
    check(&app, "login", &payment).await.refused(400, "code_incorrect");
    check(&app, "signup", &second).await.refused(404, "verification_not_found");
    app.wait_s(60);
    let (third, _) = start(&app, "login").await;
    app.post(&format!("/v1/verifications/{third}/cancel"), json!({})).await.is(200);
    let approved = check(&app, "login", &second).await.is(200);
    assert_eq!((approved.text("status").as_str(), approved.text("purpose").as_str()), ("approved", "login"));
    assert!(!approved.text("receipt").is_empty() && approved.body["is_new_user"] == true);
    check(&app, "login", &second).await.refused(409, "already_approved");
    let sessions = app.post("/v1/sessions", json!({ "to": TO, "purpose": "payment", "code": payment })).await;
    sessions.refused(400, "invalid_field").points_at("/purpose");
}

/// The rules of the fields: the number and the purpose as at a start; `phone_change` is ours.
#[tokio::test]
async fn fields_of_a_check_by_number() {
    let app = TestApp::start().await;
    let rows: [(Value, u16, &str, &str); 8] = [
        (json!({ "code": "123456" }), 400, "invalid_field", "/to"),
        (json!({ "to": TO }), 400, "invalid_field", "/code"),
        (json!({ "to": "09123456789", "code": "123456" }), 422, "number_invalid", "/to"),
        (json!({ "to": "0912", "region": "IR", "code": "123456" }), 422, "number_invalid", "/to"),
        (json!({ "to": "0912", "region": "XX", "code": "123456" }), 422, "number_invalid", "/region"),
        (json!({ "to": TO, "purpose": "A", "code": "123456" }), 400, "invalid_field", "/purpose"),
        (json!({ "to": TO, "purpose": "phone_change", "code": "123456" }), 400, "invalid_field", "/purpose"),
        (json!({ "to": TO, "code": "123456", "id": "x" }), 400, "unknown_field", "/id"),
    ];
    for (body, status, code, pointer) in rows {
        app.post("/v1/verifications/check", body).await.refused(status, code).points_at(pointer);
    }
    assert_eq!(app.counting.loads(), 0);
}

/// DESIGN 2 and v1.md: from the 6th failure on a delay of 30 s that doubles to an hour, and at 100 the end; the count
/// survives new codes and purposes. During a delay the right code is not compared. security 19, 20.
#[tokio::test]
async fn the_budget_delays_longer_and_ends_at_a_hundred() {
    let app = TestApp::with(MANY_SENDS).await;
    spend_free_guesses(&app).await;
    let delays = fail(&app, 94).await;
    assert_eq!(delays[..8], [30, 60, 120, 240, 480, 960, 1_920, 3_600]);
    assert!(delays[8..].iter().all(|delay| *delay == 3_600));
    app.wait_s(120);
    let (id, code) = start(&app, "login").await;
    check(&app, "login", &wrong(&code, 1)).await.refused(400, "code_incorrect");
    for wait in [3_600, 3_600] {
        app.wait_s(wait);
        let (_, code) = start(&app, "login").await;
        check(&app, "login", &code).await.refused(429, "guess_budget_exhausted");
    }
    app.check(&id, &code).await.refused(410, "verification_expired");
    unlocked_by_an_administrator(&app).await;
}

/// v1.md: `POST /v1/admin/unlock` `{"to"}` with the `admin` scope is 204 and clears it; nobody else may.
async fn unlocked_by_an_administrator(app: &TestApp) {
    let path = "/v1/admin/unlock";
    app.post(path, json!({ "to": TO })).await.refused(401, "invalid_key");
    app.post_as(&app.keys.backend, path, json!({ "to": TO })).await.refused(403, "scope");
    app.post_as(&app.keys.admin, path, json!({ "to": "no number" })).await.refused(422, "number_invalid");
    let unlocked = app.post_as(&app.keys.admin, path, json!({ "to": TO })).await.is(204);
    assert_eq!(unlocked.raw, "");
    app.post_as(&app.keys.admin, path, json!({ "to": TO })).await.is(204);
    app.wait_s(120);
    let (_, code) = start(app, "login").await;
    check(app, "login", &wrong(&code, 1)).await.refused(400, "code_incorrect");
    check(app, "login", &code).await.is(200);
}

/// DESIGN 2: the budget never binds a check by id, and a success by id clears it; so who knows only the number cannot
/// lock its owner out (security 21).
#[tokio::test]
async fn checks_by_id_are_free_of_the_budget_and_clear_it() {
    let app = TestApp::start().await;
    spend_free_guesses(&app).await;
    fail(&app, 1).await;
    app.wait_s(120);
    let (id, code) = start(&app, "login").await;
    check(&app, "login", &wrong(&code, 1)).await.refused(400, "code_incorrect");
    check(&app, "login", &code).await.refused(429, "guess_budget_exhausted").waits(60);
    app.post("/v1/sessions", json!({ "to": TO, "code": code })).await.refused(429, "guess_budget_exhausted");
    assert_eq!(app.check(&id, &wrong(&code, 2)).await.refused(400, "code_incorrect").body["attempts_remaining"], 4);
    app.check(&id, &code).await.is(200);
    let (_, code) = start(&app, "login").await;
    for n in 1..=4 {
        check(&app, "login", &wrong(&code, n)).await.refused(400, "code_incorrect");
    }
    check(&app, "login", &code).await.is(200);
}

/// security 12, 19: the count survives a restart; and without an account it is forgotten a day after the last failure.
#[tokio::test]
async fn the_budget_survives_a_restart_and_is_forgotten_after_a_day() {
    let app = TestApp::start().await;
    spend_free_guesses(&app).await;
    let app = app.restart("").await;
    assert_eq!(fail(&app, 1).await, [30]);
    let app = app.restart("").await;
    app.wait_s(120);
    let (_, code) = start(&app, "login").await;
    check(&app, "login", &wrong(&code, 1)).await.refused(400, "code_incorrect");
    check(&app, "login", &code).await.refused(429, "guess_budget_exhausted").waits(60);
    app.wait_s(86_400);
    spend_free_guesses(&app).await;
}

/// DESIGN 2: a check while delayed, or with nothing pending, costs nothing and writes nothing; a delay does not grow
/// by asking.
#[tokio::test]
async fn a_check_that_compares_nothing_writes_nothing() {
    let app = TestApp::start().await;
    check(&app, "login", "123456").await.refused(404, "verification_not_found");
    spend_free_guesses(&app).await;
    app.wait_s(120);
    let (_, code) = start(&app, "login").await;
    check(&app, "login", &wrong(&code, 1)).await.refused(400, "code_incorrect");
    let changes = app.counting.changes();
    for _ in 0..20 {
        check(&app, "login", &code).await.refused(429, "guess_budget_exhausted").waits(30);
        check(&app, "never", &code).await.refused(404, "verification_not_found");
    }
    assert_eq!(app.counting.changes(), changes);
    app.wait_s(30);
    check(&app, "login", &code).await.is(200);
}
