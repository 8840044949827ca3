//! `/v1/me` and `/v1/me/export`: reading, changing, taking along and erasing (`v1.md`, The user).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{Answer, TestApp},
    harness_tokens::{ANNA, Person, names},
};

/// v1.md: who signs in for the first time has an account with nothing but her number.
#[tokio::test]
async fn a_new_person_has_an_empty_profile() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let me = app.get_as(&person.access, "/v1/me").await;
    let at = "2026-01-01T00:00:00.000Z";
    let expected = json!({ "user_id": person.user_id(), "phone_number": ANNA, "phone_number_verified": true,
        "name": null, "first_name": null, "last_name": null, "email": null, "bio": null, "location": null,
        "birth_date": null, "avatar": null, "locale": null, "created_at": at, "updated_at": at, "verified_at": at });
    assert_eq!((me.status, &me.body), (200, &expected));
}

/// v1.md: PATCH changes what is named, null clears, what is absent stays; times say so.
#[tokio::test]
async fn a_profile_is_patched_field_by_field() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let all = json!({ "name": "آنا بلا", "first_name": "Anna", "last_name": "Bela", "email": "anna@example.com",
        "bio": "line\nand\ttab", "location": "Tehrān", "birth_date": "1996-02-29",
        "avatar": "https://cdn.example.com/a.png?x=1", "locale": "fa-IR" });
    app.clock.advance(Duration::from_secs(60));
    let patched = app.patch_as(&person.access, "/v1/me", all.clone()).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    for (name, value) in all.as_object().unwrap() {
        assert_eq!(&patched.body[name], value);
    }
    assert_eq!(patched.text("updated_at"), "2026-01-01T00:01:00.000Z");
    assert_eq!(patched.text("created_at"), "2026-01-01T00:00:00.000Z");

    app.clock.advance(Duration::from_secs(60));
    let cleared = app.patch_as(&person.access, "/v1/me", json!({ "bio": null, "name": "A" })).await;
    assert_eq!((&cleared.body["bio"], &cleared.body["name"]), (&Value::Null, &json!("A")));
    assert_eq!(cleared.body["email"], "anna@example.com");
    let unchanged = app.patch_as(&person.access, "/v1/me", json!({})).await;
    assert_eq!(unchanged.body, cleared.body);
    assert_eq!(app.get_as(&person.access, "/v1/me").await.body, cleared.body);
}

/// Each field's rule; security 93, 96: the fault is pointed at, nothing that was sent is repeated, nothing is changed.
#[tokio::test]
async fn every_field_has_its_rule() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let before = app.get_as(&person.access, "/v1/me").await.body;
    let long = |chars: usize| Value::from("ü".repeat(chars));
    let cases: &[(&str, Vec<Value>)] = &[
        ("name", vec![long(101), json!("a\u{0}b"), json!("a\rb"), json!("\u{1b}[31m"), json!("a\u{85}b"), json!(5)]),
        ("first_name", vec![long(101), json!("\u{7f}"), json!(["x"])]),
        ("last_name", vec![long(101), json!({ "$ne": "" }), json!(true)]),
        ("bio", vec![long(501), json!("\u{8}")]),
        ("location", vec![long(101), json!("\u{9b}31m")]),
        (
            "email",
            ["", "nope", "a@", "@b.example", "a b@c.example", "Anna <a@b.example>", "a@[127.0.0.1]", "a@b.example\n"]
                .map(Value::from)
                .to_vec(),
        ),
        (
            "birth_date",
            ["", "1995-02-30", "1995-1-31", "31.01.1995", "1995-W05-2", "19950131", "1995-01-31T00:00:00Z", "96-03-31"]
                .map(Value::from)
                .to_vec(),
        ),
        (
            "avatar",
            [
                "",
                "javascript:alert(1)",
                "data:image/png;base64,AA",
                "ftp://x.example/a",
                "//x.example/a",
                "/a.png",
                "https://x.example/a\nb",
                "a b",
            ]
            .map(Value::from)
            .to_vec(),
        ),
        ("locale", ["", "f", "fa_IR", "fa-", "averylongsubtag-x", "فا"].map(Value::from).to_vec()),
    ];
    for (field, values) in cases {
        for value in values {
            let answer = app.patch_as(&person.access, "/v1/me", json!({ *field: value })).await;
            answer.refused(400, "invalid_field");
            assert_eq!(answer.body["errors"][0]["pointer"], format!("/{field}"), "{value}: {answer:?}");
            let text = value.as_str().unwrap_or_default();
            assert!(text.len() < 4 || !answer.raw.contains(text), "echoed: {answer:?}");
        }
    }
    let at_most = json!({ "name": "x".repeat(100), "bio": "x".repeat(500), "avatar": format!("https://x.example/{}", "a".repeat(400)) });
    assert_eq!(app.patch_as(&person.access, "/v1/me", at_most).await.status, 200);
    let cleared = json!({ "name": null, "bio": null, "avatar": null });
    assert_eq!(app.patch_as(&person.access, "/v1/me", cleared).await.status, 200);
    assert_eq!(app.get_as(&person.access, "/v1/me").await.body, before);
}

