//! Checks by id, `cancel` and `read`: every way a verification can stand.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{START, TestApp, wrong};

const TO: &str = "+989123456789";

fn claims(token: &str) -> (Value, Value) {
    let part = |n: usize| URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap();
    (serde_json::from_slice(&part(0)).unwrap(), serde_json::from_slice(&part(1)).unwrap())
}

/// v1.md: a wrong code is 400 with `attempts_remaining`; the last wrong one and every later check is 429
/// `max_attempts_reached`, the right code as well. security 18; R-06: the counter itself is asserted.
#[tokio::test]
async fn five_wrong_codes_end_a_verification() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    for n in 1..=4 {
        let answer = app.check(&id, &wrong(&code, n)).await;
        answer.refused(400, "code_incorrect");
        assert_eq!(answer.body["attempts_remaining"], 5 - n);
    }
    app.wait_ms(500);
    for typed in [wrong(&code, 5), wrong(&code, 6), code.clone()] {
        let answer = app.check(&id, &typed).await;
        answer.refused(429, "max_attempts_reached").waits(300);
        assert_eq!(answer.body["attempts_remaining"], 0);
    }
    let read = app.get(&format!("/v1/verifications/{id}")).await.is(200);
    assert_eq!(read.text("status"), "max_attempts_reached");
    assert_eq!(read.body["attempts_remaining"], 0);
}

/// The number of tries is a setting (3 to 10), and the fourth right of five is still right.
#[tokio::test]
async fn the_last_try_may_be_right() {
    let app = TestApp::with("codes.attempts = 3").await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    for n in 1..=2 {
        assert_eq!(app.check(&id, &wrong(&code, n)).await.body["attempts_remaining"], 3 - n);
    }
    app.check(&id, &code).await.is(200);
}

/// v1.md: not exactly n digits is 400 `code_format` and costs no attempt. security 5.
#[tokio::test]
async fn what_is_no_code_costs_nothing() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let changes = app.settled_changes(&id).await;
    for typed in ["1", "12345", "1234567", "1234567890", "12345678901", "12345a", "12.456", "+12345", " ", "-"] {
        app.check(&id, typed).await.refused(400, "code_format");
        app.check_number(TO, typed).await.refused(400, "code_format");
    }
    assert_eq!(app.counting.changes(), changes);
    let read = app.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["attempts_remaining"], 5);
    app.check(&id, &app.gateway.code(TO)).await.is(200);
}

/// v1.md: expired is 410, at the very millisecond. security 8, 9, R-16.
#[tokio::test]
async fn a_code_ends_at_its_millisecond() {
    let app = TestApp::start().await;
    let early = app.start_for("+989120000001").await;
    let late = app.start_for("+989120000002").await;
    app.wait_ms(299_999);
    app.check(&early, &app.gateway.code("+989120000001")).await.is(200);
    app.wait_ms(1);
    app.check(&late, &app.gateway.code("+989120000002")).await.refused(410, "verification_expired");
    app.check(&late, "000001").await.refused(410, "verification_expired");
    let read = app.get(&format!("/v1/verifications/{late}")).await.is(200);
    assert_eq!(read.text("status"), "expired");
    assert_eq!(read.body["resend"], json!({ "allowed_in": 0, "remaining": 0 }));
    app.post(&format!("/v1/verifications/{late}/cancel"), json!({})).await.refused(410, "verification_expired");
}

/// DESIGN 2: a clock that jumps back revives nothing: what had expired stays expired, and the cooldown runs from the
/// latest time the record saw, so the wait that is told is until the clock has caught up with it.
#[tokio::test]
async fn a_clock_set_back_revives_nothing() {
    let app = TestApp::start().await;
    let old = app.start_for(TO).await;
    let old_code = app.gateway.code(TO);
    app.wait_s(301);
    let new = app.start_for(TO).await;
    app.settled_changes(&new).await;
    app.clock.set(START);
    app.check(&old, &old_code).await.refused(410, "verification_expired");
    let too_soon = app.post("/v1/verifications", json!({ "to": TO })).await;
    too_soon.refused(429, "send_limited").waits(301 + 30);
    app.check(&new, &app.gateway.code(TO)).await.is(200);
}

