//! `usr_otp`, row by row as `contracts/observed.md` (section 2) and `contracts/dialects.md` have it: codes.
//!
//! Tokens, cookies, `refresh` and `logout` stand in `dialect_usr_otp_tokens`.

use otpd::{http::docs::example, sms::SendClass};
use serde_json::{Value, json};

use crate::{
    dialect_table::{NO_IP_LIMITS, Row, answers, request, rows},
    harness::{Answer, Script, TestApp, wrong},
    openapi_examples::{Scene, Stage},
};

pub(crate) const SEND: &str = "POST /api/v1/usr/otp";
pub(crate) const VERIFY: &str = "POST /api/v1/usr/otp/verify";
pub(crate) const TO: &str = "+989123456789";
const SENT: &str = r#"{"phone_number":"+989123456789","message":"OTP sent successfully","expires_in":300}"#;
const BAD_NUMBER: &str = r#"{"phone_number":["Please provide a valid Iranian phone number starting with +98 or 09"]}"#;
const NO_CODE: &str = r#"{"code":["No active OTP found. Please request a new one."]}"#;
const TWO_LEFT: &str = r#"{"code":["Invalid OTP code. 2 attempt(s) remaining."]}"#;
const ONE_LEFT: &str = r#"{"code":["Invalid OTP code. 1 attempt(s) remaining."]}"#;
const LAST_TRY: &str = r#"{"code":["Maximum attempts exceeded. Please request a new OTP."]}"#;
const USED_UP: &str = r#"{"code":["OTP has expired or maximum attempts exceeded. Please request a new one."]}"#;
const LIMITED: &str = r#"{"phone_number":["Too many OTP requests. Please try again in 2 minutes."]}"#;
pub(crate) const SIGNED_IN: &str = concat!(
    r#"{"access_token":"<jwt>","refresh_token":"<jwt>","is_new_user":true,"user":{"id":<id>,"phone_number":"+989123456789","#,
    r#""email":"989123456789@temp.pilito.com","username":"989123456789","first_name":null,"last_name":null}}"#,
);

/// No limit of sends that a test would meet.
pub(crate) const MANY_SENDS: &str = "\
    dialects.usr_otp.ip_per_minute = 0\n\
    dialects.usr_otp.sends = 50\n\
    limits.sends_per_day = 50\n\
    limits.sends_per_day_per_ip = 50";

/// The state that an example of the OpenAPI document speaks of.
pub(crate) async fn prepare(stage: &mut Stage, operation: &str) -> Scene {
    let number = stage.number();
    let mut scene = Scene { credential: None, real: vec![(example::NUMBER, number.clone())] };
    match operation {
        "usrOtpSend" => {}
        "usrOtpVerify" => {
            send(&stage.app, &number).await;
            scene.real.push((example::CODE, stage.app.gateway.code(&number)));
        }
        "usrOtpRefresh" => {
            scene.real.push((example::ACCESS_TOKEN, sign_in(&stage.app, &number).await.text("refresh_token")))
        }
        "usrOtpLogout" => scene.credential = Some(sign_in(&stage.app, &number).await.text("access_token")),
        _ => panic!("say here what {operation} needs"),
    }
    scene
}

pub(crate) async fn app() -> TestApp {
    TestApp::with(NO_IP_LIMITS).await
}

pub(crate) async fn send(app: &TestApp, to: &str) {
    app.post("/api/v1/usr/otp", json!({ "phone_number": to })).await.is(200);
}

/// Signs a person in here; the answer.
pub(crate) async fn sign_in(app: &TestApp, to: &str) -> Answer {
    send(app, to).await;
    let body = json!({ "phone_number": to, "code": app.gateway.code(to) });
    app.post("/api/v1/usr/otp/verify", body).await.is(200)
}

fn numbered(to: &str) -> Value {
    json!({ "phone_number": to })
}

fn coded(code: &str) -> Value {
    json!({ "phone_number": TO, "code": code })
}

fn row<'a>(what: &'a str, call: &'a str, body: Value, status: u16, expected: &'a str) -> Row<'a> {
    (what, call, body, status, expected)
}