/// v1.md: unknown fields are refused, those of the account itself among them; a body is one JSON object of UTF-8.
#[tokio::test]
async fn only_the_profile_can_be_changed() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    for field in ["phone_number", "user_id", "phone_number_verified", "created_at", "admin", "Name"] {
        let answer = app.patch_as(&person.access, "/v1/me", json!({ "name": "x", field: null })).await;
        answer.refused(400, "unknown_field");
        assert_eq!(answer.body["errors"][0]["pointer"], format!("/{field}"));
    }
    let ask = async |kind: &str, body: &'static [u8]| {
        let request = app.client.patch(app.url("/v1/me")).bearer_auth(&person.access).header("Content-Type", kind);
        Answer::read(request.body(body)).await
    };
    ask("application/json", b"{").await.refused(400, "malformed_json");
    ask("application/json", b"{\"name\":\"\xff\"}").await.refused(400, "malformed_json");
    ask("application/json", b"[]").await.refused(400, "invalid_field");
    ask("application/json", b"{\"name\":\"a\",\"name\":\"b\"}").await.refused(400, "invalid_field");
    ask("text/plain", b"{}").await.refused(415, "unsupported_media_type");
    // Each field is within its rule; three bytes a letter, they are too much together.
    let (bio, name) = ("ᚠ".repeat(500), "ᚠ".repeat(100));
    let all = json!({ "bio": bio, "name": name, "location": name, "first_name": name, "last_name": name });
    let answer = app.patch_as(&person.access, "/v1/me", all).await;
    answer.refused(400, "invalid_field");
    assert_eq!(answer.body["detail"], "the profile is too large as a whole");
    assert_eq!(app.get_as(&person.access, "/v1/me").await.body["name"], Value::Null);
}

/// v1.md, Errors: no token, a wrong one and an expired one are told apart; security 70.
#[tokio::test]
async fn a_person_is_known_by_a_good_token_alone() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    for path in ["/v1/me", "/v1/me/export", "/v1/me/sessions"] {
        app.get(path).await.refused(401, "token_invalid");
        app.get_as("x", path).await.refused(401, "token_invalid");
        let lower = app.client.get(app.url(path)).header("Authorization", format!("bearer {}", person.access));
        assert_eq!(Answer::read(lower).await.status, 200, "the scheme's case does not count (RFC 9110)");
        let in_url = app.get(&format!("{path}?access_token={}", person.access)).await;
        in_url.refused(401, "token_invalid");
    }
    app.clock.advance(Duration::from_millis(899_999));
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
    app.clock.advance(Duration::from_millis(1));
    let expired = app.get_as(&person.access, "/v1/me").await;
    expired.refused(401, "token_expired");
    assert!(expired.header("www-authenticate").contains("invalid_token"));
    assert_eq!(app.refresh(&person.refresh).await.status, 200, "expired is no end of the session");
}

