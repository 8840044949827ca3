//! `POST /v1/verifications`: the object it answers, and the rule of every field.

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

/// Asks for `{"to": …}` with more fields, as anyone or with a key.
async fn start(app: &TestApp, key: Option<&str>, to: &str, more: &Value) -> Answer {
    let mut body = json!({ "to": to });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    match key {
        Some(key) => app.post_as(key, "/v1/verifications", body).await,
        None => app.post("/v1/verifications", body).await,
    }
}

/// v1.md Verifications: 201, `Location`, and the object with its fields in that order, the number masked and never
/// the code (security 7); `GET` shows the same; the id has no digits of the number (DESIGN 2).
#[tokio::test]
async fn a_start_answers_the_object_of_the_contract() {
    let app = TestApp::start().await;
    let answer = start(&app, None, "+989123456789", &json!({})).await.is(201);
    let id = answer.text("id");
    let expected = [
        format!(r#"{{"id":"{id}","status":"pending","to_masked":"+98******6789","purpose":"login","channel":"sms""#),
        r#""created_at":"2026-01-01T00:00:00.000Z","expires_at":"2026-01-01T00:05:00.000Z""#.to_owned(),
        r#""attempts_remaining":5,"resend":{"allowed_in":30,"remaining":4}"#.to_owned(),
        r#""deliveries":[{"channel":"sms","route":"simulated","status":"accepted","at":"2026-01-01T00:00:00.000Z"}]}"#
            .to_owned(),
    ];
    assert_eq!(answer.raw, expected.join(","));
    assert_eq!(answer.header("location"), format!("/v1/verifications/{id}"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let sealed = id.strip_prefix("ver_").unwrap();
    assert!(sealed.len() == 32 && sealed.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(app.get(answer.header("location")).await.is(200).raw, answer.raw);
    assert_eq!(app.gateway.sent_to("+989123456789").len(), 1);
    assert_eq!(app.gateway.code("+989123456789").len(), 6);
}

/// v1.md: `RateLimit-Policy` and `RateLimit` on send and check, also where one is refused for the record's reasons.
#[tokio::test]
async fn sends_and_checks_tell_the_window() {
    let app = TestApp::start().await;
    let told = |answer: &Answer, remaining: u8, reset: u64| {
        assert_eq!(answer.header("ratelimit-policy"), r#""sends";q=3;w=120"#, "{answer:?}");
        assert_eq!(answer.header("ratelimit"), format!(r#""sends";r={remaining};t={reset}"#), "{answer:?}");
    };
    let first = start(&app, None, "+989123456789", &json!({})).await.is(201);
    told(&first, 2, 120);
    let id = first.text("id");
    app.wait_s(20);
    told(&start(&app, None, "+989123456789", &json!({})).await.is(429), 2, 100);
    told(&app.check(&id, "000001").await.is(400), 2, 100);
    told(&app.check_number("+989123456789", "000001").await.is(400), 2, 100);
    app.wait_s(10);
    told(&app.resend(&id).await.is(200), 1, 90);
    told(&app.check(&id, &app.gateway.code("+989123456789")).await.is(200), 1, 90);
    told(&app.check(&id, "000001").await.is(409), 1, 90);
}

/// One row: who asks, what more than `to`, and status, code and pointer of the refusal.
type Refusal = (bool, &'static str, u16, &'static str, Option<&'static str>);

/// What must be refused, field by field as in v1.md's table. `true` asks with a key.
const REFUSED: &[Refusal] = &[
    (false, r#"{"to": null}"#, 400, "invalid_field", Some("/to")),
    (false, r#"{"to": 989123456789}"#, 400, "invalid_field", Some("/to")),
    (false, r#"{"to": ["+989123456789"]}"#, 400, "invalid_field", Some("/to")),
    (false, r#"{"to": ""}"#, 422, "number_invalid", Some("/to")),
    (false, r#"{"to": "09123456789"}"#, 422, "number_invalid", Some("/to")),
    (false, r#"{"to": "09123456789", "region": "XX"}"#, 422, "number_invalid", Some("/region")),
    (false, r#"{"to": "09123456789", "region": 98}"#, 400, "invalid_field", Some("/region")),
    (false, r#"{"purpose": ""}"#, 400, "invalid_field", Some("/purpose")),
    (false, r#"{"purpose": "Login"}"#, 400, "invalid_field", Some("/purpose")),
    (false, r#"{"purpose": "log in"}"#, 400, "invalid_field", Some("/purpose")),
    (false, r#"{"purpose": "ورود"}"#, 400, "invalid_field", Some("/purpose")),
    (false, r#"{"purpose": "abcdefghijklmnopqrstu"}"#, 400, "invalid_field", Some("/purpose")),
    (false, r#"{"purpose": "phone_change"}"#, 400, "invalid_field", Some("/purpose")),
    (true, r#"{"purpose": "phone_change"}"#, 400, "invalid_field", Some("/purpose")),
    (false, r#"{"channel": "voice"}"#, 422, "channel_unsupported", None),
    (false, r#"{"channel": "whatsapp"}"#, 422, "channel_unsupported", None),
    (false, r#"{"channel": "SMS"}"#, 422, "channel_unsupported", None),
    (false, r#"{"locale": "f"}"#, 400, "invalid_field", Some("/locale")),
    (false, r#"{"locale": "fa_IR"}"#, 400, "invalid_field", Some("/locale")),
    (false, r#"{"locale": "en\nBcc"}"#, 400, "invalid_field", Some("/locale")),
    (false, r#"{"locale": "aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-a"}"#, 400, "invalid_field", Some("/locale")),
    (false, r#"{"code_length": 5}"#, 403, "scope", None),
    (false, r#"{"code_length": 4}"#, 403, "scope", None),
    (false, r#"{"code_length": 11}"#, 400, "invalid_field", Some("/code_length")),
    (true, r#"{"code_length": 3}"#, 400, "invalid_field", Some("/code_length")),
    (true, r#"{"code_length": 0}"#, 400, "invalid_field", Some("/code_length")),
    (true, r#"{"code_length": -6}"#, 400, "invalid_field", Some("/code_length")),
    (true, r#"{"code_length": 262}"#, 400, "invalid_field", Some("/code_length")),
    (true, r#"{"code_length": 6.5}"#, 400, "invalid_field", Some("/code_length")),
    (true, r#"{"code_length": "6"}"#, 400, "invalid_field", Some("/code_length")),
    (false, r#"{"ttl": 59}"#, 400, "invalid_field", Some("/ttl")),
    (false, r#"{"ttl": 601}"#, 400, "invalid_field", Some("/ttl")),
    (true, r#"{"ttl": 18446744073709551615}"#, 400, "invalid_field", Some("/ttl")),
    (false, r#"{"ttl": "300"}"#, 400, "invalid_field", Some("/ttl")),
    (false, r#"{"custom_code": "123456"}"#, 403, "scope", None),
    (true, r#"{"custom_code": "123"}"#, 400, "invalid_field", Some("/custom_code")),
    (true, r#"{"custom_code": "12345678901"}"#, 400, "invalid_field", Some("/custom_code")),
    (true, r#"{"custom_code": "12a4"}"#, 400, "invalid_field", Some("/custom_code")),
    (true, r#"{"custom_code": ""}"#, 400, "invalid_field", Some("/custom_code")),
    (true, r#"{"custom_code": 123456}"#, 400, "invalid_field", Some("/custom_code")),
    (false, r#"{"metadata": {"order": "1"}}"#, 403, "scope", None),
    (true, r#"{"metadata": {"order": 1}}"#, 400, "invalid_field", Some("/metadata")),
    (true, r#"{"metadata": {"order": {"id": "1"}}}"#, 400, "invalid_field", Some("/metadata")),
    (true, r#"{"metadata": ["1"]}"#, 400, "invalid_field", Some("/metadata")),
    (false, r#"{"origin": "evil.example.com"}"#, 400, "invalid_field", Some("/origin")),
    (false, r#"{"origin": "login.example.com.evil.example"}"#, 400, "invalid_field", Some("/origin")),
    (true, r#"{"origin": ""}"#, 400, "invalid_field", Some("/origin")),
    (false, r#"{"app_hash": "short"}"#, 400, "invalid_field", Some("/app_hash")),
    (true, r#"{"app_hash": "AAAAAAAAAAA"}"#, 400, "invalid_field", Some("/app_hash")),
    (false, r#"{"code": "123456"}"#, 400, "unknown_field", Some("/code")),
    (false, r#"{"expires_at": "2030-01-01T00:00:00Z"}"#, 400, "unknown_field", Some("/expires_at")),
];

/// v1.md Verifications, the table of fields; security 9, 36 to 38: nothing refused is sent, and no actor is started.
#[tokio::test]
async fn fields_that_break_their_rule_are_refused() {
    let app = TestApp::with("sms.webotp_hosts = login.example.com\nsms.app_hashes = FA+9qCX9VSu").await;
    for (keyed, more, status, code, pointer) in REFUSED {
        let key = keyed.then_some(&*app.keys.backend);
        let answer = start(&app, key, "+989123456789", &serde_json::from_str(more).unwrap()).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (*status, Some(*code)), "{more}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["pointer"].as_str(), *pointer, "{more}: {answer:?}");
    }
    let nothing = app.post("/v1/verifications", json!({})).await;
    nothing.refused(400, "invalid_field").points_at("/to");
    assert_eq!(app.gateway.sent(), []);
    assert_eq!(app.counting.loads(), 0);
}

/// v1.md: up to 16 strings and 512 bytes of notes, names included; they come back, and the message holds none.
#[tokio::test]
async fn metadata_has_its_bounds() {
    let app = TestApp::start().await;
    let key = Some(&*app.keys.backend);
    let notes = |count: usize, bytes: usize| -> Value {
        let entry = |n: usize| (format!("n{n:02}"), json!("x".repeat(if n == 0 { bytes - 3 * count } else { 0 })));
        json!({ "metadata": (0..count).map(entry).collect::<serde_json::Map<_, _>>() })
    };
    start(&app, key, "+989120000001", &notes(17, 400)).await.refused(400, "invalid_field").points_at("/metadata");
    start(&app, key, "+989120000001", &notes(16, 513)).await.refused(400, "invalid_field").points_at("/metadata");
    let most = notes(16, 512);
    let answer = start(&app, key, "+989120000001", &most).await.is(201);
    assert_eq!(answer.body["metadata"], most["metadata"]);
    let read = app.get(answer.header("location")).await.is(200);
    assert_eq!(read.body["metadata"], most["metadata"]);
    assert!(!app.gateway.sent()[0].1.contains("xxx"));
    let none = start(&app, key, "+989120000002", &json!({ "metadata": {} })).await.is(201);
    assert!(none.body.get("metadata").is_none(), "{none:?}");
}

/// v1.md: the fields that are right do what they say. security 2: leading zeros survive; 3: eight digits work;
/// 112: only a configured host gets into the text.
#[tokio::test]
async fn fields_within_their_rule_are_obeyed() {
    let hosts = "sms.webotp_hosts = login.example.com\nsms.app_hashes = FA+9qCX9VSu\nsms.app_name = Example";
    let app = TestApp::with(hosts).await;
    let key = Some(app.keys.backend.clone());
    let rows = [
        (false, json!({ "purpose": "abcdefghij-klmn_0123" })),
        (false, json!({ "channel": "sms" })),
        (false, json!({ "channel": "auto" })),
        (false, json!({ "channel": null, "purpose": null, "ttl": null, "metadata": null })),
        (false, json!({ "locale": "fa-IR" })),
        (false, json!({ "locale": "tlh" })),
        (false, json!({ "code_length": 6 })),
        (false, json!({ "code_length": 8 })),
        (false, json!({ "code_length": 10 })),
        (true, json!({ "code_length": 4 })),
        (false, json!({ "ttl": 60 })),
        (false, json!({ "ttl": 600 })),
        (true, json!({ "custom_code": "0042" })),
        (true, json!({ "custom_code": "0000000042" })),
        (false, json!({ "origin": "login.example.com" })),
        (false, json!({ "origin": "https://login.example.com" })),
        (false, json!({ "app_hash": "FA+9qCX9VSu" })),
    ];
    for (n, (keyed, more)) in rows.into_iter().enumerate() {
        let to = format!("+98912000{n:04}");
        let answer = start(&app, key.as_deref().filter(|_| keyed), &to, &more).await.is(201);
        obeyed(&app, &to, &more, &answer);
        let code = app.gateway.code(&to);
        if let Some(digits) = more["code_length"].as_u64() {
            assert_eq!(code.len() as u64, digits);
            app.check(&answer.text("id"), &"7".repeat(code.len() - 1)).await.refused(400, "code_format");
        }
        let approved = app.check(&answer.text("id"), &code).await.is(200);
        assert_eq!(approved.text("status"), "approved", "{more}");
    }
}

/// What the answer and the message say of the fields asked for.
fn obeyed(app: &TestApp, to: &str, more: &Value, answer: &Answer) {
    let text = app.gateway.sent_to(to).pop().unwrap();
    let code = app.gateway.code(to);
    assert_eq!(answer.text("purpose"), more["purpose"].as_str().unwrap_or("login"));
    assert_eq!(answer.text("channel"), more["channel"].as_str().unwrap_or("sms"), "{more}");
    assert_eq!(answer.body["deliveries"][0]["channel"], "sms", "{more}");
    if let Some(ttl) = more["ttl"].as_u64() {
        let expires = if ttl == 60 { "2026-01-01T00:01:00.000Z" } else { "2026-01-01T00:10:00.000Z" };
        assert_eq!(answer.text("expires_at"), expires);
    }
    if let Some(chosen) = more["custom_code"].as_str() {
        assert_eq!(code, chosen);
    }
    let persian = text.chars().any(|c| ('\u{600}'..='\u{6FF}').contains(&c));
    assert_eq!(persian, more["locale"] == "fa-IR", "{text}");
    assert_eq!(text.ends_with(&format!("\n@login.example.com #{code}")), more.get("origin").is_some(), "{text}");
    assert_eq!(text.ends_with("\nFA+9qCX9VSu"), more.get("app_hash").is_some(), "{text}");
}

/// v1.md: `locale` picks the text, else the default does; the gateway is told which it was. A dialect's own text is in its
/// own language.
#[tokio::test]
async fn every_message_is_in_the_nearest_language() {
    let app = TestApp::start().await;
    let table = [
        ("pt-BR", "pt", "Código otpd: "),
        ("ar-EG", "ar", "رمز تحقق otpd: "),
        ("hi", "hi", "otpd कोड: "),
        ("zh", "en", " is your otpd code."),
        ("ru-Cyrl-KZ", "ru", "Код otpd: "),
    ];
    for (n, (asked, picked, words)) in table.into_iter().enumerate() {
        let to = format!("+98912000{n:04}");
        start(&app, None, &to, &json!({ "locale": asked })).await.is(201);
        assert!(app.gateway.sent_to(&to)[0].contains(words), "{asked}");
        assert_eq!(app.gateway.locales().last().unwrap(), picked, "{asked}");
    }
    app.post("/api/v1/usr/otp", json!({ "phone_number": "+989123456789" })).await.is(200);
    app.post("/auth/signup", json!({ "phone_number": "+14155550123" })).await.is(200);
    assert_eq!(app.gateway.locales()[table.len()..], ["fa", "en"]);
    app.stop().await;
}

/// v1.md: `to` may be national with `region`, or with the configured default region; the request's goes first.
#[tokio::test]
async fn national_numbers_need_a_region() {
    let app = TestApp::with("phone.default_region = IR").await;
    start(&app, None, "0912 345 6789", &json!({})).await.is(201);
    start(&app, None, "020 7946 0958", &json!({ "region": "gb" })).await.is(201);
    let numbers: Vec<String> = app.gateway.sent().into_iter().map(|(to, _)| to).collect();
    assert_eq!(numbers, ["+989123456789", "+442079460958"]);
}

/// v1.md: the same answer for known and unknown numbers. security 53: one that has an account, one whose sessions were
/// ended and one never seen are answered with the same headers and the same body but for id, mask and times.
#[tokio::test]
async fn known_and_unknown_numbers_are_answered_alike() {
    let app = TestApp::start().await;
    app.sign_in("+989120000001").await;
    let erased = app.sign_in("+989120000002").await.text("access_token");
    let request = app.client.delete(app.url("/v1/me")).bearer_auth(erased);
    Answer::read(request).await.is(204);
    app.wait_s(120);
    let shape = async |to: &str| {
        let answer = start(&app, None, to, &json!({})).await.is(201);
        let mut headers: Vec<String> = Vec::new();
        for (name, value) in &answer.headers {
            let own = matches!(name.as_str(), "location" | "request-id" | "date");
            headers.push(format!("{name}: {}", if own { "" } else { value.to_str().unwrap() }));
        }
        let body = answer.raw.replace(&answer.text("id"), "").replace(&answer.text("to_masked"), "");
        (headers, body)
    };
    let unknown = shape("+989120000003").await;
    assert_eq!(shape("+989120000001").await, unknown);
    assert_eq!(shape("+989120000002").await, unknown);
}