/// The document's curl lines and `fetch` bodies as printed, and its sample values; the text that its user flow shows.
#[tokio::test]
async fn the_document_itself() {
    let app = app().await;
    let curl = |path: &str, body: String| {
        let request = app.client.post(app.url(path)).header("Content-Type", "application/json");
        Answer::read(request.body(body))
    };
    let sent = curl("/api/v1/usr/otp", r#"{"phone_number": "+989123456789"}"#.to_owned()).await;
    answers("Send OTP", &sent, 200, SENT);
    let code = app.gateway.code(TO);
    let text = format!("کد تایید شما: {code}\n\nاین کد تا 5 دقیقه اعتبار دارد.");
    assert_eq!(app.gateway.sent_to(TO), [text]);
    let verify = r#"{"phone_number": "+989123456789", "code": "YOUR_CODE"}"#;
    let not_six = r#"{"code":["Ensure this field has no more than 6 characters."]}"#;
    answers("YOUR_CODE is none", &curl("/api/v1/usr/otp/verify", verify.to_owned()).await, 400, not_six);
    let verified = curl("/api/v1/usr/otp/verify", verify.replace("YOUR_CODE", &code)).await;
    answers("Verify OTP", &verified, 200, SIGNED_IN);
    // What the script keeps.
    assert!(verified.body["access_token"].is_string() && verified.body["refresh_token"].is_string());
    app.get_as(&verified.text("access_token"), "/v1/me").await.is(200);
    let fetch = json!({ "phone_number": "09351112233" }).to_string();
    answers(
        "sendOTP(phone)",
        &curl("/api/v1/usr/otp", fetch).await,
        200,
        r#"{"phone_number":"+989351112233","message":"OTP sent successfully","expires_in":300}"#,
    );
    let fetch = json!({ "phone_number": "09351112233", "code": app.gateway.code("+989351112233") }).to_string();
    curl("/api/v1/usr/otp/verify", fetch).await.is(200);
    app.stop().await;
}

/// observed.md 2, rules; dialects.md 1: what is cleaned off, and that all spellings are one number.
#[tokio::test]
async fn one_number_however_it_is_typed() {
    let app = TestApp::with(MANY_SENDS).await;
    let spellings = [
        "+989123456789",
        "09123456789",
        "  09123456789 ",
        "+98 912 345 67 89",
        "(0912) 345-6789",
        "0912.345.6789 mobile",
        "+98 (0)912 345 6789",
        "۰۹۱۲۳۴۵۶۷۸۹",
        "+۹۸۹۱۲۳۴۵۶۷۸۹",
        "٠٩١٢٣٤٥٦٧٨٩",
        "０９１２３４５６７８９",
        "09123456789\u{200F}",
    ];
    rows(&app, spellings.iter().map(|typed| row(typed, SEND, numbered(typed), 200, SENT)).collect()).await;
    assert_eq!(app.gateway.sent_to(TO).len(), spellings.len());
    let body = json!({ "phone_number": "0912 345 6789", "code": app.gateway.code(TO) });
    rows(&app, vec![row("verified in another spelling", VERIFY, body, 200, SIGNED_IN)]).await;
    app.stop().await;
}

/// observed.md 2 and 0: the number's own rule and the field's.
#[tokio::test]
async fn numbers_that_are_not_taken() {
    let app = app().await;
    let typed = [
        "abc",
        "+98",
        "09",
        "+1234567890",
        "+12025550101",
        "989123456789",
        "9123456789",
        "00989123456789",
        "+98912345678",
        "+9891234567890",
        "0912345678",
        "091234567890",
        "+98+9123456789",
        "08123456789",
        "+۱۲۰۲۵۵۵۰۱۰۱",
    ];
    rows(&app, typed.iter().map(|typed| row(typed, SEND, numbered(typed), 400, BAD_NUMBER)).collect()).await;
    let cases = [
        ("blank", json!(""), "This field may not be blank."),
        ("spaces", json!("   "), "This field may not be blank."),
        ("null", json!(null), "This field may not be null."),
        ("a list", json!([TO]), "Not a valid string."),
        ("an object", json!({}), "Not a valid string."),
        ("a truth", json!(true), "Not a valid string."),
        ("long", json!("1".repeat(101)), "Ensure this field has no more than 100 characters."),
        ("zero byte", json!("0912\u{0}3456789"), "Null characters are not allowed."),
        (
            "a number that is a text then",
            json!(9_123_456_789_i64),
            "Please provide a valid Iranian phone number starting with +98 or 09",
        ),
    ];
    for (what, sent, text) in cases {
        let expected = json!({ "phone_number": [text] }).to_string();
        rows(&app, vec![row(what, SEND, json!({ "phone_number": sent }), 400, &expected)]).await;
    }
    let list = r#"{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}"#;
    let required = r#"{"phone_number":["This field is required."]}"#;
    rows(
        &app,
        vec![row("no field", SEND, json!({}), 400, required), row("a list for a body", SEND, json!([]), 400, list)],
    )
    .await;
    assert_eq!(app.gateway.sent(), []);
    app.stop().await;
}

/// config.toml: other beginnings, where an operator serves other countries.
#[tokio::test]
async fn other_prefixes() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.usr_otp.phone_number_prefixes = +98,09,+1,44")).await;
    let sent =
        |to: &str| json!({ "phone_number": to, "message": "OTP sent successfully", "expires_in": 300 }).to_string();
    rows(
        &app,
        vec![
            row("American", SEND, numbered("+1 (202) 555-0101"), 200, &sent("+12025550101")),
            row("Iranian", SEND, numbered("09123456789"), 200, &sent(TO)),
            row("Iranian and short", SEND, numbered("+98912345678"), 400, BAD_NUMBER),
            row("German", SEND, numbered("+4915112345678"), 400, BAD_NUMBER),
        ],
    )
    .await;
    app.stop().await;
}

