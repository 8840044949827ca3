//! `phone_password`, row by row as `contracts/observed.md` (section 4) and `contracts/dialects.md` have it: fields, texts,
//! codes, registering, signing in. Blocks and floods are in `dialect_phone_password_blocks`, tokens and profiles in
//! `dialect_phone_password_tokens`.

use otpd::{http::docs::example, sms::SendClass};
use serde_json::{Value, json};

use crate::{
    dialect_table::{NO_IP_LIMITS, answers, request, rows},
    harness::{Answer, Script, TestApp, wrong},
    openapi_examples::{Scene, Stage},
};

pub(crate) const CHECK: &str = "POST /auth/check-phone/";
pub(crate) const VERIFY: &str = "POST /auth/verify/";
pub(crate) const REGISTER: &str = "POST /auth/register/";
pub(crate) const LOGIN: &str = "POST /auth/login/";
/// The number of the document, as it is typed and as it is known.
pub(crate) const TO: &str = "09101234567";
pub(crate) const E164: &str = "+989101234567";
/// The password of the document.
pub(crate) const PASSWORD: &str = "123456789";
const SENT: &str = r#"{"exists":false,"message":"OTP sent successfully."}"#;
const EXISTS: &str = r#"{"exists":true}"#;
const VERIFIED: &str = r#"{"message":"Phone verified.","registration_token":"<32 hex>"}"#;
const REGISTERED: &str = r#"{"message":"User registered successfully!","tokens":{"refresh":"<jwt>","access":"<jwt>"}}"#;
pub(crate) const SIGNED_IN: &str = r#"{"message":"Login successful.","tokens":{"refresh":"<jwt>","access":"<jwt>"}}"#;
const BAD_TOKEN: &str = "Invalid or expired registration token.";

/// The state that an example of the OpenAPI document speaks of.
pub(crate) async fn prepare(stage: &mut Stage, operation: &str) -> Scene {
    let number = stage.number();
    let typed = number.replacen("+98", "0", 1);
    let mut scene = Scene { credential: None, real: vec![(TO, typed.clone())] };
    match operation {
        "phonePasswordCheckPhone" => {}
        "phonePasswordVerify" => {
            check_phone(&stage.app, &typed).await;
            scene.real.push((example::CODE, stage.app.gateway.code(&number)));
        }
        "phonePasswordRegister" => {
            scene.real.push((example::REGISTRATION_TOKEN, grant(&stage.app, &typed).await));
        }
        "phonePasswordLogin" => drop(registered(&stage.app, &typed).await),
        "phonePasswordRefresh" => {
            scene.real.push((example::ACCESS_TOKEN, registered(&stage.app, &typed).await.refresh));
        }
        "phonePasswordProfile" | "phonePasswordUpdate" | "phonePasswordDelete" => {
            scene.credential = Some(stage.app.person(&number).await.access);
        }
        _ => panic!("say here what {operation} needs"),
    }
    scene
}

/// What registering and signing in answer.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(answer: &Answer) -> Self {
        let token =
            |name: &str| answer.body["tokens"][name].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
        Self { access: token("access"), refresh: token("refresh") }
    }
}

pub(crate) async fn app() -> TestApp {
    TestApp::with(NO_IP_LIMITS).await
}

pub(crate) async fn check_phone(app: &TestApp, to: &str) {
    let sent = app.post("/auth/check-phone/", json!({ "phone": to })).await;
    answers("check-phone", &sent, 200, SENT);
}

fn known(to: &str) -> String {
    to.replacen('0', "+98", 1)
}

/// A registration token for a number that is not registered.
pub(crate) async fn grant(app: &TestApp, to: &str) -> String {
    check_phone(app, to).await;
    let body = json!({ "phone": to, "code": app.gateway.code(&known(to)) });
    app.post("/auth/verify/", body).await.is(200).text("registration_token")
}

pub(crate) fn form(token: &str) -> Value {
    json!({ "reg_token": token, "password": PASSWORD, "first_name": "Majed", "last_name": "Shabani", "email": "majedwp12@gmail.com" })
}

/// Registers a number with the document's password and profile.
pub(crate) async fn registered(app: &TestApp, to: &str) -> Tokens {
    let token = grant(app, to).await;
    Tokens::of(&app.post("/auth/register/", form(&token)).await.is(201))
}

pub(crate) fn login(to: &str, password: &str) -> Value {
    json!({ "phone": to, "password": password })
}

pub(crate) fn error(text: &str) -> String {
    json!({ "error": text }).to_string()
}

