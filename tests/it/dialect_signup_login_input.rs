//! `signup_login`, row by row as `contracts/observed.md` (sections 0 and 3) has it: fields, bodies and tokens that are not
//! good. Every row was answered so by FastAPI 0.115.4 with Pydantic 2.10.2.

use serde_json::{Value, json};

use crate::{
    dialect_signup_login::{LOGIN, SIGNUP, TO, VERIFY, VERIFY_LOGIN, app, coded, no, numbered, profile, sign_up},
    dialect_table::{NO_IP_LIMITS, answers, request, rows},
    harness::{Answer, TestApp, wrong},
};

const COMPLETE: &str = "POST /auth/complete-profile";
const PROFILE: &str = "GET /auth/profile";

/// One entry of `detail`, without its `ctx`.
fn entry(kind: &str, field: &str, message: &str, input: &str) -> String {
    format!(r#"{{"type":"{kind}","loc":["body","{field}"],"msg":"{message}","input":{input}}}"#)
}

/// One with it.
fn entry_with(kind: &str, field: &str, message: &str, input: &str, ctx: &str) -> String {
    format!(r#"{{"type":"{kind}","loc":["body","{field}"],"msg":"{message}","input":{input},"ctx":{ctx}}}"#)
}

fn detail(entries: &[String]) -> String {
    format!(r#"{{"detail":[{}]}}"#, entries.join(","))
}

fn missing(field: &str, body: &str) -> String {
    entry("missing", field, "Field required", body)
}

fn no_text(field: &str, input: &str) -> String {
    entry("string_type", field, "Input should be a valid string", input)
}

fn persian(digits: &str) -> String {
    digits.chars().map(|c| c.to_digit(10).map_or(c, |n| char::from_u32(u32::from('۰') + n).unwrap())).collect()
}

/// observed.md 3, phone_number of signup and login: cleaned, checked, echoed.
#[tokio::test]
async fn numbers_and_their_errors() {
    let app = app().await;
    let long = format!("{}+916205829376", " ".repeat(20));
    let bad = [
        json!("abc"),
        json!(""),
        json!("+0916205829376"),
        json!("1234567"),
        json!("+1234567890123456"),
        json!("++12345678"),
        json!("+91.6205.829376"),
        json!("+91620582937a"),
        json!("+91620582937\0"),
        json!("٠٩١٢٣٤٥٦٧٨٩"),
        json!(long),
    ];
    for call in [SIGNUP, LOGIN] {
        for sent in &bad {
            let message = "Value error, Invalid phone number format";
            let expected = entry_with("value_error", "phone_number", message, &sent.to_string(), r#"{"error":{}}"#);
            rows(&app, vec![("bad", call, json!({ "phone_number": sent }), 422, &detail(&[expected]))]).await;
        }
        for sent in [json!(null), json!(916_205_829_376_i64), json!(true), json!([TO]), json!({ "$ne": null })] {
            let expected = detail(&[no_text("phone_number", &sent.to_string())]);
            rows(&app, vec![("no text", call, json!({ "phone_number": sent }), 422, &expected)]).await;
        }
        let other = json!({ "phone": TO });
        rows(
            &app,
            vec![("missing", call, other, 422, &detail(&[missing("phone_number", r#"{"phone":"+916205829376"}"#)]))],
        )
        .await;
    }
    assert!(app.gateway.sent().is_empty());
    for (sent, echoed, known) in [
        ("+91 (6205) 829-376", "+916205829376", TO),
        ("\t+91 6205\n829376 ", "+916205829376", TO),
        ("916205829376", "916205829376", TO),
        ("+۹۸۹۱۲۳۴۵۶۷۸۹", "+989123456789", "+989123456789"),
        ("+1234567890", "+1234567890", "+1234567890"),
        ("12345678", "12345678", "+12345678"),
    ] {
        let answer = app.post("/auth/signup", numbered(sent)).await.is(200);
        assert_eq!(
            (answer.body["data"]["phone_number"].as_str(), answer.body["success"].as_bool()),
            (Some(echoed), Some(true))
        );
        assert_eq!(app.gateway.sent().pop().unwrap().0, known);
    }
    app.stop().await;
}

/// dialects.md 1: national numbers where a region is configured, and one user whatever the form.
#[tokio::test]
async fn national_numbers() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.signup_login.default_region = IR")).await;
    let known = "+989123456789";
    app.post("/auth/signup", numbered("۹۱۲ ۳۴۵ ۶۷۸۹")).await.is(200);
    let code = app.gateway.code(known);
    let one = app.post("/auth/verify-otp", coded("9123456789", &persian(&code))).await.is(200);
    assert_eq!(one.body["data"]["phone_number"], "9123456789", "as sent");
    app.post("/auth/login", numbered("+98 912 345 6789")).await.is(200);
    let two = app.post("/auth/verify-login", coded(known, &app.gateway.code(known))).await.is(200);
    assert_eq!(one.body["data"]["user_id"], two.body["data"]["user_id"]);
    let shown = app.get_as(&two.text("token"), "/auth/profile").await.is(200);
    assert_eq!(shown.text("phone_number"), known);
    app.stop().await;
}

/// observed.md 3, otp_code: exactly six digits. security 5: what is no code costs neither a try nor a look.
#[tokio::test]
async fn codes_and_their_errors() {
    let app = app().await;
    sign_up(&app, TO).await;
    app.post("/auth/signup", numbered(TO)).await.is(200);
    app.post("/auth/login", numbered(TO)).await.is(200);
    let short = |input: &str| {
        let message = "String should have at least 6 characters";
        entry_with("string_too_short", "otp_code", message, input, r#"{"min_length":6}"#)
    };
    let long = |input: &str| {
        let message = "String should have at most 6 characters";
        entry_with("string_too_long", "otp_code", message, input, r#"{"max_length":6}"#)
    };
    let no_digits = |input: &str| {
        let message = "Value error, OTP code must contain only digits";
        entry_with("value_error", "otp_code", message, input, r#"{"error":{}}"#)
    };
    for call in [VERIFY, VERIFY_LOGIN] {
        for (sent, expected) in [
            (json!(""), short(r#""""#)),
            (json!("12345"), short(r#""12345""#)),
            (json!("1234567"), long(r#""1234567""#)),
            (json!("12345a"), no_digits(r#""12345a""#)),
            (json!("12 456"), no_digits(r#""12 456""#)),
            (json!("      "), no_digits(r#""      ""#)),
            (json!("²23456"), no_digits(r#""²23456""#)),
            (json!(null), no_text("otp_code", "null")),
            (json!(123_456), no_text("otp_code", "123456")),
            (json!(true), no_text("otp_code", "true")),
            (json!(["123456"]), no_text("otp_code", r#"["123456"]"#)),
            (json!({ "$ne": null }), no_text("otp_code", r#"{"$ne":null}"#)),
        ] {
            let body = json!({ "phone_number": TO, "otp_code": sent });
            rows(&app, vec![("bad", call, body, 422, &detail(&[expected]))]).await;
        }
        rows(
            &app,
            vec![
                ("nothing", call, json!({}), 422, &detail(&[missing("phone_number", "{}"), missing("otp_code", "{}")])),
                (
                    "both bad",
                    call,
                    json!({ "phone_number": 1, "otp_code": "1" }),
                    422,
                    &detail(&[no_text("phone_number", "1"), short(r#""1""#)]),
                ),
                (
                    "any text is a number here, and none that was sent a code",
                    call,
                    coded("abc", "123456"),
                    200,
                    &no("No OTP found for this phone number. Please request a new OTP."),
                ),
            ],
        )
        .await;
    }
    let code = app.gateway.code(TO);
    let counted = app.post("/auth/verify-login", coded(TO, &wrong(&code, 1))).await;
    answers("nothing of this was counted", &counted, 200, &no("Invalid OTP. 2 attempts remaining"));
    let right = app.post("/auth/verify-login", coded(TO, &persian(&code))).await.is(200);
    assert_eq!(right.text("message"), "Login successful", "foreign digits are the same code");
    app.stop().await;
}

/// dialects.md: the number of digits is a figure.
#[tokio::test]
async fn codes_of_other_digits() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.signup_login.code_digits = 8")).await;
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let message = "String should have at least 8 characters";
    let short = entry_with("string_too_short", "otp_code", message, r#""123456""#, r#"{"min_length":8}"#);
    rows(&app, vec![("six", VERIFY, coded(TO, "123456"), 422, &detail(&[short]))]).await;
    let right = app.post("/auth/verify-otp", coded(TO, &app.gateway.code(TO))).await.is(200);
    assert_eq!(right.body["success"], true);
    app.stop().await;
}

/// observed.md 3 and dialects.md, complete-profile: fields. All of a type are in `http/dialect/fastapi/types.rs`.
#[tokio::test]
async fn profiles_and_their_errors() {
    let app = app().await;
    let token = sign_up(&app, TO).await;
    let complete = |body: Value| app.post_as(&token, "/auth/complete-profile", body);
    let long = |n: usize| "x".repeat(n);
    let too_long = |field: &str, n: usize| {
        let (message, input) = (format!("String should have at most {n} characters"), json!(long(n + 1)).to_string());
        entry_with("string_too_long", field, &message, &input, &json!({ "max_length": n }).to_string())
    };
    let short = "String should have at least 2 characters";
    let at = "An email address must have an @-sign.";
    let (no_at, reason) = (format!("value is not a valid email address: {at}"), json!({ "reason": at }).to_string());
    let day = "day value is outside expected range";
    let no_url = "relative URL without a base";
    let said = |before: &str, error: &str| (format!("{before}, {error}"), json!({ "error": error }).to_string());
    let (no_day, day) = said("Input should be a valid date or datetime", day);
    let (no_url, base) = said("Input should be a valid URL", no_url);
    let control = "Value error, Control characters are not allowed";
    let schemes = r#"{"expected_schemes":"'http' or 'https'"}"#;
    let scheme = "URL scheme should be 'http' or 'https'";
    let cases = [
        ("phone_number", json!(1), no_text("phone_number", "1")),
        ("phone_number", json!(null), no_text("phone_number", "null")),
        ("name", json!(null), no_text("name", "null")),
        ("name", json!("G"), entry_with("string_too_short", "name", short, r#""G""#, r#"{"min_length":2}"#)),
        ("name", json!(long(101)), too_long("name", 100)),
        ("name", json!("G\u{7}K"), entry_with("value_error", "name", control, r#""G\u0007K""#, r#"{"error":{}}"#)),
        ("email", json!("gaurav"), entry_with("value_error", "email", &no_at, r#""gaurav""#, &reason)),
        ("email", json!(null), no_text("email", "null")),
        ("email", json!(5), no_text("email", "5")),
        ("bio", json!(long(501)), too_long("bio", 500)),
        ("bio", json!(5), no_text("bio", "5")),
        ("location", json!(long(101)), too_long("location", 100)),
        ("location", json!([]), no_text("location", "[]")),
        (
            "birth_date",
            json!("1995-02-30"),
            entry_with("date_from_datetime_parsing", "birth_date", &no_day, r#""1995-02-30""#, &day),
        ),
        ("birth_date", json!(true), entry("date_type", "birth_date", "Input should be a valid date", "true")),
        ("avatar", json!("me.jpg"), entry_with("url_parsing", "avatar", &no_url, r#""me.jpg""#, &base)),
        ("avatar", json!("ftp://a/b"), entry_with("url_scheme", "avatar", scheme, r#""ftp://a/b""#, schemes)),
        ("avatar", json!(5), entry("url_type", "avatar", "URL input should be a string or URL", "5")),
    ];
    for (field, value, expected) in cases {
        let mut body = profile();
        body[field] = value;
        answers(field, &complete(body).await, 422, &detail(&[expected]));
    }
    let nothing = ["phone_number", "name", "email"].map(|field| missing(field, "{}"));
    answers("nothing", &complete(json!({})).await, 422, &detail(&nothing));
    let shown = app.get_as(&token, "/auth/profile").await.is(200);
    assert_eq!((shown.text("name"), shown.text("email")), (String::new(), String::new()), "nothing was taken");
    app.stop().await;
}

/// observed.md 0: what FastAPI makes of bodies.
#[tokio::test]
async fn bodies() {
    let app = app().await;
    let post = |call: &str, body: &'static [u8], media_type: &'static str| {
        Answer::read(request(&app, call).header("content-type", media_type).body(body))
    };
    let json = "application/json";
    let absent = r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#;
    let whole = |entry: &str| format!(r#"{{"detail":[{{{entry}}}]}}"#);
    let malformed = |at: usize, error: &str| {
        let told = format!(r#""msg":"JSON decode error","input":{{}},"ctx":{{"error":"{error}"}}"#);
        whole(&format!(r#""type":"json_invalid","loc":["body",{at}],{told}"#))
    };
    let no_object = |input: &str| {
        let message = "Input should be a valid dictionary or object to extract fields from";
        whole(&format!(r#""type":"model_attributes_type","loc":["body"],"msg":"{message}","input":{input}"#))
    };
    let name = "Expecting property name enclosed in double quotes";
    for call in [SIGNUP, VERIFY, LOGIN, VERIFY_LOGIN] {
        answers("no body", &Answer::read(request(&app, call)).await, 422, absent);
        answers("null", &post(call, b"null", json).await, 422, absent);
        answers("a brace", &post(call, b"{", json).await, 422, &malformed(1, name));
        answers("cut off", &post(call, b"{\"phone_number\":", json).await, 422, &malformed(16, "Expecting value"));
        answers("more", &post(call, b"{}\n x", json).await, 422, &malformed(4, "Extra data"));
        answers("a list", &post(call, b"[]", json).await, 422, &no_object("[]"));
        answers("a text", &post(call, b"\"x\"", json).await, 422, &no_object(r#""x""#));
        answers("said to be text", &post(call, b"{}", "text/plain").await, 422, &no_object(r#""{}""#));
        let form = post(call, b"phone_number=1", "application/x-www-form-urlencoded").await;
        answers("a form", &form, 422, &no_object(r#""phone_number=1""#));
        let bytes = post(call, b"\xff", json).await;
        answers("no UTF-8", &bytes, 400, r#"{"detail":"There was an error parsing the body"}"#);
        let large = Answer::read(request(&app, call).json(&numbered(&"1".repeat(20_000)))).await;
        answers("too large", &large, 413, &no("The request body is too large."));
    }
    let unsaid = Answer::read(request(&app, SIGNUP).body(r#"{"phone_number":"+916205829376"}"#)).await;
    assert_eq!((unsaid.status, unsaid.body["success"].as_bool()), (200, Some(true)), "not said to be anything is JSON");
    let twice = post(SIGNUP, br#"{"phone_number":"+12025550111","phone_number":"+12025550112"}"#, json).await;
    assert_eq!((twice.status, app.gateway.sent().len()), (422, 1), "no name twice");
    app.stop().await;
}

/// observed.md 0: methods and slashes.
#[tokio::test]
async fn methods_and_slashes() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.phone_password.enabled = false")).await;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for call in [SIGNUP, VERIFY, COMPLETE, LOGIN, VERIFY_LOGIN, PROFILE, "POST /auth/logout"] {
        let (method, path) = call.split_once(' ').unwrap();
        let other = if method == "GET" { "POST" } else { "GET" };
        for other in [other, "DELETE", "OPTIONS"] {
            let answer = Answer::read(request(&app, &format!("{other} {path}"))).await;
            answers(call, &answer, 405, r#"{"detail":"Method Not Allowed"}"#);
            assert_eq!(answer.header("allow"), method);
        }
        let slash = Answer::read(client.post(app.url(&format!("{path}/?a=1"))).json(&json!({}))).await;
        assert_eq!((slash.status, slash.header("location")), (307, format!("{path}?a=1").as_str()));
    }
    app.stop().await;
}

/// observed.md 0 and 3, dialects.md: tokens that are not good, in the order of FastAPI: a token at all, the body, the token.
#[tokio::test]
async fn tokens_that_are_not_good() {
    let app = app().await;
    let token = sign_up(&app, TO).await;
    let ask = |call: &'static str, header: &str| {
        let call = request(&app, call).json(&profile());
        let call = if header.is_empty() { call } else { call.header("authorization", header) };
        Answer::read(call)
    };
    let (none, other) = (r#"{"detail":"Not authenticated"}"#, r#"{"detail":"Invalid authentication credentials"}"#);
    let (invalid, expired) = (r#"{"detail":"Invalid token"}"#, r#"{"detail":"Token has expired"}"#);
    let refresh = app.person("+12025550108").await.refresh;
    let shape = format!("{}x", &token[..token.len() - 2]);
    for call in [COMPLETE, PROFILE] {
        answers("no header", &ask(call, "").await, 403, none);
        answers("the scheme alone", &ask(call, "Bearer").await, 403, none);
        answers("another scheme", &ask(call, "Token abc").await, 403, other);
        for bad in ["abc", "a b", "a.b.c", &refresh, &shape] {
            let answer = ask(call, &format!("Bearer {bad}")).await;
            answers(bad, &answer, 401, invalid);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let bodiless = Answer::read(request(&app, COMPLETE)).await;
    answers("the token is asked for before the body", &bodiless, 403, none);
    let absent = r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#;
    let garbage = Answer::read(request(&app, COMPLETE).bearer_auth("abc")).await;
    answers("and looked at after it", &garbage, 422, absent);
    assert_eq!(ask(PROFILE, &format!("bearer {token}")).await.status, 200, "schemes have no case");
    app.wait_s(30 * 86_400);
    for call in [COMPLETE, PROFILE] {
        answers("thirty days later", &ask(call, &format!("Bearer {token}")).await, 401, expired);
    }
    app.stop().await;
}

/// dialects.md: shut and erased accounts.
#[tokio::test]
async fn shut_and_erased_accounts() {
    let app = app().await;
    let token = sign_up(&app, TO).await;
    let complete = || app.post_as(&token, "/auth/complete-profile", profile());
    app.post("/auth/signup", numbered(TO)).await.is(200);
    let signup = app.gateway.code(TO);
    app.post("/auth/login", numbered(TO)).await.is(200);
    let login = app.gateway.code(TO);
    app.post_as(&app.keys.admin, "/v1/admin/deactivate", numbered_to(TO)).await.is(204);
    let inactive = no("User is inactive");
    answers("profile", &app.get_as(&token, "/auth/profile").await, 403, r#"{"detail":"User is inactive"}"#);
    answers("complete", &complete().await, 200, &inactive);
    rows(
        &app,
        vec![
            ("verify-otp", VERIFY, coded(TO, &signup), 200, &inactive),
            ("verify-login", VERIFY_LOGIN, coded(TO, &login), 200, &inactive),
        ],
    )
    .await;
    app.post_as(&app.keys.admin, "/v1/admin/activate", numbered_to(TO)).await.is(204);
    app.get_as(&token, "/auth/profile").await.is(200);
    Answer::read(app.client.delete(app.url("/v1/me")).bearer_auth(&token)).await.is(204);
    answers("profile", &app.get_as(&token, "/auth/profile").await, 404, r#"{"detail":"User not found"}"#);
    answers("complete", &complete().await, 200, &no("User not found"));
    app.stop().await;
}

fn numbered_to(to: &str) -> Value {
    json!({ "to": to })
}