/// observed.md 2, verify: fields.
#[tokio::test]
async fn codes_that_are_none() {
    let app = app().await;
    send(&app, TO).await;
    let code = app.gateway.code(TO);
    let cases = [
        ("five", json!("12345"), "Ensure this field has at least 6 characters."),
        ("seven", json!("1234567"), "Ensure this field has no more than 6 characters."),
        ("spaced", json!(format!("{} {}", &code[..3], &code[3..])), "Ensure this field has no more than 6 characters."),
        ("letters", json!("12345a"), "OTP code must contain only digits"),
        ("a sign", json!("-12345"), "OTP code must contain only digits"),
        ("blank", json!(" "), "This field may not be blank."),
        ("null", json!(null), "This field may not be null."),
        ("a number, which has lost its zeros", json!(code.parse::<u32>().unwrap()), "Not a valid string."),
        ("a list", json!([code]), "Not a valid string."),
    ];
    for (what, sent, text) in cases {
        let expected = json!({ "code": [text] }).to_string();
        rows(&app, vec![row(what, VERIFY, json!({ "phone_number": TO, "code": sent }), 400, &expected)]).await;
    }
    let both = r#"{"phone_number":["This field is required."],"code":["This field is required."]}"#;
    let one = r#"{"phone_number":["Ensure this field has no more than 100 characters."]}"#;
    let persian: String =
        code.chars().map(|c| char::from_u32(u32::from('۰') + c.to_digit(10).unwrap()).unwrap()).collect();
    rows(
        &app,
        vec![
            row("nothing", VERIFY, json!({}), 400, both),
            row("a long number", VERIFY, json!({ "phone_number": "0".repeat(101), "code": "123456" }), 400, one),
            row(
                "foreign digits, ends trimmed; and nothing was spent",
                VERIFY,
                coded(&format!(" {persian} ")),
                200,
                SIGNED_IN,
            ),
        ],
    )
    .await;
    app.stop().await;
}

/// observed.md 2, verify: nothing unused for the phone; no rule for the number here.
#[tokio::test]
async fn no_code_is_about() {
    let app = app().await;
    let of = |to: &str| json!({ "phone_number": to, "code": "123456" });
    rows(
        &app,
        vec![
            row("never sent", VERIFY, of(TO), 400, NO_CODE),
            row("no number at all", VERIFY, of("abc"), 400, NO_CODE),
            row("another country", VERIFY, of("+12025550101"), 400, NO_CODE),
            row("too short", VERIFY, of("+98"), 400, NO_CODE),
        ],
    )
    .await;
    send(&app, TO).await;
    let first = app.gateway.code(TO);
    rows(
        &app,
        vec![
            row("the right one", VERIFY, coded(&first), 200, SIGNED_IN),
            row("used", VERIFY, coded(&first), 400, NO_CODE),
        ],
    )
    .await;
    app.post("/api/auth/send-otp/", numbered("+989351112233")).await.is(200);
    let body = json!({ "phone_number": "+989351112233", "code": app.gateway.code("+989351112233") });
    rows(&app, vec![row("sent by another dialect", VERIFY, body, 400, NO_CODE)]).await;
    app.stop().await;
}

