//! `typed_verification`, row by row as `contracts/observed.md` (section 5) and `contracts/dialects.md` have it.

use otpd::{http::docs::example, sms::SendClass};
use serde_json::{Value, json};

use crate::{
    dialect_table::{NO_IP_LIMITS, answers, request, rows},
    harness::{Answer, Script, TestApp, wrong},
    openapi_examples::{Scene, Stage},
};

const SEND: &str = "POST /api/users/send-otp/";
const RESEND: &str = "POST /api/users/resend-otp/";
const VERIFY: &str = "POST /api/users/verify-otp/";
/// The number of the document, as it is typed and as it is known.
const TO: &str = "255694230173";
const E164: &str = "+255694230173";
const SENT: &str = r#"{"message":"OTP sent successfully","status":"success"}"#;
const VERIFIED: &str = r#"{"message":"OTP verified successfully","status":"success","verified":true}"#;
const LIMITED: &str = r#"{"message":"Too many OTP requests. Please try again later."}"#;
const NO_PHONE: &str = "Phone number is required";
const INVALID: &str = "Invalid OTP code";
const EXPIRED: &str = "OTP code has expired. Please request a new one.";

/// The state that an example of the OpenAPI document speaks of.
pub(crate) async fn prepare(stage: &mut Stage, operation: &str) -> Scene {
    let number = stage.number();
    let mut scene = Scene { credential: None, real: vec![(example::NUMBER, number.clone())] };
    match operation {
        "typedVerificationSend" | "typedVerificationResend" => {}
        "typedVerificationVerify" => {
            send(&stage.app, &number, "Login").await;
            scene.real.push((example::CODE, stage.app.gateway.code(&number)));
        }
        _ => panic!("say here what {operation} needs"),
    }
    scene
}

async fn app() -> TestApp {
    TestApp::with(NO_IP_LIMITS).await
}

async fn send(app: &TestApp, to: &str, kind: &str) {
    let sent = app.post("/api/users/send-otp/", json!({ "phone": to, "verification_type": kind })).await;
    answers("send", &sent, 200, SENT);
}

fn error(text: &str) -> String {
    json!({ "message": text, "status": "error" }).to_string()
}

fn unverified(text: &str) -> String {
    json!({ "message": text, "status": "error", "verified": false }).to_string()
}

/// A check of the document's number and type.
fn verify(otp: impl Into<Value>) -> Value {
    json!({ "phone": TO, "otp": otp.into(), "verification_type": "Login" })
}

/// Rows of `verify-otp/` that are refused.
async fn refusals(app: &TestApp, cases: Vec<(&str, Value, &str)>) {
    for (what, body, text) in cases {
        rows(app, vec![(what, VERIFY, body, 400, &unverified(text))]).await;
    }
}

/// The document's requests, with the values printed in it.
#[tokio::test]
async fn the_document() {
    let app = app().await;
    let sample = || json!({ "phone": "255694230173", "verification_type": "Login" });
    rows(&app, vec![("send", SEND, sample(), 200, SENT)]).await;
    let code = app.gateway.code(E164);
    let text = format!("Welcome To Your App!\nThank you for using our service.\nYour OTP is {code}");
    assert_eq!((app.gateway.sent_to(E164), code.len()), (vec![text], 4));
    refusals(&app, vec![("wrong", verify(wrong(&code, 1)), INVALID)]).await;
    rows(&app, vec![("verify", VERIFY, verify(code.clone()), 200, VERIFIED)]).await;
    refusals(&app, vec![("once only", verify(code), INVALID)]).await;
    rows(&app, vec![("resend is send", RESEND, sample(), 200, SENT)]).await;
    rows(&app, vec![("verify again", VERIFY, verify(app.gateway.code(E164)), 200, VERIFIED)]).await;
    app.stop().await;
}