/// v1.md: canceled is 410 `verification_closed`, whatever code comes; to cancel twice is no error; what was approved
/// cannot be canceled.
#[tokio::test]
async fn a_canceled_verification_is_closed() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let cancel = format!("/v1/verifications/{id}/cancel");
    let canceled = app.post(&cancel, json!({})).await.is(200);
    assert_eq!((canceled.text("status").as_str(), canceled.text("id")), ("canceled", id.clone()));
    assert_eq!(app.get(&format!("/v1/verifications/{id}")).await.is(200).raw, canceled.raw);
    app.post(&cancel, json!({})).await.is(200);
    app.check(&id, &app.gateway.code(TO)).await.refused(410, "verification_closed");
    app.check(&id, "000001").await.refused(410, "verification_closed");
    app.post(&cancel, json!({ "reason": "x" })).await.refused(400, "unknown_field").points_at("/reason");
    let other = app.start_for("+989120000001").await;
    app.check(&other, &app.gateway.code("+989120000001")).await.is(200);
    app.post(&format!("/v1/verifications/{other}/cancel"), json!({})).await.refused(409, "already_approved");
}

/// v1.md: a code is good once; later 409 `already_approved`. security 10 and R-08: with spaces and other scripts too.
#[tokio::test]
async fn a_code_works_once_however_it_is_typed() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    app.check(&id, &code).await.is(200);
    let persian: String = code.chars().map(|c| char::from_u32(0x6F0 + c.to_digit(10).unwrap()).unwrap()).collect();
    for typed in [code.clone(), format!("{code} "), format!("{}-{}", &code[..3], &code[3..]), persian, wrong(&code, 1)]
    {
        app.check(&id, &typed).await.refused(409, "already_approved");
        app.check_number(TO, &typed).await.refused(409, "already_approved");
    }
}

/// v1.md: 200 with `status: approved`, `receipt` (one-minute JWT of `typ` `receipt+jwt` with `aud`, `purpose`,
/// `phone_number`, `amr`, `jti`) and `is_new_user`, which is false once the number has an account (security 55).
#[tokio::test]
async fn a_right_code_brings_a_receipt() {
    let app = TestApp::start().await;
    let started = app.post("/v1/verifications", json!({ "to": TO, "purpose": "payment" })).await.is(201);
    let id = started.text("id");
    let approved = app.check(&id, &app.gateway.code(TO)).await.is(200);
    let order: Vec<&String> = approved.body.as_object().unwrap().keys().collect();
    assert_eq!(order.len(), 12, "{order:?}");
    let expected = started.raw.strip_suffix('}').unwrap().replacen("pending", "approved", 1);
    let expected = expected.replacen("\"attempts_remaining\":5", "\"attempts_remaining\":4", 1);
    let expected = expected.replacen("\"allowed_in\":30,\"remaining\":4", "\"allowed_in\":0,\"remaining\":0", 1);
    let receipt = approved.text("receipt");
    assert_eq!(approved.raw, format!("{expected},\"receipt\":\"{receipt}\",\"is_new_user\":true}}"));
    assert!(started.body.get("is_new_user").is_none() && started.body.get("receipt").is_none());
    let (header, claims) = claims(&receipt);
    assert_eq!(header["typ"], "receipt+jwt");
    assert_eq!(claims["aud"], format!("http://{}", app.address));
    assert_eq!((&claims["purpose"], &claims["phone_number"]), (&json!("payment"), &json!(TO)));
    assert_eq!(claims["amr"], json!(["otp", "sms"]));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert_eq!(format!("ver_{}", claims["jti"].as_str().unwrap()), id);
    app.sign_in("+989120000001").await;
    let id = app.start_for("+989120000001").await;
    let known = app.check(&id, &app.gateway.code("+989120000001")).await.is(200);
    assert_eq!(known.body["is_new_user"], false);
}

