//! `auth_otp`, row by row as `contracts/observed.md` (section 1) and `contracts/dialects.md` have it.

use otpd::{http::docs::example, sms::SendClass};
use serde_json::{Value, json};

use crate::{
    dialect_table::{NO_IP_LIMITS, answers, request, rows},
    harness::{Answer, Script, TestApp, wrong},
    openapi_examples::{Scene, Stage},
};

const SEND: &str = "POST /api/auth/send-otp/";
const VERIFY: &str = "POST /api/auth/verify-otp/";
const PROFILE: &str = "GET /api/auth/profile/";
const TO: &str = "+1234567890";
const USER: &str = r#"{"id":<id>,"phone_number":"+1234567890","username":"+1234567890","first_name":"","last_name":"","is_phone_verified":true,"date_joined":"2026-01-01T00:00:00Z"}"#;
const WRONG: &str = r#"{"error":"Invalid or expired OTP code"}"#;
const LIMITED: &str = r#"{"error":"Too many OTP requests. Please try again later."}"#;

/// The state that an example of the OpenAPI document speaks of.
pub(crate) async fn prepare(stage: &mut Stage, operation: &str) -> Scene {
    let number = stage.number();
    let mut scene = Scene { credential: None, real: vec![(example::NUMBER, number.clone())] };
    match operation {
        "authOtpSend" | "authOtpDocs" => {}
        "authOtpVerify" => {
            send(&stage.app, &number).await;
            scene.real.push((example::CODE, stage.app.gateway.code(&number)));
        }
        "authOtpProfile" => scene.credential = Some(sign_in(&stage.app, &number).await.0),
        _ => panic!("say here what {operation} needs"),
    }
    scene
}

async fn app() -> TestApp {
    TestApp::with(NO_IP_LIMITS).await
}

async fn send(app: &TestApp, to: &str) {
    app.post("/api/auth/send-otp/", json!({ "phone_number": to })).await.is(200);
}

/// Access and refresh token of a person who signs in here.
async fn sign_in(app: &TestApp, to: &str) -> (String, String) {
    send(app, to).await;
    let body = json!({ "phone_number": to, "otp_code": app.gateway.code(to) });
    let answer = app.post("/api/auth/verify-otp/", body).await.is(200);
    let token = |name: &str| answer.body["tokens"][name].as_str().unwrap().to_owned();
    (token("access"), token("refresh"))
}

fn numbered(to: &str) -> Value {
    json!({ "phone_number": to })
}