/// observed.md 5, send-otp: fields.
#[tokio::test]
async fn numbers_and_their_errors() {
    let app = app().await;
    for call in [SEND, RESEND] {
        for wrong in
            [json!(null), json!(""), json!(" \n"), json!(255_694_230_173_u64), json!(false), json!([TO]), json!({})]
        {
            rows(&app, vec![("no text", call, json!({ "phone": wrong }), 400, &error(NO_PHONE))]).await;
        }
        rows(
            &app,
            vec![
                ("nothing", call, json!({}), 400, &error(NO_PHONE)),
                ("a list for a body", call, json!([]), 400, &error(NO_PHONE)),
                ("a text for a body", call, json!("255694230173"), 400, &error(NO_PHONE)),
            ],
        )
        .await;
        for invalid in [
            "123456789",
            "1234567890123456",
            "0694230173",
            "+0694230173",
            "00255694230173",
            "255-694-230-173",
            "255.694230173",
            "(255)694230173",
            "++255694230173",
            "phone",
            "25569423017a",
            "255\u{0}694230173",
            "255\t694230173",
            &"2".repeat(5_000),
        ] {
            let body = json!({ "phone": invalid });
            rows(&app, vec![(invalid, call, body, 400, &error("Invalid phone number format"))]).await;
        }
    }
    assert!(app.gateway.sent().is_empty());
    for (spelling, known) in [
        (" 255694230173 ", E164),
        ("+255 694 230 173", E164),
        ("+۲۵۵۶۹۴۲۳۰۱۷۳", E164),
        ("1234567890", "+1234567890"),
        ("+1234567890", "+1234567890"),
        ("123456789012345", "+123456789012345"),
    ] {
        let before = app.gateway.sent_to(known).len();
        rows(&app, vec![(spelling, SEND, json!({ "phone": spelling }), 200, SENT)]).await;
        assert_eq!(app.gateway.sent_to(known).len(), before + 1, "{spelling}");
    }
    rows(&app, vec![("one window for all spellings", SEND, json!({ "phone": "+255694230173" }), 429, LIMITED)]).await;
    for spelling in ["2556 9423 0173", "+255694230173"] {
        let body = json!({ "phone": spelling, "otp": wrong(&app.gateway.code(E164), 1) });
        refusals(&app, vec![(spelling, body, INVALID)]).await;
    }
    let body = json!({ "phone": "٢٥٥٦٩٤٢٣٠١٧٣", "otp": app.gateway.code(E164) });
    rows(&app, vec![("verified in another spelling", VERIFY, body, 200, VERIFIED)]).await;
    app.stop().await;
}

/// dialects.md: where a region is configured, numbers are still the dialect's own: international, no leading zero.
#[tokio::test]
async fn a_region_changes_no_international_number() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.typed_verification.default_region = TZ")).await;
    rows(
        &app,
        vec![
            ("sample", SEND, json!({ "phone": TO }), 200, SENT),
            ("national", SEND, json!({ "phone": "0694230173" }), 400, &error("Invalid phone number format")),
        ],
    )
    .await;
    assert_eq!(app.gateway.sent_to(E164).len(), 1);
    app.stop().await;
}

