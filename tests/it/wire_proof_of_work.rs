//! Proof of work before a send: asked at every door, good once, for one number and address (security 42).
//!
//! Eight bits here, so that solving takes no time; the server is the same at thirty.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    dialect_table::NO_IP_LIMITS,
    harness::{Answer, TestApp},
    harness_tokens::{ANNA, BELA},
    spawned::Spawned,
};

const ASKED: &str = "proof_of_work.mode = always\nproof_of_work.bits = 8\nserver.trusted_proxies = 127.0.0.1";
const START: &str = "/v1/verifications";

async fn asked() -> TestApp {
    TestApp::with(ASKED).await
}

/// `POST` with some headers.
async fn post(app: &TestApp, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
    let request = app.client.post(app.url(path)).json(&body);
    Answer::read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn start(app: &TestApp, to: &str, headers: &[(&str, &str)]) -> Answer {
    post(app, START, json!({ "to": to }), headers).await
}

/// The proof that a 428 asks for.
fn solve(refused: &Answer) -> String {
    assert_eq!(refused.status, 428, "{refused:?}");
    let (challenge, bits) = refused.header("proof-of-work-challenge").split_once("; bits=").unwrap();
    assert_eq!(bits, "8");
    let mut proofs = (0_u32..).map(|number| format!("{challenge}:{number}"));
    proofs.find(|proof| Sha256::digest(proof)[0] == 0).unwrap()
}

/// A number that solves nothing.
fn fail(refused: &Answer) -> String {
    let (challenge, _) = refused.header("proof-of-work-challenge").split_once("; ").unwrap();
    let mut proofs = (0_u32..).map(|number| format!("{challenge}:{number}"));
    proofs.find(|proof| Sha256::digest(proof)[0] != 0).unwrap()
}

/// Proof for a number, asked for and solved.
async fn proof_for(app: &TestApp, to: &str) -> String {
    solve(start(app, to, &[]).await.refused(428, "proof_of_work_required"))
}

#[tokio::test]
async fn without_it_nothing_is_sent_or_decided() {
    let app = asked().await;
    let refused = start(&app, ANNA, &[]).await;
    refused.refused(428, "proof_of_work_required");
    let asked = &refused.body["proof_of_work"];
    let header = format!("{}; bits={}", asked["challenge"].as_str().unwrap(), asked["bits"]);
    assert_eq!(refused.header("proof-of-work-challenge"), header);
    assert_eq!((app.gateway.sent().len(), app.counting.loads()), (0, 0), "not even an actor was started");
    // What is wrong with the request is said first: nobody works for nothing.
    start(&app, "123", &[]).await.refused(422, "number_invalid");
    post(&app, START, json!({ "to": ANNA, "custom_code": "1234" }), &[]).await.refused(403, "scope");
    let started = start(&app, ANNA, &[("proof-of-work", &solve(&refused))]).await.is(201);
    assert_eq!(started.header("proof-of-work-challenge"), "");
    assert_eq!(app.gateway.sent_to(ANNA).len(), 1);
    // Everything but sending goes on as ever.
    app.check(&started.text("id"), &app.gateway.code(ANNA)).await.is(200);
    app.stop().await;
}

/// security 42: a token that has been used is refused, here and in every later try, and a fresh one is asked for.
#[tokio::test]
async fn it_is_good_once() {
    let app = asked().await;
    let proof = proof_for(&app, ANNA).await;
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.is(201);
    app.wait_s(60);
    let replayed = start(&app, ANNA, &[("proof-of-work", &proof)]).await;
    replayed.refused(428, "proof_of_work_required");
    assert!(!proof.starts_with(replayed.body["proof_of_work"]["challenge"].as_str().unwrap()), "the same again");
    assert_eq!(app.gateway.sent_to(ANNA).len(), 1);
    start(&app, ANNA, &[("proof-of-work", &solve(&replayed))]).await.is(201);
    // It is spent by a request that a limit refuses, too: one proof is no way to ask for ever.
    let proof = proof_for(&app, ANNA).await;
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.refused(429, "send_limited");
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.refused(428, "proof_of_work_required");
    app.stop().await;
}

/// Of many at once that show the same proof one is let through.
#[tokio::test]
async fn it_is_good_once_under_a_race() {
    let app = asked().await;
    let proof = proof_for(&app, ANNA).await;
    let headers = [("proof-of-work", proof.as_str())];
    let tries = futures_util::future::join_all((0..32).map(|_| start(&app, ANNA, &headers))).await;
    let of = |status: u16| tries.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(201), of(428)), (1, 31));
    assert_eq!(app.gateway.sent_to(ANNA).len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn it_is_for_one_number_one_address_and_its_time() {
    let app = asked().await;
    let proof = proof_for(&app, ANNA).await;
    start(&app, BELA, &[("proof-of-work", &proof)]).await.refused(428, "proof_of_work_required");
    let elsewhere = [("proof-of-work", proof.as_str()), ("x-forwarded-for", "203.0.113.7")];
    start(&app, ANNA, &elsewhere).await.refused(428, "proof_of_work_required");
    app.wait_s(300);
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.refused(428, "proof_of_work_required");
    // A challenge made elsewhere is solved elsewhere.
    let refused = start(&app, ANNA, &elsewhere[1..]).await;
    let proof = solve(&refused);
    start(&app, ANNA, &[("proof-of-work", &proof), elsewhere[1]]).await.is(201);
    assert_eq!(app.gateway.sent().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_proof_is_refused() {
    let app = asked().await;
    let refused = start(&app, ANNA, &[]).await;
    let proof = solve(&refused);
    let made_up = format!("{}:0", "A".repeat(44));
    for wrong in ["", "x", ":", "0", made_up.as_str(), &fail(&refused), &format!("{proof}0x")] {
        start(&app, ANNA, &[("proof-of-work", wrong)]).await.refused(428, "proof_of_work_required");
    }
    let twice = [("proof-of-work", proof.as_str()), ("proof-of-work", proof.as_str())];
    start(&app, ANNA, &twice).await.refused(428, "proof_of_work_required");
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.is(201);
    app.stop().await;
}

#[tokio::test]
async fn back_ends_with_a_key_are_not_asked() {
    let app = asked().await;
    app.post_as(&app.keys.backend, START, json!({ "to": ANNA })).await.is(201);
    app.post_as("sk_wrong", START, json!({ "to": BELA })).await.refused(401, "invalid_key");
    app.stop().await;
}

/// Whatever has a message sent: a resend and a phone change as well.
#[tokio::test]
async fn resends_and_phone_changes_are_asked_too() {
    let app = asked().await;
    let proof = proof_for(&app, ANNA).await;
    let started = start(&app, ANNA, &[("proof-of-work", &proof)]).await.is(201);
    app.wait_s(30);
    let resend = format!("{START}/{}/resend", started.text("id"));
    let refused = post(&app, &resend, json!({}), &[]).await;
    refused.refused(428, "proof_of_work_required");
    post(&app, &resend, json!({}), &[("proof-of-work", &solve(&refused))]).await.is(200);
    let body = json!({ "verification_id": started.text("id"), "code": app.gateway.code(ANNA) });
    let access = app.post("/v1/sessions", body).await.is(200).text("access_token");
    let bearer = format!("Bearer {access}");
    let change = "/v1/me/phone-change";
    let refused = post(&app, change, json!({ "to": BELA }), &[("authorization", &bearer)]).await;
    refused.refused(428, "proof_of_work_required");
    let headers = [("authorization", bearer.as_str()), ("proof-of-work", &solve(&refused))];
    post(&app, change, json!({ "to": BELA }), &headers).await.is(201);
    assert_eq!((app.gateway.sent_to(ANNA).len(), app.gateway.sent_to(BELA).len()), (2, 1));
    app.stop().await;
}

/// A retry under the same `Idempotency-Key` gets the kept answer, with the proof that is spent or with a new one; a proof is
/// not good for a second key.
#[tokio::test]
async fn retries_with_a_spent_proof_are_answered() {
    let app = asked().await;
    let proof = proof_for(&app, ANNA).await;
    let first = [("proof-of-work", proof.as_str()), ("idempotency-key", "k1")];
    let started = start(&app, ANNA, &first).await.is(201);
    let again = start(&app, ANNA, &first).await.is(201);
    assert_eq!((again.header("idempotency-replayed"), again.text("id")), ("true", started.text("id")));
    let other_key = [("proof-of-work", proof.as_str()), ("idempotency-key", "k2")];
    let refused = start(&app, ANNA, &other_key).await;
    refused.refused(428, "proof_of_work_required");
    start(&app, ANNA, &first[..1]).await.refused(428, "proof_of_work_required");
    // The same key for another request is another retry.
    let body = json!({ "to": ANNA, "purpose": "other" });
    post(&app, START, body, &first).await.refused(428, "proof_of_work_required");
    // Without any proof the kept answer is not told; with a new one it is.
    start(&app, ANNA, &first[1..]).await.refused(428, "proof_of_work_required");
    let renewed = solve(&refused);
    let again = start(&app, ANNA, &[("proof-of-work", &renewed), first[1]]).await.is(201);
    assert_eq!((again.header("idempotency-replayed"), again.text("id")), ("true", started.text("id")));
    assert_eq!(app.gateway.sent_to(ANNA).len(), 1);
    app.stop().await;
}

/// What a process has spent is good in no later one, which would not remember it.
#[tokio::test]
async fn a_restart_asks_anew() {
    let app = asked().await;
    let proof = proof_for(&app, ANNA).await;
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.is(201);
    app.wait_s(60);
    let app = app.restart(ASKED).await;
    let refused = start(&app, ANNA, &[("proof-of-work", &proof)]).await;
    refused.refused(428, "proof_of_work_required");
    start(&app, ANNA, &[("proof-of-work", &solve(&refused))]).await.is(201);
    app.stop().await;
}

/// Each dialect asks in its own form, with the same headers, and after its own rules for numbers.
#[tokio::test]
async fn every_dialect_asks() {
    let app = TestApp::with(&format!("{ASKED}\n{NO_IP_LIMITS}\ndialects.signup_login.reveal_registered = false")).await;
    let text = "Proof of work is required. Please solve the challenge and try again.";
    let doors: [(&str, &str, &str, Value); 7] = [
        ("/api/auth/send-otp/", "phone_number", "+1234567890", json!({ "error": text })),
        ("/api/v1/usr/otp", "phone_number", "+989123456781", json!({ "detail": text })),
        ("/auth/signup", "phone_number", "+14155550120", Value::Null),
        ("/auth/login", "phone_number", "+14155550121", Value::Null),
        ("/auth/check-phone/", "phone", "09123456782", json!({ "error": text })),
        ("/api/users/send-otp/", "phone", "+14155550122", Value::Null),
        ("/api/users/resend-otp/", "phone", "+14155550123", Value::Null),
    ];
    for (sent, (path, field, number, form)) in doors.into_iter().enumerate() {
        let body = |number: &str| Value::Object([(field.to_owned(), number.into())].into_iter().collect());
        let bad = post(&app, path, body("123"), &[]).await;
        assert!(matches!(bad.status, 400 | 422), "{path} {bad:?}");
        let refused = post(&app, path, body(number), &[]).await.is(428);
        assert!(refused.raw.contains(text), "{path} {refused:?}");
        assert!(form.is_null() || refused.body == form, "{path} {refused:?}");
        assert_eq!(app.gateway.sent().len(), sent, "{path}");
        let proof = solve(&refused);
        let answer = post(&app, path, body(number), &[("proof-of-work", &proof)]).await.is(200);
        assert_eq!(app.gateway.sent().len(), sent + 1, "{path} {answer:?}");
        app.wait_s(60);
        post(&app, path, body(number), &[("proof-of-work", &proof)]).await.is(428);
        assert_eq!(app.gateway.sent().len(), sent + 1, "{path}");
    }
    app.stop().await;
}

/// More spent ones than may be remembered: no message until there is room again.
#[tokio::test]
async fn a_full_memory_refuses() {
    let app = TestApp::with(&format!("{ASKED}\nproof_of_work.used_max = 100")).await;
    for n in 0..100 {
        let to = format!("+98912000{n:04}");
        let proof = proof_for(&app, &to).await;
        start(&app, &to, &[("proof-of-work", &proof)]).await.is(201);
    }
    let proof = proof_for(&app, ANNA).await;
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.refused(503, "overloaded");
    app.post_as(&app.keys.backend, START, json!({ "to": BELA })).await.is(201);
    app.wait_s(300);
    let proof = proof_for(&app, ANNA).await;
    start(&app, ANNA, &[("proof-of-work", &proof)]).await.is(201);
    app.stop().await;
}

/// The default asks for nothing, and does not look at what comes.
#[tokio::test]
async fn it_is_off_by_default() {
    let app = TestApp::start().await;
    start(&app, ANNA, &[("proof-of-work", "nonsense")]).await.is(201);
    app.stop().await;
}

/// A page of another origin may send the one header and read the other.
#[tokio::test]
async fn pages_of_listed_origins_can_prove_it() {
    let app = TestApp::with(&format!("{ASKED}\napi.cors_origins = https://app.example")).await;
    let ask = app.client.request(Method::OPTIONS, app.url(START)).header("origin", "https://app.example");
    let preflight = Answer::read(ask.header("access-control-request-method", "POST")).await.is(204);
    let allowed = preflight.header("access-control-allow-headers").to_ascii_lowercase();
    assert!(allowed.split(", ").any(|name| name == "proof-of-work"), "{preflight:?}");
    let refused = start(&app, ANNA, &[("origin", "https://app.example")]).await;
    let exposed = refused.header("access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.split(", ").any(|name| name == "proof-of-work-challenge"), "{refused:?}");
    app.stop().await;
}

/// Every outcome but a full memory, counted.
#[tokio::test]
async fn outcomes_are_counted() {
    let changes = [("PROOF_OF_WORK__MODE", "always"), ("PROOF_OF_WORK__BITS", "8")];
    let otpd = Spawned::start_with(tempfile::tempdir().unwrap(), &changes).await;
    let start = async |to: &str, proof: &str, key: &str| {
        let request = otpd.client.post(otpd.url(START)).json(&json!({ "to": to }));
        Answer::read(request.header("proof-of-work", proof).header("idempotency-key", key)).await
    };
    let refused = otpd.post(START, json!({ "to": ANNA })).await;
    start(ANNA, &fail(&refused), "k1").await.is(428);
    let proof = solve(&refused);
    start(BELA, &proof, "k1").await.is(428);
    start(ANNA, &proof, "k1").await.is(201);
    start(ANNA, &proof, "k1").await.is(201);
    start(ANNA, &proof, "k2").await.is(428);
    let metrics = otpd.metrics().await;
    let counted = |outcome: &str| metrics.contains(&format!("otpd_proof_of_work_total{{outcome=\"{outcome}\"}} 1\n"));
    for outcome in ["required", "wrong", "foreign", "accepted", "retried", "replayed"] {
        assert!(counted(outcome), "{outcome}: {metrics}");
    }
    assert!(metrics.contains(r#"otpd_refusals_total{dialect="v1",reason="proof_of_work"} 4"#), "{metrics}");
    // The log tells neither what was asked nor what was shown.
    let (challenge, _) = proof.split_once(':').unwrap();
    assert!(otpd.log().await.iter().all(|line| !line.contains(challenge)));
}
