//! `/oauth/*` refuses in OAuth's own JSON (RFC 6749 section 5.2), whatever is wrong (`v1.md`, Tokens).

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, TestApp},
    harness_tokens::{ANNA, JWT_BEARER, Person, claims},
};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

async fn raw(app: &TestApp, path: &str, kind: Option<&str>, body: impl Into<reqwest::Body>) -> Answer {
    let mut request = app.client.post(app.url(path)).body(body);
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    Answer::read(request).await
}

/// v1.md: every failure of a request's form is `invalid_request`; security 93, 96: and what came is not repeated.
#[tokio::test]
async fn malformed_requests_are_invalid_requests() {
    let app = TestApp::start().await;
    let canary = "canary7Zq";
    let nested = format!("{}1{}", r#"{"a":"#.repeat(20), "}".repeat(20));
    let bodies: &[(Option<&str>, String)] = &[
        (None, format!("grant_type={canary}")),
        (Some("text/plain"), format!("grant_type={canary}")),
        (Some("multipart/form-data; boundary=x"), canary.into()),
        (Some(FORM), String::new()),
        (Some(FORM), format!("grant_type=&assertion={canary}")),
        (Some(FORM), format!("grant_type={JWT_BEARER}&grant_type={JWT_BEARER}&assertion={canary}")),
        (Some(FORM), format!("grant_type=refresh_token&refresh_token={canary}&x={canary}&x={canary}")),
        (Some(FORM), format!("grant_type={JWT_BEARER}")),
        (Some(FORM), "grant_type=refresh_token&refresh_token=".into()),
        (Some(JSON), String::new()),
        (Some(JSON), canary.into()),
        (Some(JSON), format!("[\"{canary}\"]")),
        (Some(JSON), format!(r#"{{"grant_type":["{canary}"]}}"#)),
        (Some(JSON), r#"{"grant_type":null}"#.into()),
        (Some(JSON), format!(r#"{{"grant_type":"a","grant_type":"{canary}"}}"#)),
        (Some(JSON), r#"{"grant_type":"refresh_token","refresh_token":5}"#.into()),
        (Some(JSON), nested),
        (Some(FORM), format!("grant_type={}", "x".repeat(16 * 1024))),
    ];
    for (kind, body) in bodies {
        let answer = raw(&app, "/oauth/token", *kind, body.clone()).await;
        answer.oauth_refused(400, "invalid_request");
        assert!(!answer.raw.contains(canary), "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_ne!(answer.header("request-id"), "");
    }
    for path in ["/oauth/revoke", "/oauth/introspect"] {
        let answer = raw(&app, path, Some(FORM), "x=1").await;
        let expected = if path == "/oauth/revoke" { (400, "invalid_request") } else { (401, "invalid_client") };
        answer.oauth_refused(expected.0, expected.1);
    }
}

/// RFC 6749 5.2: other grants are named so, and a grant that is not good is `invalid_grant`.
#[tokio::test]
async fn unknown_grants_and_bad_ones_are_told_apart() {
    let app = TestApp::start().await;
    for grant in ["password", "authorization_code", "client_credentials", "REFRESH_TOKEN", "refresh_token "] {
        let answer = app.post("/oauth/token", json!({ "grant_type": grant, "refresh_token": "rt_x" })).await;
        answer.oauth_refused(400, "unsupported_grant_type");
        assert!(!answer.raw.contains("password"), "no echo: {answer:?}");
    }
    let long = "A".repeat(9_000);
    for bad in ["x", "a.b.c", "rt_", "rt_AAAA", "..", &long, "sk_AAAA", "ver_00"] {
        app.redeem(bad).await.oauth_refused(400, "invalid_grant");
        app.refresh(bad).await.oauth_refused(400, "invalid_grant");
    }
}

/// A key that is not good is `invalid_client`, with the challenge of RFC 6749 5.2, wherever it is sent.
#[tokio::test]
async fn a_bad_key_is_an_invalid_client() {
    let app = TestApp::start().await;
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("token", "x")];
        let basic = app.client.post(app.url(path)).basic_auth("sk_unknown", Some("")).form(&fields);
        let bearer = app.client.post(app.url(path)).bearer_auth("sk_unknown").form(&fields);
        for request in [basic, bearer] {
            let answer = Answer::read(request).await;
            answer.oauth_refused(401, "invalid_client");
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"otpd\"");
        }
    }
}

/// v1.md: the limit per address holds for session calls, in OAuth's form, with `Retry-After`.
#[tokio::test]
async fn the_limit_per_address_holds_here_too() {
    let app = TestApp::with("limits.ip_per_minute = 2").await;
    for _ in 0..2 {
        app.refresh("rt_x").await.oauth_refused(400, "invalid_grant");
    }
    for path in ["/oauth/token", "/oauth/revoke"] {
        let answer = app.form(path, &[("token", "x")]).await;
        answer.oauth_refused(429, "slow_down");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
}

/// v1.md: a store that refuses is 503 with `Retry-After`, in OAuth's form, and the grant stays good.
#[tokio::test]
async fn a_grant_outlives_a_store_that_refuses() {
    let app = TestApp::start().await;
    let receipt = app.receipt(ANNA, "login").await;
    app.store.refuse_all(true);
    let answer = app.redeem(&receipt).await;
    answer.oauth_refused(503, "temporarily_unavailable");
    assert_ne!(answer.header("retry-after"), "");
    app.store.refuse_all(false);
    let person = Person::of(&app.redeem(&receipt).await);
    app.store.refuse_all(true);
    app.refresh(&person.refresh).await.oauth_refused(503, "temporarily_unavailable");
    app.form("/oauth/revoke", &[("token", &person.refresh)]).await.oauth_refused(503, "temporarily_unavailable");
    app.store.refuse_all(false);
    assert_eq!(app.refresh(&person.refresh).await.status, 200);
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
}

/// v1.md, Errors: a key with another body is refused here too.
#[tokio::test]
async fn an_idempotency_key_is_good_for_one_request() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let ask = async |field: &str| {
        let body = json!({ "grant_type": "refresh_token", "refresh_token": person.refresh, "note": field });
        Answer::read(app.client.post(app.url("/oauth/token")).header("Idempotency-Key", "\"k\"").json(&body)).await
    };
    let first = ask("a").await;
    let replayed = ask("a").await;
    assert_eq!((first.status, replayed.status), (200, 200));
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    assert_eq!(first.text("refresh_token"), replayed.text("refresh_token"));
    ask("b").await.oauth_refused(400, "invalid_request");
}

/// security 65: nothing passes for something else.
#[tokio::test]
async fn no_credential_passes_for_another() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let receipt = app.receipt("+4915112345678", "login").await;
    let id = app.start_for("+12025550123").await;
    let hex = id.trim_start_matches("ver_").to_owned();
    let sid = person.sid();
    let jti = claims(&person.access)["jti"].as_str().unwrap().to_owned();
    let sids = [format!("ver_{sid}"), format!("ver_{jti}")];
    for wrong in [&receipt, &person.refresh, &id, &hex, &sid, &jti, ""] {
        app.get_as(wrong, "/v1/me").await.refused(401, "token_invalid");
    }
    for wrong in [&person.access, &person.refresh, &id, &hex, &sid] {
        app.redeem(wrong).await.oauth_refused(400, "invalid_grant");
    }
    for wrong in [&person.access, &receipt, &id, &hex, &sid, &format!("rt_{sid}"), &format!("rt_{hex}")] {
        app.refresh(wrong).await.oauth_refused(400, "invalid_grant");
    }
    for wrong in sids.iter().chain([&person.access, &person.refresh, &receipt]) {
        let path = format!("/v1/verifications/{wrong}");
        app.get(&path).await.refused(404, "verification_not_found");
    }
    for wrong in [&hex, &jti, &id, &receipt] {
        app.delete_as(&person.access, &format!("/v1/me/sessions/{wrong}")).await.refused(404, "not_found");
    }
    // And each is still good where it belongs.
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
    assert_eq!(app.redeem(&receipt).await.status, 200);
    assert_eq!(app.refresh(&person.refresh).await.status, 200);
}

/// v1.md, Tokens (RFC 8414): the metadata document, whole.
#[tokio::test]
async fn the_metadata_document_is_complete() {
    let app = TestApp::with("server.public_url = https://id.example").await;
    let answer = app.get("/.well-known/oauth-authorization-server").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let expected: Value = json!({
        "issuer": "https://id.example",
        "token_endpoint": "https://id.example/oauth/token",
        "revocation_endpoint": "https://id.example/oauth/revoke",
        "introspection_endpoint": "https://id.example/oauth/introspect",
        "jwks_uri": "https://id.example/.well-known/jwks.json",
        "response_types_supported": ["none"],
        "grant_types_supported": [JWT_BEARER, "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
        "service_documentation": "https://id.example/api/docs/",
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("strict-transport-security"), "max-age=63072000; includeSubDomains");
}

/// v1.md: GET never changes anything; a method that is not there is 405 with `Allow`.
#[tokio::test]
async fn tokens_are_posted() {
    let app = TestApp::start().await;
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        let answer = app.get(&format!("{path}?grant_type=refresh_token&refresh_token=x")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{answer:?}");
    }
    app.post("/oauth/none", json!({})).await.refused(404, "not_found");
}