/// observed.md 5, verify-otp, in the order of its checks.
#[tokio::test]
async fn codes_and_their_errors() {
    let app = app().await;
    send(&app, TO, "Login").await;
    let code = app.gateway.code(E164);
    refusals(
        &app,
        vec![
            ("nothing", json!({}), NO_PHONE),
            ("a list for a body", json!([]), NO_PHONE),
            ("no phone", json!({ "otp": code }), NO_PHONE),
            ("phone null", json!({ "phone": null, "otp": code }), NO_PHONE),
            ("phone a number", json!({ "phone": 255_694_230_173_u64, "otp": code }), NO_PHONE),
            ("phone blank", json!({ "phone": "  ", "otp": code }), NO_PHONE),
            ("no otp", json!({ "phone": TO }), "OTP code is required"),
            ("otp null", verify(json!(null)), "OTP code is required"),
            ("otp empty", verify(""), "OTP code is required"),
            ("otp blank", verify("  "), "OTP code is required"),
            ("letters", verify("12a4"), "OTP must be numeric"),
            ("a sign", verify("+123"), "OTP must be numeric"),
            ("a space within", verify("12 34"), "OTP must be numeric"),
            ("superscript", verify("12²4"), "OTP must be numeric"),
            ("true", verify(true), "OTP must be numeric"),
            ("a list", verify(json!([code])), "OTP must be numeric"),
            ("an object", verify(json!({ "$ne": "" })), "OTP must be numeric"),
            ("negative", verify(-1234), "OTP must be numeric"),
            ("a fraction", verify(1234.5), "OTP must be numeric"),
            // None of these is a try: there were more than the code has.
            ("three digits", verify("123"), INVALID),
            ("five digits", verify("12345"), INVALID),
            ("long", verify("1".repeat(5_000)), INVALID),
            ("a number that lost its zeros", verify(12), INVALID),
            ("a large number", verify(12_345_678_901_u64), INVALID),
            ("no number has this", json!({ "phone": "x", "otp": code }), INVALID),
            ("never sent to", json!({ "phone": "255694230199", "otp": code }), INVALID),
            ("a real try", verify(wrong(&code, 1)), INVALID),
        ],
    )
    .await;
    let elsewhere = json!({ "to": E164, "code": code });
    app.post("/v1/verifications/check", elsewhere).await.refused(404, "verification_not_found");
    rows(&app, vec![("as a number, zeros before it", VERIFY, verify(format!(" 00{code} ")), 200, VERIFIED)]).await;
    send(&app, TO, "Login").await;
    let code = app.gateway.code(E164);
    let persian: String = code.chars().map(|c| char::from_u32(0x06F0 + c.to_digit(10).unwrap()).unwrap()).collect();
    rows(&app, vec![("Persian digits", VERIFY, verify(persian), 200, VERIFIED)]).await;
    app.stop().await;
}

/// dialects.md 4: a JSON number is a code if it has all its digits; as text every code is one.
#[tokio::test]
async fn codes_as_json_numbers() {
    let app = app().await;
    let (mut whole, mut cut) = (0, 0);
    for n in 0..60 {
        let to = format!("+2556942400{n:02}");
        send(&app, &to, "Login").await;
        let code = app.gateway.code(&to);
        let body = |otp: Value| json!({ "phone": to, "otp": otp });
        let number: u64 = code.parse().unwrap();
        if code.starts_with('0') {
            cut += 1;
            refusals(&app, vec![("without its zero", body(json!(number)), INVALID)]).await;
            rows(&app, vec![("as text", VERIFY, body(json!(code)), 200, VERIFIED)]).await;
        } else {
            whole += 1;
            rows(&app, vec![("as a number", VERIFY, body(json!(number)), 200, VERIFIED)]).await;
        }
    }
    assert!(whole > 0 && cut > 0, "{whole} and {cut}: draw other numbers for this test");
    app.stop().await;
}

/// dialects.md: types are lower-cased, at most 20 characters, `login` unless named; other text is a type of its own.
#[tokio::test]
async fn types() {
    let app = app().await;
    let check = |kind: &str, code: &str| json!({ "phone": TO, "otp": code, "verification_type": kind });
    send(&app, TO, "LOGIN").await;
    let code = app.gateway.code(E164);
    refusals(
        &app,
        vec![
            ("another type", check("Registration", &code), INVALID),
            ("a space makes another", check("Login ", &code), INVALID),
            ("empty is another", check("", &code), INVALID),
        ],
    )
    .await;
    rows(&app, vec![("none is login", VERIFY, json!({ "phone": TO, "otp": code }), 200, VERIFIED)]).await;
    for (sent, checked) in [
        ("Registration", "rEGISTRATION"),
        ("phone_change", "phone_change"),
        ("password", "PASSWORD"),
        ("reset-pin_2", "Reset-PIN_2"),
        ("Log in", "log IN"),
        ("ثبت نام", "ثبت نام"),
        ("ÄÖÜ", "äöü"),
        ("", ""),
        ("a.b", "A.B"),
        (&"İ".repeat(20), &"İ".repeat(20)),
        (&"x".repeat(20), &"X".repeat(20)),
        (&"😀".repeat(20), &"😀".repeat(20)),
    ] {
        app.wait_s(86_400);
        send(&app, TO, sent).await;
        let code = app.gateway.code(E164);
        for other in ["login", "other", "ثبت", "a-b", "log_in"] {
            refusals(&app, vec![(other, check(other, &code), INVALID)]).await;
        }
        rows(&app, vec![(sent, VERIFY, check(checked, &code), 200, VERIFIED)]).await;
    }
    app.stop().await;
}

