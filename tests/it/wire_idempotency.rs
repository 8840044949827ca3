//! `Idempotency-Key`: retries of every `POST` that changes a number's record (v1.md Errors and headers; security 43).

use serde_json::{Value, json};

use crate::harness::{Answer, Script, TestApp, wrong};

const TO: &str = "+989123456789";
const START: &str = "/v1/verifications";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

/// One way to change a record: the path, the body, and who asks.
struct Change {
    what: &'static str,
    path: String,
    body: Value,
    token: Option<String>,
}

impl Change {
    fn new(what: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { what, path: path.into(), body, token: None }
    }

    fn by(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    async fn ask(&self, app: &TestApp, key: &str) -> Answer {
        let request = app.client.post(app.url(&self.path)).header("idempotency-key", key).json(&self.body);
        match &self.token {
            Some(token) => Answer::read(request.bearer_auth(token)).await,
            None => Answer::read(request).await,
        }
    }
}

/// Every `POST` of v1.md that changes a record, each ready to succeed once.
async fn changes(app: &TestApp) -> Vec<Change> {
    let number = |n: u8| format!("+98912000000{n}");
    let mut ids = Vec::new();
    for n in 1..=7 {
        ids.push((app.start_for(&number(n)).await, app.gateway.code(&number(n))));
    }
    let user = app.sign_in("+989120000010").await;
    let leaver = app.sign_in("+989120000011").await;
    let receipt = app.check(&ids[6].0, &ids[6].1).await.is(200).text("receipt");
    let guesser = app.start_for("+989120000012").await;
    app.check_number("+989120000012", &wrong(&app.gateway.code("+989120000012"), 1)).await;
    assert!(!guesser.is_empty());
    app.wait_s(30);
    let path = |n: usize, call: &str| format!("{START}/{}/{call}", ids[n].0);
    vec![
        Change::new("start", START, json!({ "to": TO })),
        Change::new("resend", path(0, "resend"), json!({})),
        Change::new("check by id", path(1, "check"), json!({ "code": ids[1].1 })),
        Change::new("check by number", "/v1/verifications/check", json!({ "to": number(3), "code": ids[2].1 })),
        Change::new("cancel", path(3, "cancel"), json!({})),
        Change::new("session by id", "/v1/sessions", json!({ "verification_id": ids[4].0, "code": ids[4].1 })),
        Change::new("session by number", "/v1/sessions", json!({ "to": number(6), "code": ids[5].1 })),
        Change::new("redeem", "/oauth/token", json!({ "grant_type": GRANT, "assertion": receipt })),
        Change::new(
            "refresh",
            "/oauth/token",
            json!({ "grant_type": "refresh_token", "refresh_token": user.text("refresh_token") }),
        ),
        Change::new("revoke", "/oauth/revoke", json!({ "token": leaver.text("refresh_token") })),
        Change::new("phone change", "/v1/me/phone-change", json!({ "to": "+989120000020" }))
            .by(&user.text("access_token")),
        Change::new("unlock", "/v1/admin/unlock", json!({ "to": "+989120000012" })).by(&app.keys.admin),
    ]
}

/// v1.md: on every POST that changes a record a retry with the same key and body gets the same answer with
/// `Idempotency-Replayed: true`, changes nothing and sends nothing; another body under that key is 422.
#[tokio::test]
async fn every_change_can_be_retried() {
    let app = TestApp::start().await;
    for change in changes(&app).await {
        let what = change.what;
        let first = change.ask(&app, "key-1").await;
        assert!(matches!(first.status, 200 | 201 | 204) && !replayed(&first), "{what}: {first:?}");
        let sent = app.gateway.sent().len();
        again(&change, &app, &first).await;
        // The result of a send is entered after its answer: behind the first retry it is in.
        let written = app.counting.changes();
        again(&change, &app, &first).await;
        assert_eq!((app.gateway.sent().len(), app.counting.changes()), (sent, written), "{what}");
        let mut other = change;
        other.body.as_object_mut().unwrap().insert("region".to_owned(), json!("IR"));
        let takes_region = other.body.get("to").is_some() || other.path.starts_with("/oauth/");
        if takes_region {
            let reused = other.ask(&app, "key-1").await;
            let status = if other.path.starts_with("/oauth/") { 400 } else { 422 };
            assert_eq!(reused.status, status, "{what}: {reused:?}");
            assert!(!replayed(&reused), "{what}: {reused:?}");
        }
    }
}

async fn again(change: &Change, app: &TestApp, first: &Answer) {
    let what = change.what;
    let again = change.ask(app, "key-1").await;
    assert!(again.status == first.status && replayed(&again), "{what}: {again:?}");
    assert_eq!(again.header("location"), first.header("location"), "{what}");
    assert_eq!(unsigned(&again), unsigned(first), "{what}");
}

/// The answer without what is signed afresh: tokens of the same session, one after the other.
fn unsigned(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    if let Some(fields) = body.as_object_mut() {
        for signed in ["receipt", "access_token"] {
            fields.remove(signed);
        }
    }
    body
}

/// v1.md: a replay signs tokens afresh for the same session: good, current, and of one session.
#[tokio::test]
async fn a_replayed_sign_in_is_the_same_session() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let body = json!({ "verification_id": id, "code": app.gateway.code(TO) });
    let first = app.post_once("k", "/v1/sessions", body.clone()).await.is(200);
    app.wait_s(600);
    let again = app.post_once("k", "/v1/sessions", body).await.is(200);
    assert!(replayed(&again));
    assert_eq!(again.text("refresh_token"), first.text("refresh_token"));
    assert_ne!(again.text("access_token"), first.text("access_token"));
    assert_eq!((&again.body["expires_in"], &again.body["is_new_user"]), (&json!(900), &json!(true)));
    assert_eq!(again.header("cache-control"), "no-store");
    app.wait_s(600);
    app.get_as(&first.text("access_token"), "/v1/me").await.refused(401, "token_expired");
    let sessions = app.get_as(&again.text("access_token"), "/v1/me/sessions").await.is(200);
    assert_eq!(sessions.body["sessions"].as_array().unwrap().len(), 1);
}