/// observed.md 2, verify: three tries per code, its five minutes, and that a new code ends the old one.
#[tokio::test]
async fn tries_and_time() {
    let app = app().await;
    send(&app, TO).await;
    let first = app.gateway.code(TO);
    rows(
        &app,
        vec![
            row("1st wrong", VERIFY, coded(&wrong(&first, 1)), 400, TWO_LEFT),
            row("2nd wrong", VERIFY, coded(&wrong(&first, 2)), 400, ONE_LEFT),
            row("3rd wrong", VERIFY, coded(&wrong(&first, 3)), 400, LAST_TRY),
            row("4th wrong", VERIFY, coded(&wrong(&first, 4)), 400, USED_UP),
            row("right, but too late", VERIFY, coded(&first), 400, USED_UP),
        ],
    )
    .await;
    send(&app, TO).await;
    let second = app.gateway.code(TO);
    assert_ne!(first, second);
    rows(&app, vec![row("superseded", VERIFY, coded(&first), 400, TWO_LEFT)]).await;
    app.wait_ms(299_999);
    rows(&app, vec![row("in its last moment", VERIFY, coded(&second), 200, SIGNED_IN)]).await;
    send(&app, TO).await;
    app.wait_ms(300_000);
    rows(&app, vec![row("five minutes later", VERIFY, coded(&app.gateway.code(TO)), 400, USED_UP)]).await;
    app.stop().await;
}

/// dialects.md: the number waits after six wrong codes in a row, whoever sent them.
#[tokio::test]
async fn a_delayed_number() {
    let app = app().await;
    for round in [[TWO_LEFT, ONE_LEFT, LAST_TRY], [TWO_LEFT, ONE_LEFT, LAST_TRY]] {
        send(&app, TO).await;
        let code = app.gateway.code(TO);
        for expected in round {
            rows(&app, vec![row("wrong", VERIFY, coded(&wrong(&code, 1)), 400, expected)]).await;
        }
    }
    send(&app, TO).await;
    let right = app.gateway.code(TO);
    app.wait_ms(500);
    let delayed = Answer::read(request(&app, VERIFY).json(&coded(&right))).await;
    answers("delayed", &delayed, 400, USED_UP);
    assert_eq!(delayed.header("retry-after"), "30");
    app.wait_ms(29_500);
    rows(&app, vec![row("and then good", VERIFY, coded(&right), 200, SIGNED_IN)]).await;
    app.stop().await;
}

/// dialects.md: three codes in two minutes, in whatever spelling and by whatever door; the true wait.
#[tokio::test]
async fn codes_per_number() {
    let app = app().await;
    send(&app, TO).await;
    app.wait_s(10);
    app.post("/api/auth/send-otp/", numbered(TO)).await.is(200);
    app.wait_s(25);
    send(&app, "0912 345 6789").await;
    app.wait_ms(500);
    let fourth = app.post("/api/v1/usr/otp", numbered(TO)).await;
    answers("a fourth", &fourth, 429, LIMITED);
    assert_eq!(fourth.header("retry-after"), "85", "the first is forgotten after two minutes");
    app.wait_ms(84_499);
    answers("a moment early", &app.post("/api/v1/usr/otp", numbered("۰۹۱۲۳۴۵۶۷۸۹")).await, 429, LIMITED);
    app.wait_ms(1);
    send(&app, TO).await;
    app.wait_s(120);
    send(&app, TO).await;
    app.wait_s(120);
    let sixth = app.post("/api/v1/usr/otp", numbered(TO)).await;
    let later = r#"{"phone_number":["Too many OTP requests. Please try again later."]}"#;
    answers("a day's share of one address, which the original does not know", &sixth, 429, later);
    assert_eq!(sixth.header("retry-after"), "86040");
    app.stop().await;
}