/// dialects.md: wrong types are 400 with the matching text.
#[tokio::test]
async fn types_that_are_none() {
    let app = app().await;
    let long = "x".repeat(21);
    for kind in [json!(null), json!(1), json!(true), json!(["Login"]), json!({}), json!(long), json!("é".repeat(21))] {
        let body = json!({ "phone": TO, "otp": "1234", "verification_type": kind });
        rows(
            &app,
            vec![
                ("send", SEND, body.clone(), 400, &error("Invalid verification type")),
                ("resend", RESEND, body.clone(), 400, &error("Invalid verification type")),
                ("verify", VERIFY, body, 400, &unverified("Invalid verification type")),
            ],
        )
        .await;
    }
    assert!(app.gateway.sent().is_empty());
    app.stop().await;
}

/// dialects.md 2: a new code ends the older one of its phone and type, and of no other type.
#[tokio::test]
async fn only_the_newest_code_of_a_type_counts() {
    let app = app().await;
    let check = |kind: &str, code: &str| json!({ "phone": TO, "otp": code, "verification_type": kind });
    send(&app, TO, "login").await;
    let first = app.gateway.code(E164);
    send(&app, TO, "registration").await;
    let other = app.gateway.code(E164);
    let again = app.post("/api/users/resend-otp/", json!({ "phone": TO })).await;
    answers("a newer one", &again, 200, SENT);
    let newest = app.gateway.code(E164);
    assert!(first != newest && other != newest, "draw other numbers for this test");
    refusals(
        &app,
        vec![("superseded", check("login", &first), INVALID), ("of the other type", check("login", &other), INVALID)],
    )
    .await;
    rows(
        &app,
        vec![
            ("the newest", VERIFY, check("login", &newest), 200, VERIFIED),
            ("the other type's", VERIFY, check("Registration", &other), 200, VERIFIED),
        ],
    )
    .await;
    app.stop().await;
}

/// dialects.md: five minutes. What is compared with a code that is over is not looked at: a wrong one is told the same.
#[tokio::test]
async fn codes_that_are_over() {
    let app = app().await;
    send(&app, TO, "Login").await;
    let code = app.gateway.code(E164);
    app.wait_ms(300_000);
    refusals(&app, vec![("right", verify(code.clone()), EXPIRED), ("wrong", verify(wrong(&code, 1)), EXPIRED)]).await;
    send(&app, TO, "Login").await;
    app.wait_ms(299_999);
    rows(&app, vec![("just in time", VERIFY, verify(app.gateway.code(E164)), 200, VERIFIED)]).await;
    app.stop().await;
}

/// dialects.md: five tries per code, the number's own budget above, three sends in ten minutes.
#[tokio::test]
async fn limits() {
    let app = app().await;
    send(&app, TO, "Login").await;
    let first = app.gateway.code(E164);
    for n in 1..=5 {
        refusals(&app, vec![("wrong", verify(wrong(&first, n)), INVALID)]).await;
    }
    refusals(&app, vec![("right, but all tries are spent", verify(first), INVALID)]).await;
    send(&app, TO, "Login").await;
    refusals(&app, vec![("the sixth in a row", verify(wrong(&app.gateway.code(E164), 1)), INVALID)]).await;
    let kind = json!({ "phone": TO, "verification_type": "Registration" });
    rows(&app, vec![("a third send, of another type", SEND, kind.clone(), 200, SENT)]).await;
    for call in [SEND, RESEND] {
        let limited = Answer::read(request(&app, call).json(&kind)).await;
        answers("a fourth", &limited, 429, LIMITED);
        assert_eq!(limited.header("retry-after"), "600");
    }
    let right = json!({ "phone": TO, "otp": app.gateway.code(E164), "verification_type": "registration" });
    let delayed = app.post("/api/users/verify-otp/", right.clone()).await;
    answers("the number waits", &delayed, 400, &unverified(INVALID));
    assert_eq!(delayed.header("retry-after"), "30");
    app.wait_s(30);
    rows(&app, vec![("half a minute later", VERIFY, right, 200, VERIFIED)]).await;
    app.wait_s(569);
    rows(&app, vec![("almost ten minutes", SEND, kind.clone(), 429, LIMITED)]).await;
    app.wait_s(1);
    rows(&app, vec![("ten minutes", SEND, kind, 200, SENT)]).await;
    app.stop().await;
}