/// v1.md: bare or quoted is one key; scope is caller and number, so others have keys of their own.
#[tokio::test]
async fn a_key_belongs_to_caller_and_number() {
    let app = TestApp::start().await;
    let first = app.post_once("abc", START, json!({ "to": TO })).await.is(201);
    for key in ["abc", "\"abc\"", " abc "] {
        let again = app.post_once(key, START, json!({ "to": TO })).await.is(201);
        assert!(replayed(&again) && again.raw == first.raw, "{key}: {again:?}");
    }
    let other_number = app.post_once("abc", START, json!({ "to": "+989120000001" })).await.is(201);
    assert!(!replayed(&other_number));
    let keyed = async |token: &str| {
        let request = app.client.post(app.url(START)).header("idempotency-key", "abc").bearer_auth(token);
        Answer::read(request.json(&json!({ "to": TO }))).await
    };
    keyed(&app.keys.backend).await.refused(429, "send_limited");
    app.wait_s(30);
    let backend = keyed(&app.keys.backend).await.is(201);
    assert!(!replayed(&backend) && backend.text("id") != first.text("id"));
    app.wait_s(30);
    let other = keyed(&app.keys.other).await.is(201);
    assert!(!replayed(&other) && other.text("id") != backend.text("id"));
    assert_eq!(keyed(&app.keys.backend).await.is(201).text("id"), backend.text("id"));
}

/// A key is visible characters, at most 255, once.
#[tokio::test]
async fn malformed_keys_are_refused() {
    let app = TestApp::start().await;
    for key in ["", "\"\"", "a b", "a\"b", &"k".repeat(256)] {
        let answer = app.post_once(key, START, json!({ "to": TO })).await;
        answer.refused(400, "invalid_field");
    }
    let twice = app.client.post(app.url(START)).header("idempotency-key", "a").header("idempotency-key", "b");
    Answer::read(twice.json(&json!({ "to": TO }))).await.refused(400, "invalid_field");
    assert_eq!((app.gateway.sent().len(), app.counting.loads()), (0, 0));
    app.post_once(&"k".repeat(255), START, json!({ "to": TO })).await.is(201);
}

/// v1.md: another body, or another call, under a used key is 422 and changes nothing.
#[tokio::test]
async fn a_key_is_good_for_one_request() {
    let app = TestApp::start().await;
    let id = app.post_once("k", START, json!({ "to": TO })).await.is(201).text("id");
    let body = json!({ "to": TO, "purpose": "payment" });
    app.post_once("k", START, body).await.refused(422, "idempotency_key_reused");
    let check = format!("{START}/{id}/check");
    let code = app.gateway.code(TO);
    app.post_once("k", &check, json!({ "code": code })).await.refused(422, "idempotency_key_reused");
    app.post_once("k", &format!("{START}/{id}/cancel"), json!({})).await.refused(422, "idempotency_key_reused");
    let read = app.get(&format!("{START}/{id}")).await;
    assert_eq!((read.text("status").as_str(), &read.body["attempts_remaining"]), ("pending", &json!(5)));
}

