//! `signup_login`, row by row as `contracts/observed.md` (section 3) and `contracts/dialects.md` have it: what it does. What
//! it says of fields, bodies and tokens that are not good is in `dialect_signup_login_input`.

use otpd::{http::docs::example, sms::SendClass};
use serde_json::{Value, json};

use crate::{
    dialect_table::{NO_IP_LIMITS, answers, request, rows},
    harness::{Answer, Script, TestApp, wrong},
    harness_tokens::{PUBLIC, claims, header},
    openapi_examples::{Scene, Stage},
};

pub(crate) const SIGNUP: &str = "POST /auth/signup";
pub(crate) const VERIFY: &str = "POST /auth/verify-otp";
pub(crate) const LOGIN: &str = "POST /auth/login";
pub(crate) const VERIFY_LOGIN: &str = "POST /auth/verify-login";
const LOGOUT: &str = "POST /auth/logout";
/// The number of the document.
pub(crate) const TO: &str = "+916205829376";
const NO_CODE: &str = "No OTP found for this phone number. Please request a new OTP.";
const SPENT: &str = "Too many attempts. Please request a new OTP";
const TOO_MANY: &str = "Too many OTP requests. Please try again later.";
const SENT: &str = "OTP sent successfully to your phone number";

/// The state that an example of the OpenAPI document speaks of.
pub(crate) async fn prepare(stage: &mut Stage, operation: &str) -> Scene {
    let number = stage.number();
    let mut scene = Scene { credential: None, real: vec![(example::NUMBER, number.clone())] };
    match operation {
        "signupLoginSignup" => {}
        "signupLoginVerifyOtp" => {
            stage.app.post("/auth/signup", numbered(&number)).await.is(200);
            scene.real.push((example::CODE, stage.app.gateway.code(&number)));
        }
        "signupLoginLogin" => drop(sign_up(&stage.app, &number).await),
        "signupLoginVerifyLogin" => {
            sign_up(&stage.app, &number).await;
            stage.app.post("/auth/login", numbered(&number)).await.is(200);
            scene.real.push((example::CODE, stage.app.gateway.code(&number)));
        }
        "signupLoginCompleteProfile" | "signupLoginProfile" | "signupLoginLogout" => {
            scene.credential = Some(sign_up(&stage.app, &number).await);
        }
        _ => panic!("say here what {operation} needs"),
    }
    scene
}

pub(crate) async fn app() -> TestApp {
    TestApp::with(NO_IP_LIMITS).await
}

pub(crate) fn numbered(to: &str) -> Value {
    json!({ "phone_number": to })
}

pub(crate) fn coded(to: &str, code: &str) -> Value {
    json!({ "phone_number": to, "otp_code": code })
}