/// observed.md 1, send-otp: fields.
#[tokio::test]
async fn numbers_and_their_errors() {
    let app = app().await;
    let invalid = |list: &str| format!(r#"{{"error":"Invalid data","details":{{"phone_number":{list}}}}}"#);
    let format = invalid(r#"["Invalid phone number format"]"#);
    let bad = |what, sent: Value, body: &str| (what, SEND, json!({ "phone_number": sent }), 400, body.to_owned());
    let cases = [
        bad("letters", json!("+1234abc890"), &format),
        bad("dashes", json!("+1-234-567-890"), &format),
        bad("eight digits", json!("12345678"), &format),
        bad("fifteen digits, none of them a leading 1", json!("+223456789012345"), &format),
        bad("sixteen digits", json!("+1234567890123456"), &format),
        bad("no country has this", json!("000000000"), &format),
        bad("blank", json!("  "), &invalid(r#"["This field may not be blank."]"#)),
        bad("null", json!(null), &invalid(r#"["This field may not be null."]"#)),
        bad("a list", json!(["+1234567890"]), &invalid(r#"["Not a valid string."]"#)),
        bad("long", json!("1".repeat(21)), &invalid(r#"["Ensure this field has no more than 20 characters."]"#)),
    ];
    rows(
        &app,
        cases
            .iter()
            .map(|(what, call, sent, status, body)| (*what, *call, sent.clone(), *status, body.as_str()))
            .collect(),
    )
    .await;
    rows(&app, vec![
        ("no field", SEND, json!({}), 400, &invalid(r#"["This field is required."]"#)),
        ("a list for a body", SEND, json!([]), 400,
            r#"{"error":"Invalid data","details":{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}}"#),
        ("a number for a text", SEND, numbered_by(1_234_567_890_i64), 200,
            r#"{"message":"OTP sent successfully","phone_number":"1234567890","expires_in_minutes":5}"#),
        ("ends are trimmed", SEND, numbered(" +12025550101 "), 200,
            r#"{"message":"OTP sent successfully","phone_number":"+12025550101","expires_in_minutes":5}"#),
        ("nine digits", SEND, numbered("123456789"), 200,
            r#"{"message":"OTP sent successfully","phone_number":"123456789","expires_in_minutes":5}"#),
        ("Persian digits", SEND, numbered("+۹۸۹۱۲۳۴۵۶۷۸۹"), 200,
            r#"{"message":"OTP sent successfully","phone_number":"+۹۸۹۱۲۳۴۵۶۷۸۹","expires_in_minutes":5}"#),
    ]).await;
    assert_eq!(app.gateway.sent_to("+989123456789").len(), 1, "Persian digits are the same number");
    app.stop().await;
}

fn numbered_by(number: i64) -> Value {
    json!({ "phone_number": number })
}

/// observed.md 1, verify-otp and profile, from a new user to a known one.
#[tokio::test]
async fn signing_in() {
    let app = app().await;
    rows(
        &app,
        vec![(
            "sample of the document",
            SEND,
            numbered(TO),
            200,
            r#"{"message":"OTP sent successfully","phone_number":"+1234567890","expires_in_minutes":5}"#,
        )],
    )
    .await;
    let code = app.gateway.code(TO);
    let verify = |code: &str| json!({ "phone_number": TO, "otp_code": code });
    let signed_in = |is_new: bool| {
        format!(
            r#"{{"message":"Authentication successful","user":{USER},"tokens":{{"access":"<jwt>","refresh":"<jwt>"}},"is_new_user":{is_new}}}"#
        )
    };
    let (new, known) = (signed_in(true), signed_in(false));
    rows(
        &app,
        vec![
            ("a wrong code", VERIFY, verify(&wrong(&code, 1)), 400, WRONG),
            ("the right one", VERIFY, verify(&code), 200, &new),
            ("once only", VERIFY, verify(&code), 400, WRONG),
            ("never sent", VERIFY, json!({ "phone_number": "+12025550102", "otp_code": "123456" }), 400, WRONG),
        ],
    )
    .await;
    send(&app, TO).await;
    rows(&app, vec![("a known user", VERIFY, verify(&app.gateway.code(TO)), 200, &known)]).await;
    let (access, _) = sign_in(&app, TO).await;
    let profile = app.get_as(&access, "/api/auth/profile/").await;
    answers("profile", &profile, 200, &format!(r#"{{"user":{USER}}}"#));
    app.get_as(&access, "/v1/me").await.is(200);
    app.stop().await;
}

/// observed.md 1, verify-otp: fields; dialects.md 1 and the core's code rule.
#[tokio::test]
async fn codes_and_their_errors() {
    let app = app().await;
    send(&app, TO).await;
    let invalid = |list: &str| format!(r#"{{"error":"Invalid data","details":{{"otp_code":{list}}}}}"#);
    let digits = invalid(r#"["OTP code must be 6 digits"]"#);
    let verify = |code: Value| json!({ "phone_number": TO, "otp_code": code });
    rows(&app, vec![
        ("five digits", VERIFY, verify(json!("12345")), 400, &digits),
        ("letters", VERIFY, verify(json!("12345a")), 400, &digits),
        ("seven", VERIFY, verify(json!("1234567")), 400, &invalid(r#"["Ensure this field has no more than 6 characters."]"#)),
        ("null", VERIFY, verify(json!(null)), 400, &invalid(r#"["This field may not be null."]"#)),
        ("a number, which has lost its zeros", VERIFY, verify(json!(123_456)), 400, &invalid(r#"["Not a valid string."]"#)),
        ("nothing", VERIFY, json!({}), 400,
            r#"{"error":"Invalid data","details":{"phone_number":["This field is required."],"otp_code":["This field is required."]}}"#),
        ("foreign digits are the same code", VERIFY, verify(json!(persian(&app.gateway.code(TO)))), 200,
            &format!(r#"{{"message":"Authentication successful","user":{USER},"tokens":{{"access":"<jwt>","refresh":"<jwt>"}},"is_new_user":true}}"#)),
    ]).await;
    app.stop().await;
}

fn persian(code: &str) -> String {
    code.chars().map(|c| char::from_u32(u32::from('۰') + c.to_digit(10).unwrap()).unwrap()).collect()
}

/// dialects.md: five tries, then the same body; five minutes; a new code ends the old one; three sends in two minutes.
#[tokio::test]
async fn limits() {
    let app = app().await;
    send(&app, TO).await;
    let first = app.gateway.code(TO);
    let verify = |code: &str| json!({ "phone_number": TO, "otp_code": code });
    for n in 1..=5 {
        rows(&app, vec![("wrong", VERIFY, verify(&wrong(&first, n)), 400, WRONG)]).await;
    }
    rows(&app, vec![("right, but all tries are spent", VERIFY, verify(&first), 400, WRONG)]).await;
    send(&app, TO).await;
    let second = app.gateway.code(TO);
    send(&app, TO).await;
    rows(
        &app,
        vec![("superseded", VERIFY, verify(&second), 400, WRONG), ("a fourth send", SEND, numbered(TO), 429, LIMITED)],
    )
    .await;
    let delayed = Answer::read(request(&app, VERIFY).json(&verify(&app.gateway.code(TO)))).await;
    answers("the number waits: six wrong in a row", &delayed, 400, WRONG);
    assert_eq!(delayed.header("retry-after"), "30");
    app.wait_s(30);
    let right = app.gateway.code(TO);
    app.post("/api/auth/verify-otp/", verify(&right)).await.is(200);
    app.wait_s(120);
    send(&app, TO).await;
    let late = app.gateway.code(TO);
    app.wait_s(300);
    rows(&app, vec![("five minutes later", VERIFY, verify(&late), 400, WRONG)]).await;
    app.stop().await;
}

/// observed.md 1: a failed send, which gives the send back.
#[tokio::test]
async fn failed_sends() {
    let app = app().await;
    for _ in 0..4 {
        app.gateway.next([Script::Fail(SendClass::ProviderDown), Script::Fail(SendClass::ProviderDown)]);
        rows(&app, vec![("not sent", SEND, numbered(TO), 500, r#"{"error":"Failed to send OTP. Please try again."}"#)])
            .await;
    }
    rows(
        &app,
        vec![(
            "nothing is pending then",
            VERIFY,
            json!({ "phone_number": TO, "otp_code": app.gateway.code(TO) }),
            400,
            WRONG,
        )],
    )
    .await;
    app.stop().await;
}

/// observed.md 0: tokens.
#[tokio::test]
async fn tokens_that_are_not_good() {
    let app = app().await;
    let not_valid = |message: &str| {
        format!(
            r#"{{"detail":"Given token not valid for any token type","code":"token_not_valid","messages":[{{"token_class":"AccessToken","token_type":"access","message":"{message}"}}]}}"#
        )
    };
    let none = r#"{"detail":"Authentication credentials were not provided."}"#.to_owned();
    let two = r#"{"detail":"Authorization header must contain two space-delimited values","code":"bad_authorization_header"}"#;
    let (access, refresh) = sign_in(&app, TO).await;
    let cases = [
        ("another scheme", "Token abc".to_owned(), none.clone()),
        ("the scheme alone", "Bearer".to_owned(), two.to_owned()),
        ("three words", "Bearer a b".to_owned(), two.to_owned()),
        ("garbage", "Bearer abc".to_owned(), not_valid("Token is invalid")),
        ("a refresh token", format!("Bearer {refresh}"), not_valid("Token has wrong type")),
    ];
    for (what, header, expected) in cases {
        let answer = Answer::read(request(&app, PROFILE).header("authorization", header)).await;
        answers(what, &answer, 401, &expected);
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="api""#);
    }
    answers("no header", &Answer::read(request(&app, PROFILE)).await, 401, &none);
    app.wait_s(86_400);
    answers("a day later", &app.get_as(&access, "/api/auth/profile/").await, 401, &not_valid("Token is expired"));
    let (access, _) = sign_in(&app, TO).await;
    let number = json!({ "to": TO });
    app.post_as(&app.keys.admin, "/v1/admin/deactivate", number.clone()).await.is(204);
    let shut = app.get_as(&access, "/api/auth/profile/").await;
    answers("shut", &shut, 401, r#"{"detail":"User is inactive","code":"user_inactive"}"#);
    send(&app, TO).await;
    let code = json!({ "phone_number": TO, "otp_code": app.gateway.code(TO) });
    rows(&app, vec![("shut", VERIFY, code, 403, r#"{"error":"User is inactive"}"#)]).await;
    app.post_as(&app.keys.admin, "/v1/admin/activate", number).await.is(204);
    app.get_as(&access, "/api/auth/profile/").await.is(200);
    Answer::read(app.client.delete(app.url("/v1/me")).bearer_auth(&access)).await.is(204);
    let gone = app.get_as(&access, "/api/auth/profile/").await;
    answers("erased", &gone, 401, r#"{"detail":"User not found","code":"user_not_found"}"#);
    app.stop().await;
}

/// dialects.md 7: its refresh tokens are taken at `/oauth/token`, rotate there and work once.
#[tokio::test]
async fn refresh_tokens_are_taken_at_the_canonical_door() {
    let app = app().await;
    let (_, refresh) = sign_in(&app, TO).await;
    let body = |token: &str| json!({ "grant_type": "refresh_token", "refresh_token": token });
    let next = app.post("/oauth/token", body(&refresh)).await.is(200);
    app.get_as(&next.text("access_token"), "/api/auth/profile/").await.is(200);
    app.wait_s(11);
    app.post("/oauth/token", body(&refresh)).await.is(400);
    app.get_as(&next.text("access_token"), "/api/auth/profile/").await.is(401);
    app.stop().await;
}

/// observed.md 0: what the framework says by itself; dialects.md: 308 for a missing slash.
#[tokio::test]
async fn the_framework() {
    let app = app().await;
    let post = |body: &'static str, media_type: &'static str| {
        Answer::read(request(&app, SEND).header("content-type", media_type).body(body))
    };
    let parse = r#"{"detail":"JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"}"#;
    answers("malformed", &post("{", "application/json").await, 400, parse);
    let media = r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#;
    answers("another form", &post("{}", "text/plain").await, 415, media);
    let required = r#"{"error":"Invalid data","details":{"phone_number":["This field is required."]}}"#;
    answers("no body", &Answer::read(request(&app, SEND)).await, 400, required);
    let sent = r#"{"message":"OTP sent successfully","phone_number":"+1234567890","expires_in_minutes":5}"#;
    answers("a form", &post("phone_number=%2B1234567890", "application/x-www-form-urlencoded").await, 200, sent);
    let get = Answer::read(request(&app, "GET /api/auth/send-otp/")).await;
    answers("wrong method", &get, 405, r#"{"detail":"Method \"GET\" not allowed."}"#);
    assert_eq!(get.header("allow"), "POST, OPTIONS");
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let slash = Answer::read(client.post(app.url("/api/auth/send-otp?a=1")).json(&numbered(TO))).await;
    assert_eq!((slash.status, slash.header("location")), (308, "/api/auth/send-otp/?a=1"));
    let large = Answer::read(request(&app, SEND).json(&numbered(&"1".repeat(20_000)))).await;
    answers("too large", &large, 413, r#"{"error":"The request body is too large."}"#);
    let docs = app.get("/api/auth/docs/").await.is(200);
    assert_eq!(docs.body["otp_details"]["length"], 6);
    app.stop().await;
}

/// dialects.md: sixty requests of one address a minute, of this dialect alone.
#[tokio::test]
async fn one_address_has_its_limit() {
    let app = TestApp::with("dialects.auth_otp.ip_per_minute = 3").await;
    for _ in 0..3 {
        app.post("/api/auth/verify-otp/", json!({})).await.is(400);
    }
    let limited = app.post("/api/auth/send-otp/", numbered(TO)).await;
    answers("a fourth", &limited, 429, LIMITED);
    app.get("/api/auth/docs/").await.is(200);
    app.post("/v1/verifications", json!({ "to": TO })).await.is(201);
    app.stop().await;
}