/// v1.md: DELETE erases account, profile and sessions; limits stay until they run out; security 72.
#[tokio::test]
async fn erasing_leaves_nothing_but_the_limits() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let second = app.person(ANNA).await;
    app.patch_as(&person.access, "/v1/me", json!({ "name": "Anna" })).await;
    let erased = app.delete_as(&person.access, "/v1/me").await;
    assert_eq!((erased.status, erased.raw.as_str()), (204, ""));
    for old in [&person, &second] {
        app.get_as(&old.access, "/v1/me").await.refused(401, "token_invalid");
        app.delete_as(&old.access, "/v1/me").await.refused(401, "token_invalid");
        app.refresh(&old.refresh).await.oauth_refused(400, "invalid_grant");
    }
    // The third send of the window is still to be had, the fourth is not: erasing bought none.
    let again = app.person(ANNA).await;
    assert!(again.is_new_user && again.user_id() != person.user_id());
    assert_eq!(app.get_as(&again.access, "/v1/me").await.body["name"], Value::Null);
    app.delete_as(&again.access, "/v1/me").await;
    app.post("/v1/verifications", json!({ "to": ANNA })).await.refused(429, "send_limited");
}

/// A receipt from before the erasure brings nobody back.
#[tokio::test]
async fn erasing_voids_receipts() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let receipt = app.receipt(ANNA, "login").await;
    app.delete_as(&person.access, "/v1/me").await;
    app.redeem(&receipt).await.oauth_refused(400, "invalid_grant");
}

/// v1.md: the export holds everything the server has about a person, and no secret.
#[tokio::test]
async fn the_export_is_everything_and_no_secret() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    app.clock.advance(Duration::from_secs(31));
    let receipt = app.receipt(ANNA, "payment").await;
    app.clock.advance(Duration::from_secs(31));
    let id = app.start_for(ANNA).await;
    let wrong = if app.gateway.code(ANNA) == "000000" { "000001" } else { "000000" };
    let by_number = json!({ "to": ANNA, "code": wrong });
    app.post("/v1/verifications/check", by_number).await.refused(400, "code_incorrect");
    app.patch_as(&person.access, "/v1/me", json!({ "name": "Anna" })).await;
    let export = app.get_as(&person.access, "/v1/me/export").await;
    assert_eq!(export.status, 200, "{export:?}");
    let body = &export.body;
    assert_eq!(names(body), ["consecutive_wrong_codes", "messages_sent_at", "sessions", "user", "verifications"]);
    assert_eq!(body["user"], app.get_as(&person.access, "/v1/me").await.body);
    assert_eq!(body["sessions"], app.get_as(&person.access, "/v1/me/sessions").await.body["sessions"]);
    assert_eq!(body["messages_sent_at"].as_array().unwrap().len(), 3);
    assert_eq!(body["consecutive_wrong_codes"], 1);
    let verifications = body["verifications"].as_array().unwrap();
    let told: Vec<_> = verifications.iter().map(|one| (one["purpose"].as_str(), one["status"].as_str())).collect();
    assert_eq!(
        told,
        [(Some("login"), Some("approved")), (Some("payment"), Some("approved")), (Some("login"), Some("pending"))]
    );
    assert_eq!(verifications[0]["deliveries"][0]["route"], "simulated");
    let texts = app.gateway.sent_to(ANNA);
    let codes = texts.iter().map(|text| text.split(' ').next().unwrap());
    let secrets = codes.chain([person.access.as_str(), &person.refresh, &receipt, &id]);
    for secret in secrets {
        assert!(!export.raw.contains(secret), "{secret} in the export");
    }
}

/// v1.md: what the store cannot take is refused whole (security 105), and the answer of a retry is not half done.
#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    app.store.refuse_all(true);
    app.patch_as(&person.access, "/v1/me", json!({ "name": "x" })).await.refused(503, "storage_unavailable");
    app.delete_as(&person.access, "/v1/me").await.refused(503, "storage_unavailable");
    let me = app.get_as(&person.access, "/v1/me").await;
    assert_eq!((me.status, &me.body["name"]), (200, &Value::Null), "reading goes on");
    app.store.refuse_all(false);
    let person = Person::of(&app.refresh(&person.refresh).await);
    assert_eq!(app.patch_as(&person.access, "/v1/me", json!({ "name": "x" })).await.body["name"], "x");
}