/// The envelope of a failure.
pub(crate) fn no(message: &str) -> String {
    format!(r#"{{"success":false,"message":"{message}","data":null,"token":null}}"#)
}

/// That of a success.
fn yes(message: &str, data: &str, token: &str) -> String {
    format!(r#"{{"success":true,"message":"{message}","data":{data},"token":{token}}}"#)
}

/// That of a code just sent.
fn sent(message: &str, number: &str) -> String {
    yes(message, &format!(r#"{{"phone_number":"{number}"}}"#), "null")
}

/// That of a code of signing up.
fn verified(is_incomplete: bool) -> String {
    let message = if is_incomplete { "Please complete your profile." } else { "You are logged in." };
    let data = format!(r#"{{"user_id":<id>,"phone_number":"{TO}","needs_profile_completion":{is_incomplete}}}"#);
    yes(&format!("OTP verified successfully. {message}"), &data, r#""<jwt>""#)
}

/// That of a code of logging in.
fn logged_in(name: &str, email: &str) -> String {
    let who = format!(r#""name":"{name}","email":"{email}","is_verified":true"#);
    yes("Login successful", &format!(r#"{{"user_id":<id>,"phone_number":"{TO}",{who}}}"#), r#""<jwt>""#)
}

/// That of the document's profile.
fn completed() -> String {
    let who = format!(r#""name":"Gaurav Kumar","email":"gaurav@loopinsocial.in","phone_number":"{TO}""#);
    yes("Profile completed successfully", &format!(r#"{{"user_id":<id>,"profile_id":<id>,{who}}}"#), "null")
}

/// A profile: who it is of, what else she said, when it last changed.
fn shown(who: &str, rest: &str, updated_at: &str) -> String {
    let flags = r#""is_verified":true,"is_active":true,"created_at":"2026-01-01T00:00:00.000000+00:00""#;
    format!(r#"{{"id":<id>,{who},"phone_number":"{TO}",{rest},{flags},"updated_at":"{updated_at}"}}"#)
}

const GAURAV: &str = r#""name":"Gaurav Kumar","email":"gaurav@loopinsocial.in""#;
const EMPTY: &str = r#""bio":"","location":"","birth_date":null,"avatar":"""#;
const OUT: &str = r#"{"success":true,"message":"Logged out successfully","data":null,"token":null}"#;

/// Signs up; the token.
pub(crate) async fn sign_up(app: &TestApp, to: &str) -> String {
    app.post("/auth/signup", numbered(to)).await.is(200);
    app.post("/auth/verify-otp", coded(to, &app.gateway.code(to))).await.is(200).text("token")
}

/// Everything that the document sends as a profile.
pub(crate) fn profile() -> Value {
    json!({
        "phone_number": TO,
        "name": "Gaurav Kumar",
        "email": "gaurav@loopinsocial.in",
        "bio": "Backend Developer",
        "location": "Delhi, India",
        "birth_date": "1995-01-01",
        "avatar": "https://example.com/avatar.jpg",
    })
}

/// seeds/002: its calls with its values, in its order. observed.md 3: every success.
#[tokio::test]
async fn the_document() {
    let app = app().await;
    rows(&app, vec![("signup", SIGNUP, numbered(TO), 200, &sent(SENT, TO))]).await;
    let code = app.gateway.code(TO);
    let text = format!("Your Loopin verification code is: {code}. This code expires in 10 minutes.");
    assert_eq!(app.gateway.sent_to(TO), [text]);
    let verify = app.post("/auth/verify-otp", coded(TO, &code)).await;
    answers("verify-otp", &verify, 200, &verified(true));
    let token = verify.text("token");
    app.wait_ms(1_007);
    answers("complete", &app.post_as(&token, "/auth/complete-profile", profile()).await, 200, &completed());
    let rest = concat!(
        r#""bio":"Backend Developer","location":"Delhi, India","birth_date":"1995-01-01","#,
        r#""avatar":"https://example.com/avatar.jpg""#
    );
    let profile = app.get_as(&token, "/auth/profile").await;
    answers("profile", &profile, 200, &shown(GAURAV, rest, "2026-01-01T00:00:01.007000+00:00"));
    assert_eq!(profile.body["id"], verify.body["data"]["user_id"]);
    rows(&app, vec![("login", LOGIN, numbered(TO), 200, &sent(SENT, TO))]).await;
    let verify = app.post("/auth/verify-login", coded(TO, &app.gateway.code(TO))).await;
    answers("verify-login", &verify, 200, &logged_in("Gaurav Kumar", "gaurav@loopinsocial.in"));
    answers("logout without a token", &Answer::read(request(&app, LOGOUT)).await, 200, OUT);
    app.get_as(&token, "/auth/profile").await.is(200);
    app.stop().await;
}

/// seeds/002, "Complete Signup Flow": a profile without an avatar; observed.md: what is absent is emptied.
#[tokio::test]
async fn profiles_are_given_anew() {
    let app = app().await;
    let token = sign_up(&app, TO).await;
    let short = json!({ "phone_number": TO, "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in" });
    let unnamed = r#""name":"","email":"""#;
    let gaurav = |rest| shown(GAURAV, rest, "<time>");
    answers("at first", &app.get_as(&token, "/auth/profile").await, 200, &shown(unnamed, EMPTY, "<time>"));
    for body in [profile(), short] {
        answers("complete", &app.post_as(&token, "/auth/complete-profile", body).await, 200, &completed());
    }
    answers("emptied", &app.get_as(&token, "/auth/profile").await, 200, &gaurav(EMPTY));
    let mut other = profile();
    other["phone_number"] = json!("the token decides");
    other["bio"] = json!("");
    other["location"] = json!(null);
    other["avatar"] = json!("");
    answers("another number", &app.post_as(&token, "/auth/complete-profile", other).await, 200, &completed());
    let dated = r#""bio":"","location":"","birth_date":"1995-01-01","avatar":"""#;
    answers("empty texts are none", &app.get_as(&token, "/auth/profile").await, 200, &gaurav(dated));
    let mut large = profile();
    for (name, length) in [("name", 100), ("bio", 500), ("location", 100)] {
        large[name] = json!("😀".repeat(length));
    }
    let large = app.post_as(&token, "/auth/complete-profile", large).await;
    answers("too long for the table", &large, 200, &no("An error occurred while completing profile"));
    answers("and nothing changed", &app.get_as(&token, "/auth/profile").await, 200, &gaurav(dated));
    app.stop().await;
}

/// observed.md 3, signup and login: what is said of who has the number.
#[tokio::test]
async fn who_is_known() {
    let app = app().await;
    let unknown = no("User not found. Please signup first.");
    let again = sent("OTP sent successfully. Please verify to complete your registration.", TO);
    rows(
        &app,
        vec![
            ("login of nobody", LOGIN, numbered(TO), 200, &unknown),
            ("a code that was never sent", VERIFY_LOGIN, coded(TO, "123456"), 200, &no(NO_CODE)),
            ("the same", VERIFY, coded(TO, "123456"), 200, &no(NO_CODE)),
        ],
    )
    .await;
    assert!(app.gateway.sent().is_empty(), "nobody was sent anything");
    let token = sign_up(&app, TO).await;
    rows(&app, vec![("signing up is resumed", SIGNUP, numbered(TO), 200, &again)]).await;
    rows(&app, vec![("still incomplete", VERIFY, coded(TO, &app.gateway.code(TO)), 200, &verified(true))]).await;
    rows(&app, vec![("once more", SIGNUP, numbered(TO), 200, &again)]).await;
    app.post_as(&token, "/auth/complete-profile", profile()).await.is(200);
    rows(&app, vec![("complete by now", VERIFY, coded(TO, &app.gateway.code(TO)), 200, &verified(false))]).await;
    let exists = no("User already exists. Please login instead.");
    let before = app.gateway.sent().len();
    rows(&app, vec![("a known user", SIGNUP, numbered("+91 (6205) 829-376"), 200, &exists)]).await;
    assert_eq!(app.gateway.sent().len(), before, "and no code for her");
    app.wait_s(120);
    rows(&app, vec![("login", LOGIN, numbered(TO), 200, &sent(SENT, TO))]).await;
    let code = app.gateway.code(TO);
    Answer::read(app.client.delete(app.url("/v1/me")).bearer_auth(&token)).await.is(204);
    rows(
        &app,
        vec![
            (
                "erased in between",
                VERIFY_LOGIN,
                coded(TO, &wrong(&code, 1)),
                200,
                &no("Invalid OTP. 2 attempts remaining"),
            ),
            ("only who has the code is told", VERIFY_LOGIN, coded(TO, &code), 200, &no("User not found")),
            ("and the code is burnt", VERIFY_LOGIN, coded(TO, &code), 200, &no(NO_CODE)),
        ],
    )
    .await;
    app.stop().await;
}

/// dialects.md, `phone_password`: `reveal_registered = false` makes signup and login answer, and send, as usual.
#[tokio::test]
async fn who_is_known_may_be_kept_secret() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.signup_login.reveal_registered = false")).await;
    rows(&app, vec![("login of nobody", LOGIN, numbered(TO), 200, &sent(SENT, TO))]).await;
    let code = app.gateway.code(TO);
    rows(&app, vec![("who has the code is told", VERIFY_LOGIN, coded(TO, &code), 200, &no("User not found"))]).await;
    let token = sign_up(&app, TO).await;
    rows(&app, vec![("incomplete", SIGNUP, numbered(TO), 200, &sent(SENT, TO))]).await;
    app.post_as(&token, "/auth/complete-profile", profile()).await.is(200);
    app.wait_s(120);
    rows(&app, vec![("complete", SIGNUP, numbered(TO), 200, &sent(SENT, TO))]).await;
    rows(&app, vec![("which logs in", VERIFY, coded(TO, &app.gateway.code(TO)), 200, &verified(false))]).await;
    app.stop().await;
}

/// Signing up and logging in are doors of their own, and apart from other dialects.
#[tokio::test]
async fn codes_are_good_at_their_door() {
    let app = app().await;
    let token = sign_up(&app, TO).await;
    app.post("/auth/login", numbered(TO)).await.is(200);
    let login = app.gateway.code(TO);
    rows(&app, vec![("of logging in", VERIFY, coded(TO, &login), 200, &no(NO_CODE))]).await;
    rows(&app, vec![("at its door", VERIFY_LOGIN, coded(TO, &login), 200, &logged_in("", ""))]).await;
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let signup = app.gateway.code(TO);
    rows(&app, vec![("of signing up", VERIFY_LOGIN, coded(TO, &signup), 200, &no(NO_CODE))]).await;
    app.post("/api/auth/verify-otp/", coded(TO, &signup)).await.is(400);
    assert_eq!(app.check_number(TO, &signup).await.status, 404, "nor at /v1");
    rows(&app, vec![("at its door", VERIFY, coded(TO, &signup), 200, &verified(true))]).await;
    app.wait_s(120);
    app.post("/api/auth/send-otp/", numbered(TO)).await.is(200);
    let other = app.gateway.code(TO);
    rows(
        &app,
        vec![
            ("of another dialect", VERIFY_LOGIN, coded(TO, &other), 200, &no(NO_CODE)),
            ("the same", VERIFY, coded(TO, &other), 200, &no(NO_CODE)),
        ],
    )
    .await;
    let there = app.post("/api/auth/verify-otp/", coded(TO, &other)).await.is(200);
    assert_eq!(there.body["user"]["id"], claims(&token)["user_id"], "one user");
    app.stop().await;
}

/// observed.md 3 and dialects.md: three tries, ten minutes, a new code ends the old one, a code works once.
#[tokio::test]
async fn tries_and_times() {
    let app = app().await;
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let code = app.gateway.code(TO);
    let left = |n: u8| no(&format!("Invalid OTP. {n} attempts remaining"));
    rows(
        &app,
        vec![
            ("wrong", VERIFY, coded(TO, &wrong(&code, 1)), 200, &left(2)),
            ("wrong", VERIFY, coded(TO, &wrong(&code, 2)), 200, &left(1)),
            ("wrong", VERIFY, coded(TO, &wrong(&code, 3)), 200, &left(0)),
            ("right, but all tries are spent", VERIFY, coded(TO, &code), 200, &no(SPENT)),
        ],
    )
    .await;
    app.wait_s(600);
    rows(&app, vec![("expired is looked at first", VERIFY, coded(TO, &code), 200, &no("OTP has expired"))]).await;
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let old = app.gateway.code(TO);
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let new = app.gateway.code(TO);
    rows(&app, vec![("superseded", VERIFY, coded(TO, &old), 200, &left(2))]).await;
    app.wait_ms(599_999);
    rows(
        &app,
        vec![
            (
                "the last moment, the number otherwise written",
                VERIFY,
                coded("91 6205-829376", &new),
                200,
                &verified(true).replace(TO, "91 6205-829376"),
            ),
            ("once only", VERIFY, coded(TO, &new), 200, &no(NO_CODE)),
        ],
    )
    .await;
    app.post("/auth/login", numbered(TO)).await.is(200);
    let late = app.gateway.code(TO);
    rows(&app, vec![("wrong", VERIFY_LOGIN, coded(TO, &wrong(&late, 1)), 200, &left(2))]).await;
    app.wait_s(600);
    rows(&app, vec![("a moment later", VERIFY_LOGIN, coded(TO, &late), 200, &no("OTP has expired"))]).await;
    app.stop().await;
}

/// dialects.md: a check while the number is delayed answers as a used-up code does, with `Retry-After`.
#[tokio::test]
async fn a_number_that_waits() {
    let app = app().await;
    for _ in 0..2 {
        app.post("/auth/signup", numbered(TO)).await.is(200);
        let code = app.gateway.code(TO);
        for n in 1..=3 {
            app.post("/auth/verify-otp", coded(TO, &wrong(&code, n))).await.is(200);
        }
    }
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let code = app.gateway.code(TO);
    let delayed = app.post("/auth/verify-otp", coded(TO, &code)).await;
    answers("six wrong in a row", &delayed, 200, &no(SPENT));
    assert_eq!(delayed.header("retry-after"), "30");
    app.wait_s(30);
    rows(&app, vec![("then it is checked", VERIFY, coded(TO, &code), 200, &verified(true))]).await;
    app.stop().await;
}

/// dialects.md: three sends in two minutes, those of other doors counted; the one business answer that is not 200.
#[tokio::test]
async fn sends_have_a_limit() {
    let app = app().await;
    app.post("/api/auth/send-otp/", numbered(TO)).await.is(200);
    sign_up(&app, TO).await;
    app.wait_s(20);
    rows(&app, vec![("the third", LOGIN, numbered(TO), 200, &sent(SENT, TO))]).await;
    for call in [SIGNUP, LOGIN] {
        let limited = Answer::read(request(&app, call).json(&numbered(TO))).await;
        answers("a fourth", &limited, 429, &no(TOO_MANY));
        assert_eq!(limited.header("retry-after"), "100");
    }
    app.wait_s(100);
    rows(&app, vec![("two minutes after the first", LOGIN, numbered(TO), 200, &sent(SENT, TO))]).await;
    app.stop().await;
}

/// observed.md 3: reasons of a failed send, which gives the send back; dialects.md 3: never the provider's words.
#[tokio::test]
async fn failed_sends() {
    let app = app().await;
    sign_up(&app, TO).await;
    app.wait_s(120);
    let failed = |reason: &str| no(&format!("Failed to send OTP: {reason}"));
    let down = failed("SMS service unavailable");
    let trial = failed(
        "Trial account restriction: Please verify your phone number in Twilio console or upgrade to paid account",
    );
    for call in [SIGNUP, LOGIN, SIGNUP, LOGIN] {
        app.gateway.next([Script::Fail(SendClass::ProviderDown), Script::Fail(SendClass::ProviderDown)]);
        rows(&app, vec![("not sent", call, numbered(TO), 200, &down)]).await;
        app.gateway.next([Script::Fail(SendClass::UnverifiedRecipient)]);
        rows(&app, vec![("a trial account", call, numbered(TO), 200, &trial)]).await;
    }
    rows(&app, vec![("nothing is pending then", VERIFY_LOGIN, coded(TO, &app.gateway.code(TO)), 200, &no(NO_CODE))])
        .await;
    app.gateway.next([Script::Fail(SendClass::UnknownOutcome)]);
    rows(&app, vec![("nobody knows", LOGIN, numbered(TO), 200, &down)]).await;
    let code = app.gateway.code(TO);
    rows(&app, vec![("so it stays good", VERIFY_LOGIN, coded(TO, &code), 200, &logged_in("", ""))]).await;
    app.stop().await;
}

/// observed.md 3: claims; dialects.md 7: good at every door.
#[tokio::test]
async fn tokens_are_good_everywhere() {
    let app = app().await;
    let token = sign_up(&app, TO).await;
    let claims = claims(&token);
    assert_eq!(header(&token)["alg"], "HS256");
    assert_eq!(claims["phone_number"], TO);
    assert!(claims["user_id"].is_u64());
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 30 * 86_400);
    app.get_as(&token, "/v1/me").await.is(200);
    let there = app.get_as(&token, "/api/auth/profile/").await.is(200);
    assert_eq!(there.body["user"]["id"], claims["user_id"]);
    let here = app.get_as(&app.person("+12025550107").await.access, "/auth/profile").await.is(200);
    assert_eq!(here.text("phone_number"), "+12025550107");
    app.stop().await;
}

/// dialects.md: logout with a bearer token ends that session, and no other.
#[tokio::test]
async fn logging_out() {
    let app = app().await;
    let (one, two) = (sign_up(&app, TO).await, sign_up(&app, TO).await);
    let logout = |header: String| Answer::read(request(&app, LOGOUT).header("authorization", header).body("ignored"));
    for header in [format!("Bearer {one}"), format!("Bearer {one}"), "Bearer abc".to_owned(), format!("Token {two}")] {
        answers("logout", &logout(header).await, 200, OUT);
    }
    answers("ended", &app.get_as(&one, "/auth/profile").await, 401, r#"{"detail":"Invalid token"}"#);
    app.get_as(&one, "/v1/me").await.is(401);
    app.get_as(&two, "/auth/profile").await.is(200);
    app.stop().await;
}

/// dialects.md: `/api/auth` as a second base path, and whose a path is that differs by a slash alone.
#[tokio::test]
async fn base_paths() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.signup_login.base_paths = /auth, /api/auth")).await;
    let absent = r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#;
    let theirs = concat!(
        r#"{"error":"Invalid data","details":{"phone_number":["This field is required."],"#,
        r#""otp_code":["This field is required."]}}"#
    );
    for (call, status, expected) in [
        ("POST /api/auth/verify-otp", 422, absent),
        ("POST /api/auth/verify-otp/", 400, theirs),
        ("POST /api/auth/signup", 422, absent),
        ("POST /auth/verify-otp", 422, absent),
        ("GET /api/auth/profile", 403, r#"{"detail":"Not authenticated"}"#),
        ("GET /api/auth/profile/", 401, r#"{"detail":"Authentication credentials were not provided."}"#),
        ("GET /auth/profile", 403, r#"{"detail":"Not authenticated"}"#),
    ] {
        answers(call, &Answer::read(request(&app, call)).await, status, expected);
    }
    app.post("/api/auth/signup", numbered(TO)).await.is(200);
    let code = app.gateway.code(TO);
    rows(&app, vec![("one dialect", VERIFY, coded(TO, &code), 200, &verified(true))]).await;
    app.stop().await;
}

/// dialects.md: sixty requests of one address a minute, sends and checks of this dialect alone.
#[tokio::test]
async fn one_address_has_its_limit() {
    let app = TestApp::with("dialects.signup_login.ip_per_minute = 4").await;
    for call in [SIGNUP, VERIFY, LOGIN, VERIFY_LOGIN] {
        Answer::read(request(&app, call)).await.is(422);
    }
    for call in [SIGNUP, VERIFY, LOGIN, VERIFY_LOGIN] {
        let limited = Answer::read(request(&app, call).json(&coded(TO, "123456"))).await;
        answers("a fifth", &limited, 429, &no(TOO_MANY));
        assert_eq!(limited.header("retry-after"), "15");
    }
    Answer::read(request(&app, "GET /auth/profile")).await.is(403);
    Answer::read(request(&app, LOGOUT)).await.is(200);
    app.post("/api/auth/send-otp/", numbered(TO)).await.is(200);
    app.stop().await;
}

/// A store that refuses: 503 and when to ask again, in the form of the call; nothing is told to be done.
#[tokio::test]
async fn a_store_that_refuses() {
    let settings = format!("{NO_IP_LIMITS}\n{PUBLIC}");
    let app = TestApp::with(&settings).await;
    let token = sign_up(&app, TO).await;
    let busy = no("Service temporarily unavailable. Please try again later.");
    app.store.refuse_all(true);
    for (call, body) in [(LOGIN, numbered(TO)), (LOGOUT, json!({})), ("POST /auth/complete-profile", profile())] {
        let answer = Answer::read(request(&app, call).bearer_auth(&token).json(&body)).await;
        answers(call, &answer, 503, &busy);
    }
    app.store.refuse_all(false);
    app.wait_s(1);
    let app = app.restart(&settings).await;
    app.store.fail_loads(true);
    let hidden = app.get_as(&token, "/auth/profile").await;
    answers("profile", &hidden, 503, r#"{"detail":"An error occurred while retrieving profile"}"#);
    rows(&app, vec![("a check", VERIFY, coded(TO, "123456"), 503, &busy)]).await;
    app.store.fail_loads(false);
    app.get_as(&token, "/auth/profile").await.is(200);
    app.stop().await;
}