/// v1.md: an unknown, malformed or made-up id, and one of another kind, is 404 `verification_not_found` on every
/// route that takes one; a malformed one starts no actor (DESIGN 2, security 102).
#[tokio::test]
async fn ids_that_are_none_of_ours_are_not_found() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let signed_in = app.sign_in("+989120000001").await;
    let (_, access) = claims(&signed_in.text("access_token"));
    let sealed = id.strip_prefix("ver_").unwrap();
    let flipped = if sealed.ends_with('0') { "1" } else { "0" };
    let loads = app.counting.loads();
    let ids = [
        format!("ver_{}", "0".repeat(32)),
        format!("ver_{}", "f".repeat(32)),
        format!("ver_{}{flipped}", &sealed[..31]),
        format!("ver_{}", access["sid"].as_str().unwrap()),
        format!("ver_{}", sealed.to_uppercase()),
        format!("ver_{sealed}0"),
        format!("ver_{}", &sealed[1..]),
        format!("{id}%20"),
        sealed.to_owned(),
        format!("VER_{sealed}"),
        "ver_".to_owned(),
        "x".to_owned(),
        "%00".to_owned(),
        "%ff%fe".to_owned(),
        "..%2f..%2fetc%2fpasswd".to_owned(),
        "%F0%9F%98%80".to_owned(),
        "a".repeat(4_000),
    ];
    for id in ids {
        let path = format!("/v1/verifications/{id}");
        app.get(&path).await.refused(404, "verification_not_found");
        app.post(&format!("{path}/check"), json!({ "code": "123456" })).await.refused(404, "verification_not_found");
        app.post(&format!("{path}/resend"), json!({})).await.refused(404, "verification_not_found");
        app.post(&format!("{path}/cancel"), json!({})).await.refused(404, "verification_not_found");
        let body = json!({ "verification_id": id, "code": "123456" });
        app.post("/v1/sessions", body).await.refused(404, "verification_not_found");
    }
    assert_eq!(app.counting.loads(), loads);
}

/// v1.md: a finished verification is kept a day, then it is 404.
#[tokio::test]
async fn a_finished_verification_is_kept_a_day() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    app.check(&id, &code).await.is(200);
    app.wait_ms(86_400_000 - 1);
    app.check(&id, &code).await.refused(409, "already_approved");
    app.wait_ms(1);
    app.check(&id, &code).await.refused(404, "verification_not_found");
    app.get(&format!("/v1/verifications/{id}")).await.refused(404, "verification_not_found");
}

/// v1.md: each start is a verification of its own (id, code, tries); an earlier one stays valid for who holds its id;
/// nobody who starts one can read, wear out or cancel another's. security 13, 14 as DESIGN has them.
#[tokio::test]
async fn several_are_pending_and_apart() {
    let app = TestApp::start().await;
    let mine = app.start_for(TO).await;
    let my_code = app.gateway.code(TO);
    app.wait_s(30);
    let theirs = app.start_for(TO).await;
    let their_code = app.gateway.code(TO);
    assert!(mine != theirs && my_code != their_code);
    assert_eq!(app.check(&theirs, &my_code).await.refused(400, "code_incorrect").body["attempts_remaining"], 4);
    for n in 1..=4 {
        app.check(&theirs, &wrong(&their_code, n)).await;
    }
    app.check(&theirs, &their_code).await.refused(429, "max_attempts_reached");
    app.post(&format!("/v1/verifications/{theirs}/cancel"), json!({})).await.is(200);
    let read = app.get(&format!("/v1/verifications/{mine}")).await.is(200);
    assert_eq!((read.text("status").as_str(), &read.body["attempts_remaining"]), ("pending", &json!(5)));
    app.check(&mine, &my_code).await.is(200);
}

/// security 14, cross-matrix: a code is good at its own verification alone, whatever number or purpose.
#[tokio::test]
async fn a_code_is_good_at_its_own_verification_alone() {
    let app = TestApp::start().await;
    let mut issued = Vec::new();
    for (to, purpose) in [(TO, "login"), (TO, "payment"), ("+989120000001", "login"), ("+989120000001", "payment")] {
        let id = app.post("/v1/verifications", json!({ "to": to, "purpose": purpose })).await.is(201).text("id");
        issued.push((id, to, purpose, app.gateway.code(to)));
        app.wait_s(30);
    }
    for (id, to, purpose, code) in &issued {
        for (_, other_to, other_purpose, other) in issued.iter().filter(|(_, _, _, other)| other != code) {
            app.check(id, other).await.refused(400, "code_incorrect");
            let body = json!({ "to": to, "purpose": purpose, "code": other });
            let by_number = app.post("/v1/verifications/check", body).await;
            by_number.refused(400, "code_incorrect");
            assert!((to, purpose) != (other_to, other_purpose));
        }
        app.check(id, code).await.is(200);
    }
}