/// observed.md 5: a failed send, which gives the send back.
#[tokio::test]
async fn failed_sends() {
    let app = app().await;
    let failed = error("Failed to send OTP. Please try again.");
    let body = || json!({ "phone": TO });
    for call in [SEND, RESEND, SEND, RESEND] {
        app.gateway.next([Script::Fail(SendClass::ProviderDown), Script::Fail(SendClass::ProviderDown)]);
        rows(&app, vec![("not sent", call, body(), 500, &failed)]).await;
    }
    refusals(&app, vec![("nothing is pending then", verify(app.gateway.code(E164)), INVALID)]).await;
    app.gateway.next([Script::Fail(SendClass::UnknownOutcome)]);
    rows(&app, vec![("nobody knows", SEND, body(), 500, &failed)]).await;
    rows(&app, vec![("but it came", VERIFY, verify(app.gateway.code(E164)), 200, VERIFIED)]).await;
    app.stop().await;
}

/// Nobody is signed in, and no account is made.
#[tokio::test]
async fn a_verification_makes_no_user() {
    let app = app().await;
    send(&app, TO, "Login").await;
    rows(&app, vec![("verified", VERIFY, verify(app.gateway.code(E164)), 200, VERIFIED)]).await;
    assert!(app.person(E164).await.is_new_user);
    app.stop().await;
}

/// observed.md 0: what the framework says by itself; dialects.md: 308 for a missing slash.
#[tokio::test]
async fn the_framework() {
    let app = app().await;
    for call in [SEND, RESEND, VERIFY] {
        let post = |body: &'static str, media_type: &'static str| {
            Answer::read(request(&app, call).header("content-type", media_type).body(body))
        };
        let parse = r#"{"detail":"JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"}"#;
        answers("malformed", &post("{", "application/json").await, 400, parse);
        let media = r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#;
        answers("another form", &post("{}", "text/plain").await, 415, media);
        let refused = if call == VERIFY { unverified(NO_PHONE) } else { error(NO_PHONE) };
        answers("no body", &Answer::read(request(&app, call)).await, 400, &refused);
        let get = Answer::read(request(&app, &call.replacen("POST", "GET", 1))).await;
        answers("wrong method", &get, 405, r#"{"detail":"Method \"GET\" not allowed."}"#);
        assert_eq!(get.header("allow"), "POST, OPTIONS");
    }
    let form = app.form("/api/users/send-otp/", &[("phone", TO), ("verification_type", "Login")]).await;
    answers("a form", &form, 200, SENT);
    let form = app.form("/api/users/verify-otp/", &[("phone", TO), ("otp", &app.gateway.code(E164))]).await;
    answers("a form", &form, 200, VERIFIED);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for name in ["send-otp", "verify-otp", "resend-otp"] {
        let slash = Answer::read(client.post(app.url(&format!("/api/users/{name}?a=1")))).await;
        assert_eq!((slash.status, slash.header("location")), (308, format!("/api/users/{name}/?a=1").as_str()));
    }
    let large = Answer::read(request(&app, SEND).json(&json!({ "phone": "1".repeat(20_000) }))).await;
    answers("too large", &large, 413, &error("The request body is too large."));
    app.stop().await;
}

/// dialects.md: sends and checks of one address, a bucket of this dialect alone.
#[tokio::test]
async fn one_address_has_its_limit() {
    let app = TestApp::with("dialects.typed_verification.ip_per_minute = 3").await;
    for path in ["/api/users/send-otp/", "/api/users/verify-otp/", "/api/users/resend-otp/"] {
        app.post(path, json!({})).await.is(400);
    }
    for path in ["/api/users/send-otp/", "/api/users/verify-otp/", "/api/users/resend-otp/"] {
        answers(path, &app.post(path, json!({ "phone": TO })).await, 429, LIMITED);
    }
    app.post("/api/auth/send-otp/", json!({ "phone_number": E164 })).await.is(200);
    app.stop().await;
}
