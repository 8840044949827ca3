//! What is told of a request, and what never: audit events, and no secret at any level (security part 15).

use std::time::Duration;

use expect_test::expect;
use otpd::{
    entropy::OsEntropy,
    record::PhoneNumber,
    settings::{Log, LogFormat},
    sms::SendClass,
    telemetry,
    token::{ApiKeys, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    captured_log::CapturedLog,
    harness::{Answer, START, Script, TestApp},
    harness_tokens::{ANNA, BELA, Person},
    spawned::Spawned,
};

const NEW: &str = "+12025550123";

/// What one test logs.
#[derive(Default)]
struct Captured(CapturedLog);

impl Captured {
    fn begin(&self, filter: &str) -> tracing::subscriber::DefaultGuard {
        let log = Log { format: LogFormat::Json, filter: filter.to_owned(), queue_lines: 16 };
        CapturedLog::begin(telemetry::subscriber(&log, self.0.clone()).unwrap())
    }

    fn events(&self) -> Vec<Value> {
        self.0.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One line per audit event: number, event, outcome, reason.
    fn audit(&self) -> String {
        let events = self.events();
        let audit = events.iter().filter(|event| event["target"] == "audit");
        audit
            .map(|event| {
                let field = |name: &str| event[name].as_str().unwrap_or_default();
                let id = field("request_id");
                assert!(!id.is_empty() && !field("timestamp").is_empty() && field("ip") == "127.0.0.1", "{event}");
                let reason = field("reason");
                assert!(reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "one word: {event}");
                let phone = event["phone"].as_str().unwrap_or("-");
                format!("{phone} {} {} {reason}", field("event"), field("outcome")).trim_end().to_owned() + "\n"
            })
            .collect()
    }
}

fn other_than(code: &str) -> String {
    code.chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect()
}

/// Requested, sent, failed, wrong, expired, limited, verified, canceled.
async fn verify(app: &TestApp) {
    let post = async |path: &str, body: Value| app.post(path, body).await;
    app.gateway.next([Script::Fail(SendClass::RegionDenied), Script::Fail(SendClass::UnknownOutcome)]);
    post("/v1/verifications", json!({ "to": ANNA })).await.refused(502, "delivery_failed");
    post("/v1/verifications", json!({ "to": ANNA })).await.refused(504, "outcome_unknown");
    post("/v1/verifications", json!({ "to": ANNA })).await.refused(429, "send_limited");
    app.clock.advance(Duration::from_secs(30));
    let id = app.start_for(ANNA).await;
    let check = format!("/v1/verifications/{id}/check");
    post(&check, json!({ "code": other_than(&app.gateway.code(ANNA)) })).await.refused(400, "code_incorrect");
    app.clock.advance(Duration::from_secs(300));
    post(&check, json!({ "code": app.gateway.code(ANNA) })).await.refused(410, "verification_expired");
    let id = app.start_for(ANNA).await;
    assert_eq!(post(&format!("/v1/verifications/{id}/cancel"), json!({})).await.status, 200);
    app.receipt(BELA, "payment").await;
}

/// Signed in, refreshed, reuse detected, signed out, session ended, exported, erased, changed.
async fn live(app: &TestApp) {
    app.clock.advance(Duration::from_secs(3_600));
    let person = app.person(ANNA).await;
    app.patch_as(&person.access, "/v1/me", json!({ "name": "A" })).await;
    let next = Person::of(&app.refresh(&person.refresh).await);
    app.clock.advance(Duration::from_secs(11));
    app.refresh(&person.refresh).await.oauth_refused(400, "invalid_grant");
    app.refresh(&next.refresh).await.oauth_refused(400, "invalid_grant");
    let person = app.person(ANNA).await;
    app.form("/oauth/revoke", &[("token", &person.refresh)]).await;
    let (person, other) = (app.person(ANNA).await, app.person(BELA).await);
    app.delete_as(&other.access, &format!("/v1/me/sessions/{}", other.sid())).await;
    app.get_as(&person.access, "/v1/me/sessions").await;
    app.get_as(&person.access, "/v1/me/export").await;
    let started = app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": NEW })).await;
    let path = format!("/v1/verifications/{}/check", started.text("id"));
    let moved = app.post_as(&person.access, &path, json!({ "code": app.gateway.code(NEW) })).await;
    let person = Person::of(&moved);
    app.clock.advance(Duration::from_secs(601));
    app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": BELA }))
        .await
        .refused(403, "fresh_login_required");
    assert_eq!(app.delete_as(&person.access, "/v1/me").await.status, 204);
}

/// security 122: every decision is told once, with time, request id, address, masked number, outcome and reason.
#[tokio::test]
async fn every_decision_is_an_audit_event() {
    let captured = Captured::default();
    let _guard = captured.begin("info");
    let directory = tempfile::tempdir().unwrap();
    let file = ApiKeys::open(&directory.path().join("api.keys")).unwrap();
    let (_, admin) = file.create("support", &[Scope::Admin], START, &OsEntropy).unwrap();
    let (_, plain) = file.create("shop", &[], START, &OsEntropy).unwrap();
    let limits = "limits.sends_per_window = 9\nlimits.sends_per_day = 20\nlimits.sends_per_day_per_ip = 20";
    let app = TestApp::in_directory(limits, directory).await;
    verify(&app).await;
    live(&app).await;
    for (key, status) in [(admin.expose_secret(), 204), (plain.expose_secret(), 403), ("sk_x", 401)] {
        assert_eq!(app.post_as(key, "/v1/admin/unlock", json!({ "to": ANNA })).await.status, status);
    }
    expect![[r#"
        +98******4567 code_sent failed region_denied
        +98******4567 code_sent failed unknown_outcome
        +98******4567 code_requested refused send_cooldown
        +98******4567 code_sent sent accepted
        +98******4567 code_checked refused wrong_code
        +98******4567 code_checked refused expired
        +98******4567 code_sent sent accepted
        +98******4567 verification_canceled done
        +49*******5678 code_sent sent accepted
        +49*******5678 code_checked done
        +98******4567 code_sent sent accepted
        +98******4567 signed_in done
        +98******4567 profile_changed done
        +98******4567 refreshed done
        +98******4567 refreshed refused refresh_reused
        +98******4567 refreshed refused session_unknown
        +98******4567 code_sent sent accepted
        +98******4567 signed_in done
        +98******4567 signed_out done
        +98******4567 code_sent sent accepted
        +98******4567 signed_in done
        +49*******5678 code_sent sent accepted
        +49*******5678 signed_in done
        +49*******5678 session_ended done
        +98******4567 exported done
        +12*****0123 code_sent sent accepted
        +12*****0123 code_checked done
        +98******4567 phone_left done
        +12*****0123 phone_changed done
        +12*****0123 phone_change_requested refused not_fresh
        +12*****0123 erased done
        +98******4567 number_unlocked done
        - caller refused scope
        - caller refused key
    "#]]
    .assert_eq(&captured.audit());
    let unlocked = captured.events().into_iter().find(|event| event["event"] == "number_unlocked").unwrap();
    assert!(unlocked["who"].as_str().unwrap().starts_with("key_"), "{unlocked}");
}

/// The request id of an answer is that of its audit event.
#[tokio::test]
async fn an_answer_leads_to_its_audit_event() {
    let captured = Captured::default();
    let _guard = captured.begin("info");
    let app = TestApp::start().await;
    let request = app.client.post(app.url("/v1/verifications")).header("request-id", "order-7");
    let answer = Answer::read(request.json(&json!({ "to": ANNA }))).await;
    assert_eq!(answer.header("request-id"), "order-7");
    let of_request = captured.events().into_iter().filter(|event| event["request_id"] == "order-7").count();
    assert_eq!(of_request, 1, "one line of what was sent");
}

/// security 118, 119, 121: the whole flow at trace. No code, token, key or number is in the log, and what clients send
/// cannot begin a line of its own.
#[tokio::test]
async fn no_secret_is_logged_at_trace() {
    let data = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(&data.path().join("api.keys")).unwrap();
    let (_, key) = keys.create("shop", &[Scope::Admin], START, &OsEntropy).unwrap();
    let key = key.expose_secret().to_owned();
    let otpd = Spawned::start(data).await;
    let mut secrets = vec![key.clone()];
    walk(&otpd, &key, &mut secrets).await;
    hostile(&otpd).await;

    let lines = otpd.log().await;
    assert!(lines.iter().any(|line| line.contains("otpd::access")), "the filter lets more through than usual");
    for line in &lines {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not a line of ours: {line}"));
        assert!(event["target"].is_string() && event["timestamp"].is_string(), "{line}");
        assert!(event["forged"].is_null() && event["event"] != "forged", "{line}");
    }
    let log = lines.join("\n");
    let numbers = [ANNA, BELA, NEW].into_iter().flat_map(|number| {
        let phone = PhoneNumber::from_e164(number).unwrap();
        let bytes = format!("{:?}", phone.to_key());
        [number[1..].to_owned(), number[3..].to_owned(), bytes.trim_matches(['[', ']']).to_owned()]
    });
    for secret in secrets.into_iter().chain(numbers) {
        let at = log.lines().find(|line| line.contains(&secret));
        assert!(at.is_none(), "{secret} in {at:?}");
    }
    assert!(log.contains("+98******4567"), "masked numbers are there");
}

/// Everything that makes a secret, once.
async fn walk(otpd: &Spawned, key: &str, secrets: &mut Vec<String>) {
    let (id, code) = otpd.start_for(ANNA, "login").await;
    let check = format!("/v1/verifications/{id}/check");
    let wrong = other_than(&code);
    otpd.post(&check, json!({ "code": wrong })).await.refused(400, "code_incorrect");
    let receipt = otpd.post(&check, json!({ "code": code })).await.text("receipt");
    let fields = [("grant_type", crate::harness_tokens::JWT_BEARER), ("assertion", &receipt)];
    let first = Answer::read(otpd.client.post(otpd.url("/oauth/token")).basic_auth(key, Some("")).form(&fields)).await;
    let first = Person::of(&first);
    let grant = json!({ "grant_type": "refresh_token", "refresh_token": first.refresh });
    let second = Person::of(&otpd.post("/oauth/token", grant).await);
    let profile = json!({ "name": "Nm Canary Qq", "email": "canary@canary.example" });
    let patch = otpd.client.patch(otpd.url("/v1/me")).bearer_auth(&second.access).json(&profile);
    assert_eq!(Answer::read(patch).await.status, 200);
    let started = otpd.post_as(&second.access, "/v1/me/phone-change", json!({ "to": NEW })).await;
    let moving = otpd.code(NEW).await;
    let path = format!("/v1/verifications/{}/check", started.text("id"));
    let third = Person::of(&otpd.post_as(&second.access, &path, json!({ "code": moving })).await);
    let inspect = otpd.client.post(otpd.url("/oauth/introspect")).bearer_auth(key).form(&[("token", &third.access)]);
    assert_eq!(Answer::read(inspect).await.body["active"], true);
    let chosen = "8472619350";
    let body = json!({ "to": BELA, "custom_code": chosen, "metadata": { "note": "nt-canary" } });
    assert_eq!(otpd.post_as(key, "/v1/verifications", body).await.status, 201);
    let by_number = json!({ "to": BELA, "code": chosen });
    assert_eq!(otpd.post("/v1/verifications/check", by_number).await.status, 200);
    let gone = otpd.client.delete(otpd.url("/v1/me")).bearer_auth(&third.access);
    assert_eq!(Answer::read(gone).await.status, 204);
    secrets.extend([code, wrong, moving, chosen.to_owned(), receipt]);
    for person in [first, second, third] {
        // The signature is what makes a token one; any part of it would do harm.
        secrets.push(person.access.rsplit('.').next().unwrap().to_owned());
        secrets.extend([person.access, person.refresh]);
    }
    secrets.extend(["Nm Canary Qq".to_owned(), "canary@canary.example".to_owned(), "nt-canary".to_owned()]);
}

/// Texts that try to be a line, in every place a client has.
async fn hostile(otpd: &Spawned) {
    let line = "\r\n{\"timestamp\":\"x\",\"target\":\"audit\",\"event\":\"forged\",\"forged\":1}\n\u{1b}[2J";
    for field in ["to", "region", "purpose", "locale", line] {
        let mut body = json!({ "to": ANNA });
        body[field] = format!("+98912{line}").into();
        assert!((400..500).contains(&otpd.post("/v1/verifications", body).await.status));
    }
    let agent = b"Mozilla \t\x85\xe2\x80\xa8{\"event\":\"forged\"}";
    let agent = reqwest::header::HeaderValue::from_bytes(agent).unwrap();
    let request = otpd.client.get(otpd.url("/v1/me?%0d%0a{\"event\":\"forged\"}")).header("user-agent", agent.clone());
    let request = request.header("request-id", agent.clone()).header("authorization", agent);
    Answer::read(request).await.refused(401, "token_invalid");
}