/// dialects.md: five requests a minute of one address, whatever they are, over both routes and no other.
#[tokio::test]
async fn requests_per_address() {
    let app = TestApp::start().await;
    send(&app, TO).await;
    Answer::read(request(&app, "GET /api/v1/usr/otp")).await.is(405);
    app.post("/api/v1/usr/otp/verify", json!({})).await.is(400);
    app.post_raw("/api/v1/usr/otp/verify", "{").await.is(400);
    let code = app.gateway.code(TO);
    let refresh = app.post("/api/v1/usr/otp/verify", coded(&code)).await.is(200).text("refresh_token");
    for call in [SEND, VERIFY, "OPTIONS /api/v1/usr/otp"] {
        let limited = Answer::read(request(&app, call).json(&numbered(TO))).await;
        let wait = limited.header("retry-after").to_owned();
        assert!((1..=12).contains(&wait.parse::<u64>().unwrap()), "{limited:?}");
        let unit = if wait == "1" { "second" } else { "seconds" };
        let expected = format!(r#"{{"detail":"Request was throttled. Expected available in {wait} {unit}."}}"#);
        answers(call, &limited, 429, &expected);
    }
    app.post("/api/v1/usr/refresh", json!({ "refresh": refresh })).await.is(200);
    app.get("/api/v1/usr/logout").await.is(200);
    app.post("/api/auth/send-otp/", numbered(TO)).await.is(200);
    app.stop().await;
}

/// observed.md 2, traps: the two texts for a send that failed; such a send is given back.
#[tokio::test]
async fn failed_sends() {
    let app = app().await;
    let not_configured = r#"{"detail":"SMS service is not configured. Please contact support."}"#;
    let failed = r#"{"detail":"Failed to send OTP. Please try again later."}"#;
    for class in SendClass::ALL.into_iter().filter(|class| class.certain() && !class.number_at_fault()) {
        app.gateway.next([Script::Fail(class)].repeat(if class.retryable() { 2 } else { 1 }));
        let is_ours = matches!(class, SendClass::BadConfig | SendClass::RegionDenied);
        let expected = if is_ours { not_configured } else { failed };
        rows(&app, vec![row(class.label(), SEND, numbered(TO), 500, expected)]).await;
    }
    let code = app.gateway.code(TO);
    rows(&app, vec![row("nothing is pending then", VERIFY, coded(&code), 400, NO_CODE)]).await;
    for class in SendClass::ALL.into_iter().filter(|class| class.number_at_fault()) {
        app.wait_s(121);
        app.gateway.next([Script::Fail(class)]);
        let expected = if class == SendClass::Unroutable { not_configured } else { failed };
        rows(&app, vec![row(class.label(), SEND, numbered("09351112233"), 500, expected)]).await;
    }
    app.gateway.next([Script::Fail(SendClass::UnknownOutcome)]);
    rows(
        &app,
        vec![
            row("nobody knows", SEND, numbered(TO), 500, failed),
            row("no code of before", VERIFY, coded(&wrong(&app.gateway.code(TO), 1)), 400, TWO_LEFT),
        ],
    )
    .await;
    rows(&app, vec![row("it has come after all", VERIFY, coded(&app.gateway.code(TO)), 200, SIGNED_IN)]).await;
    app.stop().await;
}

/// observed.md 0: what the framework says by itself. Without final slashes, and nothing but these four paths.
#[tokio::test]
async fn the_framework() {
    let app = app().await;
    let post = |body: &'static str, media_type: &'static str| {
        Answer::read(request(&app, SEND).header("content-type", media_type).body(body))
    };
    let parse = r#"{"detail":"JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"}"#;
    let media = r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#;
    let required = r#"{"phone_number":["This field is required."]}"#;
    answers("malformed", &post("{", "application/json").await, 400, parse);
    answers("another form", &post("{}", "text/plain").await, 415, media);
    answers("no body", &Answer::read(request(&app, SEND)).await, 400, required);
    answers("a form", &post("phone_number=%2B989123456789", "application/x-www-form-urlencoded").await, 200, SENT);
    let part = "--b\r\nContent-Disposition: form-data; name=\"phone_number\"\r\n\r\n09123456789\r\n--b--\r\n";
    answers("multipart", &post(part, "multipart/form-data; boundary=b").await, 200, SENT);
    let large = app.post("/api/v1/usr/otp", numbered(&"1".repeat(20_000))).await;
    answers("too large", &large, 413, r#"{"detail":"The request body is too large."}"#);
    let methods = [
        ("GET /api/v1/usr/otp", "POST, OPTIONS"),
        ("PUT /api/v1/usr/otp/verify", "POST, OPTIONS"),
        ("GET /api/v1/usr/refresh", "POST, OPTIONS"),
        ("POST /api/v1/usr/logout", "GET, OPTIONS"),
    ];
    for (call, allowed) in methods {
        let answer = Answer::read(request(&app, call)).await;
        let method = call.split(' ').next().unwrap();
        answers(call, &answer, 405, &format!(r#"{{"detail":"Method \"{method}\" not allowed."}}"#));
        assert_eq!(answer.header("allow"), allowed);
    }
    for path in ["/api/v1/usr/otp/", "/api/v1/usr/otp/verify/", "/api/v1/usr/refresh-access", "/api/v1/usr/logout/"] {
        app.post(path, json!({})).await.is(404);
    }
    app.stop().await;
}