/// Rows whose answers are all refusals of the dialect's one form.
pub(crate) async fn refusals(app: &TestApp, call: &str, cases: Vec<(&str, Value, u16, &str)>) {
    for (what, body, status, text) in cases {
        rows(app, vec![(what, call, body, status, &error(text))]).await;
    }
}

/// The document from its first request to its last, with the values printed in it.
#[tokio::test]
async fn the_document() {
    let app = app().await;
    rows(&app, vec![("1", CHECK, json!({ "phone": "09101234567" }), 200, SENT)]).await;
    let code = app.gateway.code(E164);
    assert_eq!(code.len(), 4);
    let verified = app.post("/auth/verify/", json!({ "phone": "09101234567", "code": code })).await;
    answers("2", &verified, 200, VERIFIED);
    let token = verified.text("registration_token");
    assert!(token.len() == 32 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{token}");
    rows(
        &app,
        vec![
            ("3", REGISTER, form(&token), 201, REGISTERED),
            ("3, once only", REGISTER, form(&token), 403, &error(BAD_TOKEN)),
            ("4", LOGIN, json!({ "phone": "09101234567", "password": "123456789" }), 200, SIGNED_IN),
            ("1, registered", CHECK, json!({ "phone": "09101234567" }), 200, EXISTS),
        ],
    )
    .await;
    assert_eq!(app.gateway.sent().len(), 1, "to a registered number nothing is sent");
    app.stop().await;
}

/// dialects.md 1: one number, however it is written; the Iranian mobile rule; observed.md 4, check-phone: fields.
#[tokio::test]
async fn numbers_and_their_errors() {
    let app = app().await;
    registered(&app, TO).await;
    let spellings = [
        "09101234567",
        " 09101234567\n",
        "۰۹۱۰۱۲۳۴۵۶۷",
        "٠٩١٠١٢٣٤٥٦٧",
        "０９１０１２３４５６７",
        "+989101234567",
        "+۹۸۹۱۰۱۲۳۴۵۶۷",
        "00989101234567",
        "9101234567",
    ];
    for spelling in spellings {
        rows(
            &app,
            vec![
                (spelling, CHECK, json!({ "phone": spelling }), 200, EXISTS),
                (spelling, LOGIN, login(spelling, PASSWORD), 200, SIGNED_IN),
            ],
        )
        .await;
    }
    let long = "0".repeat(1_000);
    let invalid = [
        "0910123456",
        "091012345678",
        "08101234567",
        "02112345678",
        "0910 123 4567",
        "0910-123-4567",
        "(0910)1234567",
        "+1234567890",
        "+4915112345678",
        "+09101234567",
        "++989101234567",
        "9891012345678901",
        "phone",
        "0910123456a",
        "۰۹",
        "+",
        "0910123456\u{0}7",
        &long,
    ];
    for text in invalid {
        for call in [CHECK, VERIFY, LOGIN] {
            let body = json!({ "phone": text, "code": "1234", "password": PASSWORD });
            refusals(&app, call, vec![(text, body, 400, "Invalid phone number.")]).await;
        }
    }
    for wrong in [json!(null), json!(""), json!("  "), json!(9_101_234_567_u64), json!(true), json!([TO]), json!({})] {
        let body = json!({ "phone": wrong, "code": "1234", "password": PASSWORD });
        refusals(&app, CHECK, vec![("no text", body.clone(), 400, "Phone number is required.")]).await;
        refusals(&app, VERIFY, vec![("no text", body.clone(), 400, "Phone number is required.")]).await;
        refusals(&app, LOGIN, vec![("no text", body, 400, "Phone number and password are required.")]).await;
    }
    refusals(&app, CHECK, vec![("nothing", json!({}), 400, "Phone number is required.")]).await;
    refusals(&app, VERIFY, vec![("nothing", json!({}), 400, "Phone number is required.")]).await;
    refusals(&app, LOGIN, vec![("nothing", json!({}), 400, "Phone number and password are required.")]).await;
    assert_eq!(app.gateway.sent().len(), 1, "none of this is sent anywhere");
    app.stop().await;
}

/// observed.md 4, verify; dialects.md: the code is enforced.
#[tokio::test]
async fn codes() {
    let app = app().await;
    let verify = |code: Value| json!({ "phone": TO, "code": code });
    refusals(&app, VERIFY, vec![("never sent", verify(json!("1234")), 400, "OTP expired or not found")]).await;
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    // None of these is a try: there were more than the code has.
    for (what, typed) in [
        ("null", json!(null)),
        ("empty", json!("")),
        ("blank", json!(" ")),
        ("letters", json!("12a4")),
        ("a number", json!(1234)),
        ("a list", json!(["1234"])),
        ("true", json!(true)),
        ("an object", json!({})),
        ("three digits", json!("123")),
        ("five digits", json!("12345")),
        ("long", json!("1".repeat(5_000))),
    ] {
        refusals(&app, VERIFY, vec![(what, verify(typed), 400, "Incorrect OTP.")]).await;
    }
    refusals(
        &app,
        VERIFY,
        vec![
            ("missing", json!({ "phone": TO }), 400, "Incorrect OTP."),
            ("wrong", verify(json!(wrong(&code, 1))), 400, "Incorrect OTP."),
            ("another number's", json!({ "phone": "09121234567", "code": code }), 400, "OTP expired or not found"),
        ],
    )
    .await;
    let elsewhere = json!({ "phone_number": E164, "otp_code": format!("00{code}") });
    app.post("/api/auth/verify-otp/", elsewhere).await.is(400);
    let persian: String = code.chars().map(|c| char::from_u32(0x06F0 + c.to_digit(10).unwrap()).unwrap()).collect();
    rows(&app, vec![("right, in Persian digits", VERIFY, verify(json!(persian)), 200, VERIFIED)]).await;
    refusals(&app, VERIFY, vec![("once only", verify(json!(code)), 400, "OTP expired or not found")]).await;
    app.stop().await;
}

/// What is no code is compared with nothing, however many digits a code is set to have.
#[tokio::test]
async fn no_code_is_no_try() {
    for digits in [4, 10] {
        let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.phone_password.code_digits = {digits}")).await;
        check_phone(&app, TO).await;
        let code = app.gateway.code(E164);
        assert_eq!(code.len(), digits);
        for _ in 0..4 {
            refusals(&app, VERIFY, vec![("missing", json!({ "phone": TO }), 400, "Incorrect OTP.")]).await;
        }
        let right = json!({ "phone": TO, "code": code });
        rows(&app, vec![("no try was taken", VERIFY, right, 200, VERIFIED)]).await;
    }
}

/// dialects.md 2: a new code ends the older one; a code lives ten minutes.
#[tokio::test]
async fn codes_that_are_over() {
    let app = app().await;
    check_phone(&app, TO).await;
    let first = app.gateway.code(E164);
    check_phone(&app, TO).await;
    let second = app.gateway.code(E164);
    assert_ne!(first, second, "draw other numbers for this test");
    let verify = |code: &str| json!({ "phone": TO, "code": code });
    refusals(&app, VERIFY, vec![("superseded", verify(&first), 400, "Incorrect OTP.")]).await;
    app.wait_ms(600_000);
    refusals(&app, VERIFY, vec![("ten minutes later", verify(&second), 400, "OTP expired or not found")]).await;
    check_phone(&app, TO).await;
    app.wait_ms(599_999);
    rows(&app, vec![("just in time", VERIFY, verify(&app.gateway.code(E164)), 200, VERIFIED)]).await;
    app.stop().await;
}

/// dialects.md: three sends in two minutes; observed.md 4: a failed send, which gives the send back.
#[tokio::test]
async fn sends() {
    let app = app().await;
    let failed = error("Failed to send OTP. Please try again.");
    let number = || json!({ "phone": TO });
    for _ in 0..4 {
        app.gateway.next([Script::Fail(SendClass::ProviderDown), Script::Fail(SendClass::ProviderDown)]);
        rows(&app, vec![("not sent", CHECK, number(), 500, &failed)]).await;
    }
    let verify = |code: String| json!({ "phone": TO, "code": code });
    let never_sent = verify(app.gateway.code(E164));
    refusals(&app, VERIFY, vec![("not sent", never_sent, 400, "OTP expired or not found")]).await;
    app.gateway.next([Script::Fail(SendClass::UnknownOutcome)]);
    rows(&app, vec![("nobody knows", CHECK, number(), 500, &failed)]).await;
    rows(&app, vec![("but it came", VERIFY, verify(app.gateway.code(E164)), 200, VERIFIED)]).await;
    rows(&app, vec![("second", CHECK, number(), 200, SENT), ("third", CHECK, number(), 200, SENT)]).await;
    let limited = app.post("/auth/check-phone/", number()).await;
    answers("fourth", &limited, 429, &error("Too many OTP requests. Please try again later."));
    assert_eq!(limited.header("retry-after"), "120");
    app.wait_s(120);
    rows(&app, vec![("two minutes later", CHECK, number(), 200, SENT)]).await;
    app.stop().await;
}

/// observed.md 4, register, in the order of its checks: the token, the number, the password.
#[tokio::test]
async fn registering() {
    let app = app().await;
    let token = grant(&app, TO).await;
    for wrong in [
        json!(null),
        json!(""),
        json!("fef8702768384d1d88a2e1454e6c749c"),
        json!("x"),
        json!(1),
        json!([token]),
        json!(token.to_uppercase() + "0"),
        json!("0".repeat(10_000)),
    ] {
        refusals(
            &app,
            REGISTER,
            vec![
                ("a wrong token", json!({ "reg_token": wrong, "password": PASSWORD }), 403, BAD_TOKEN),
                ("and no password", json!({ "registration_token": wrong }), 403, BAD_TOKEN),
            ],
        )
        .await;
    }
    refusals(&app, REGISTER, vec![("nothing", json!({}), 403, BAD_TOKEN)]).await;
    let with = |name: &str, value: Value| {
        let mut body = form(&token);
        body[name] = value;
        body
    };
    let required = "Password is required.";
    let short = "Password must be at least 8 characters.";
    refusals(
        &app,
        REGISTER,
        vec![
            ("no password", json!({ "reg_token": token }), 400, required),
            ("empty", with("password", json!("")), 400, required),
            ("null", with("password", json!(null)), 400, required),
            ("a number", with("password", json!(123_456_789)), 400, required),
            ("a list", with("password", json!(["123456789"])), 400, required),
            ("seven characters", with("password", json!("1234567")), 400, short),
            ("seven of another script", with("password", json!("۱۲۳۴۵۶۷")), 400, short),
            ("first name null", with("first_name", json!(null)), 400, "Invalid first name."),
            ("first name a number", with("first_name", json!(1)), 400, "Invalid first name."),
            ("first name long", with("first_name", json!("x".repeat(101))), 400, "Invalid first name."),
            ("first name with a bell", with("first_name", json!("a\u{7}")), 400, "Invalid first name."),
            ("last name a list", with("last_name", json!([])), 400, "Invalid last name."),
            ("last name long", with("last_name", json!("x".repeat(101))), 400, "Invalid last name."),
            ("e-mail null", with("email", json!(null)), 400, "Invalid email."),
            ("e-mail none", with("email", json!("majedwp12")), 400, "Invalid email."),
            ("e-mail long", with("email", json!(format!("{}@example.com", "x".repeat(300)))), 400, "Invalid email."),
        ],
    )
    .await;
    let by_other_name = json!({ "registration_token": token, "password": "هشت‌حرف۱۲", "email": "" });
    rows(&app, vec![("the token is still good", REGISTER, by_other_name, 201, REGISTERED)]).await;
    refusals(&app, REGISTER, vec![("used", form(&token), 403, BAD_TOKEN)]).await;
    rows(&app, vec![("the password as it was typed", LOGIN, login(TO, "هشت‌حرف۱۲"), 200, SIGNED_IN)]).await;
    refusals(&app, LOGIN, vec![("and not another", login(TO, "هشت‌حرف۱۲ "), 401, "Incorrect password.")]).await;
    app.stop().await;
}

/// observed.md 4: a registration token lives ten minutes; a number that somebody has.
#[tokio::test]
async fn registration_tokens_that_are_over() {
    let app = app().await;
    let token = grant(&app, TO).await;
    app.wait_ms(599_999);
    let no_password = json!({ "reg_token": token });
    refusals(&app, REGISTER, vec![("just in time", no_password, 400, "Password is required.")]).await;
    app.wait_ms(1);
    refusals(&app, REGISTER, vec![("ten minutes later", form(&token), 403, BAD_TOKEN)]).await;
    let (first, second) = (grant(&app, TO).await, grant(&app, TO).await);
    rows(&app, vec![("one of two", REGISTER, form(&first), 201, REGISTERED)]).await;
    refusals(
        &app,
        REGISTER,
        vec![
            ("the other", form(&second), 400, "User already exists."),
            ("said before the password", json!({ "reg_token": second }), 400, "User already exists."),
        ],
    )
    .await;
    app.stop().await;
}

/// dialects.md: an account made through another door has no password and can't get one here.
#[tokio::test]
async fn accounts_of_other_doors() {
    let app = app().await;
    let token = grant(&app, TO).await;
    app.person(E164).await;
    rows(&app, vec![("it is known", CHECK, json!({ "phone": TO }), 200, EXISTS)]).await;
    refusals(&app, REGISTER, vec![("it is taken", form(&token), 400, "User already exists.")]).await;
    refusals(&app, LOGIN, vec![("no password is right", login(TO, PASSWORD), 401, "Incorrect password.")]).await;
    app.stop().await;
}

/// observed.md 4, login.
#[tokio::test]
async fn signing_in() {
    let app = app().await;
    registered(&app, TO).await;
    let missing = "Phone number and password are required.";
    refusals(
        &app,
        LOGIN,
        vec![
            ("no password", json!({ "phone": TO }), 400, missing),
            ("no number", json!({ "password": PASSWORD }), 400, missing),
            ("empty", login(TO, ""), 400, missing),
            ("null", json!({ "phone": TO, "password": null }), 400, missing),
            ("a number", json!({ "phone": TO, "password": 123_456_789 }), 400, missing),
            ("true", json!({ "phone": TO, "password": true }), 400, missing),
            ("a list", json!({ "phone": TO, "password": [PASSWORD] }), 400, missing),
            ("unknown", login("09121234567", PASSWORD), 400, "Phone number not registered."),
            ("wrong", login(TO, "12345678"), 401, "Incorrect password."),
        ],
    )
    .await;
    rows(&app, vec![("right", LOGIN, login(TO, PASSWORD), 200, SIGNED_IN)]).await;
    app.post_as(&app.keys.admin, "/v1/admin/deactivate", json!({ "to": E164 })).await.is(204);
    refusals(
        &app,
        LOGIN,
        vec![
            ("shut", login(TO, PASSWORD), 403, "User is inactive"),
            ("shut, but that is not said to everyone", login(TO, "12345678"), 401, "Incorrect password."),
        ],
    )
    .await;
    app.stop().await;
}

/// observed.md 0: what the framework says by itself; dialects.md: 308 for a missing slash.
#[tokio::test]
async fn the_framework() {
    let app = app().await;
    let post = |body: &'static str, media_type: &'static str| {
        Answer::read(request(&app, CHECK).header("content-type", media_type).body(body))
    };
    let parse = r#"{"detail":"JSON parse error - Expecting value: line 1 column 1 (char 0)"}"#;
    answers("malformed", &post("phone", "application/json").await, 400, parse);
    let media = r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#;
    answers("another form", &post("{}", "text/plain").await, 415, media);
    answers("no body", &Answer::read(request(&app, CHECK)).await, 400, &error("Phone number is required."));
    answers("a form", &post("phone=09101234567", "application/x-www-form-urlencoded").await, 200, SENT);
    let list = r#"{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}"#;
    for call in [CHECK, VERIFY, REGISTER, LOGIN, "POST /auth/refresh/"] {
        rows(&app, vec![("a list for a body", call, json!([]), 400, list)]).await;
    }
    for (path, allow) in [
        ("/auth/check-phone/", "POST, OPTIONS"),
        ("/auth/verify/", "POST, OPTIONS"),
        ("/auth/register/", "POST, OPTIONS"),
        ("/auth/login/", "POST, OPTIONS"),
        ("/auth/refresh/", "POST, OPTIONS"),
        ("/auth/profile/", "GET, OPTIONS"),
        ("/auth/profile/update/", "PUT, OPTIONS"),
        ("/auth/profile/delete/", "DELETE, OPTIONS"),
    ] {
        let patch = Answer::read(request(&app, &format!("PATCH {path}"))).await;
        answers(path, &patch, 405, r#"{"detail":"Method \"PATCH\" not allowed."}"#);
        assert_eq!(patch.header("allow"), allow);
    }
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let slash = Answer::read(client.post(app.url("/auth/check-phone?a=1")).json(&json!({ "phone": TO }))).await;
    assert_eq!((slash.status, slash.header("location")), (308, "/auth/check-phone/?a=1"));
    let large = Answer::read(request(&app, CHECK).json(&json!({ "phone": "1".repeat(20_000) }))).await;
    answers("too large", &large, 413, &error("The request body is too large."));
    app.stop().await;
}

/// dialects.md: sends, checks and logins of one address, a bucket of this dialect alone; what has a token is free.
#[tokio::test]
async fn one_address_has_its_limit() {
    let app = TestApp::with("dialects.phone_password.ip_per_minute = 3").await;
    let access = app.person(E164).await.access;
    for path in ["/auth/check-phone/", "/auth/verify/", "/auth/login/"] {
        app.post(path, json!({})).await.is(400);
    }
    for path in ["/auth/check-phone/", "/auth/verify/", "/auth/register/", "/auth/login/"] {
        let limited = app.post(path, json!({ "phone": TO })).await;
        answers(path, &limited, 429, &error("Too many OTP requests. Please try again later."));
    }
    app.get_as(&access, "/auth/profile/").await.is(200);
    app.post("/auth/refresh/", json!({})).await.is(400);
    app.post("/api/auth/send-otp/", json!({ "phone_number": E164 })).await.is(200);
    app.stop().await;
}