/// v1.md: refusals are not kept: a wrong code costs a try each time, and a limit that has passed is judged anew.
#[tokio::test]
async fn refusals_are_not_kept() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    let check = format!("{START}/{id}/check");
    for left in [4, 3] {
        let answer = app.post_once("k", &check, json!({ "code": wrong(&code, 1) })).await;
        assert_eq!(answer.refused(400, "code_incorrect").body["attempts_remaining"], left);
        assert!(!replayed(&answer));
    }
    app.post_once("k", &check, json!({ "code": code })).await.is(200);
    app.post_once("s", START, json!({ "to": "+989120000001" })).await.is(201);
    app.post_once("t", START, json!({ "to": "+989120000001" })).await.refused(429, "send_limited");
    app.wait_s(30);
    let sent = app.post_once("t", START, json!({ "to": "+989120000001" })).await.is(201);
    assert!(!replayed(&sent));
}

/// v1.md: a failed send is not kept: the retry sends. An unknown outcome is: the retry sends nothing and says so again.
#[tokio::test]
async fn failed_sends_are_not_kept_and_unknown_ones_are() {
    use otpd::sms::SendClass;
    let app = TestApp::start().await;
    app.gateway.next([Script::Fail(SendClass::AuthFailed)]);
    app.post_once("k", START, json!({ "to": TO })).await.refused(502, "delivery_failed");
    let sent = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    assert!(!replayed(&sent));
    let other = json!({ "to": "+989120000001" });
    app.gateway.next([Script::Fail(SendClass::UnknownOutcome)]);
    let unknown = app.post_once("k", START, other.clone()).await;
    let again = app.post_once("k", START, other).await;
    unknown.refused(504, "outcome_unknown");
    again.refused(504, "outcome_unknown");
    assert_eq!(again.text("verification_id"), unknown.text("verification_id"));
    assert_eq!(app.gateway.sent_to("+989120000001").len(), 1);
}

/// v1.md: while the first is still sending, 409 `idempotency_in_flight` with `Retry-After`; afterwards the replay.
#[tokio::test]
async fn a_retry_meets_the_first_still_sending() {
    let app = TestApp::start().await;
    app.gateway.next([Script::Hold]);
    let first = app.post_once("k", START, json!({ "to": TO }));
    let retry = async {
        app.gateway.arrived(1).await;
        app.post_once("k", START, json!({ "to": TO })).await.refused(409, "idempotency_in_flight").waits(25);
        app.wait_s(10);
        let again = app.post_once("k", START, json!({ "to": TO })).await;
        again.refused(409, "idempotency_in_flight").waits(15);
        app.gateway.release();
    };
    let (first, ()) = tokio::join!(first, retry);
    let first = first.is(201);
    let again = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    assert!(replayed(&again) && again.text("id") == first.text("id"));
    assert_eq!(again.body["deliveries"], first.body["deliveries"]);
    assert_eq!(app.gateway.sent().len(), 1);
}

/// v1.md: an answer is kept 24 h, whatever becomes of the verification meanwhile, and over a restart.
#[tokio::test]
async fn an_answer_is_kept_a_day() {
    let app = TestApp::start().await;
    let first = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    app.check(&first.text("id"), &app.gateway.code(TO)).await.is(200);
    let app = app.restart("").await;
    app.wait_ms(86_400_000 - 1);
    let again = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    assert!(replayed(&again) && again.text("id") == first.text("id"));
    assert_eq!(again.text("status"), "pending");
    app.wait_ms(1);
    let anew = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    assert!(!replayed(&anew) && anew.text("id") != first.text("id"));
}

/// DESIGN 1: a send without a result after the deadline was lost with its process: the retry with the same key sends
/// the same code once more, once. security 44: at most two.
#[tokio::test]
async fn a_lost_send_is_made_once_more() {
    let app = TestApp::start().await;
    app.gateway.next([Script::Hold]);
    let request = app.client.post(app.url(START)).header("idempotency-key", "k").json(&json!({ "to": TO }));
    let first = tokio::spawn(request.send());
    app.gateway.arrived(1).await;
    let (code, ids) = (app.gateway.code(TO), app.gateway.ids());
    let app = app.crash("").await;
    first.abort();
    app.post_once("k", START, json!({ "to": TO })).await.refused(409, "idempotency_in_flight");
    app.wait_s(25);
    let repeated = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    assert_eq!(app.gateway.sent_to(TO).len(), 1);
    assert_eq!(
        (app.gateway.code(TO), app.gateway.ids()),
        (code.clone(), ids),
        "one message to a gateway that can tell"
    );
    let again = app.post_once("k", START, json!({ "to": TO })).await.is(201);
    assert!(replayed(&again) && again.text("id") == repeated.text("id"));
    assert_eq!(app.gateway.sent_to(TO).len(), 1);
    app.check(&repeated.text("id"), &code).await.is(200);
}
