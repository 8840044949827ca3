//! Requests per address and minute: the first and cheapest limit (security 22, 25, 86, 87, 102; ).

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, wrong};

const TO: &str = "+989123456789";
const LIMITED: &str = "limits.ip_per_minute = 60";
const BEHIND_PROXY: &str = "limits.ip_per_minute = 60\nserver.trusted_proxies = 127.0.0.1";

/// How the limiter fills up again: one a second. A test that runs for whole seconds is granted as many more.
struct Granted {
    begun: Instant,
    passed: usize,
}

impl Granted {
    fn begin() -> Self {
        Self { begun: Instant::now(), passed: 0 }
    }

    /// Counts an answer; true if it was limited, as it must be once 60 and the seconds since are spent.
    fn limited(&mut self, answer: &Answer) -> bool {
        if answer.body["code"] == "rate_limited" {
            assert_eq!(answer.status, 429);
            assert!(self.passed >= 60, "limited after {}", self.passed);
            assert!(answer.body["retry_after"].as_u64().is_some_and(|seconds| (1..=60).contains(&seconds)));
            return true;
        }
        self.passed += 1;
        let most = 60 + 1 + self.begun.elapsed().as_secs() as usize;
        assert!(self.passed <= most, "{} passed, {most} were due", self.passed);
        false
    }
}

/// v1.md: 60 a minute and address; R-21: every route that checks a code, sends one or opens a session is behind the
/// limiter, enumerated here, and a limited request starts no actor (security 102).
#[tokio::test]
async fn every_route_counts_against_the_address() {
    // One a minute: what is spent stays spent for the whole test.
    let app = TestApp::with("limits.ip_per_minute = 1\nserver.trusted_proxies = 127.0.0.1").await;
    let id = app.start_for(TO).await;
    let jwt = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let routes: Vec<(String, Value)> = vec![
        ("/v1/verifications".into(), json!({ "to": "+989120000001" })),
        ("/v1/verifications/check".into(), json!({ "to": "+989120000001", "code": "123456" })),
        (format!("/v1/verifications/{id}/check"), json!({ "code": "123456" })),
        (format!("/v1/verifications/{id}/resend"), json!({})),
        (format!("/v1/verifications/{id}/cancel"), json!({})),
        ("/v1/sessions".into(), json!({ "verification_id": id, "code": "123456" })),
        ("/v1/sessions".into(), json!({ "to": "+989120000001", "code": "123456" })),
        ("/v1/admin/unlock".into(), json!({ "to": "+989120000001" })),
        ("/oauth/token".into(), json!({ "grant_type": jwt, "assertion": "x" })),
        ("/oauth/token".into(), json!({ "grant_type": "refresh_token", "refresh_token": "rt_x" })),
        ("/oauth/revoke".into(), json!({ "token": "rt_x" })),
        ("/oauth/introspect".into(), json!({ "token": "rt_x" })),
    ];
    let loads = app.counting.loads();
    for (n, (path, body)) in routes.iter().enumerate() {
        let client = format!("203.0.113.{n}");
        // What is wrong in another way counts as well: the limit comes before the body is read.
        app.post_for(&client, "/v1/verifications", json!({})).await.refused(400, "invalid_field");
        let answer = app.post_for(&client, path, body.clone()).await;
        assert_eq!(answer.status, 429, "{path}: {answer:?}");
        let read = app.client.get(app.url(&format!("/v1/verifications/{id}"))).header("x-forwarded-for", &client);
        Answer::read(read).await.refused(429, "rate_limited");
    }
    assert_eq!((app.counting.loads(), app.gateway.sent().len()), (loads, 1));
}

/// Asks until the limiter says no: a second may have granted one more request in between.
async fn limited_on(app: &TestApp, client: &str, path: &str, body: &Value) -> Answer {
    for _ in 0..20 {
        let answer = app.post_for(client, path, body.clone()).await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("{path} is not limited")
}

/// security 86, R-03: an untrusted peer's `X-Forwarded-For` and its like are not believed: a thousand values, one
/// bucket.
#[tokio::test]
async fn forwarded_addresses_of_strangers_are_not_believed() {
    let app = TestApp::with(LIMITED).await;
    let headers = ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"];
    let mut granted = Granted::begin();
    for n in 0..1_000 {
        let mut request = app.client.post(app.url("/v1/verifications/check"));
        for name in headers {
            let address = format!("198.51.{}.{}", n / 250, n % 250);
            request = request.header(name, if name == "forwarded" { format!("for={address}") } else { address });
        }
        granted.limited(&Answer::read(request.json(&json!({ "to": TO, "code": "123456" }))).await);
    }
}

/// security 86: behind a trusted proxy the rightmost address that is no proxy counts, whatever the client wrote left of
/// it; what is no address means the peer.
#[tokio::test]
async fn behind_a_proxy_the_client_is_read_from_the_right() {
    let app = TestApp::with(BEHIND_PROXY).await;
    let check = json!({ "to": TO, "code": "123456" });
    let mut granted = Granted::begin();
    for n in 0..100 {
        let made_up = format!("198.51.100.{n}, 203.0.113.7");
        granted.limited(&app.post_for(&made_up, "/v1/verifications/check", check.clone()).await);
    }
    for same in ["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7:4711", "1.1.1.1, 203.0.113.7, 127.0.0.1"] {
        limited_on(&app, same, "/v1/verifications/check", &check).await;
    }
    for other in ["203.0.113.8", "203.0.113.7, 198.51.100.1", "203.0.113.7, nonsense"] {
        let answer = app.post_for(other, "/v1/verifications/check", check.clone()).await;
        answer.refused(404, "verification_not_found");
    }
}

/// security 87: all addresses of one /64 are one client; another /64 is another.
#[tokio::test]
async fn an_ipv6_network_is_one_client() {
    let app = TestApp::with(BEHIND_PROXY).await;
    let check = json!({ "to": TO, "code": "123456" });
    let mut granted = Granted::begin();
    for n in 0..200 {
        let address = format!("2001:db8:0:1:{n:x}::{n:x}");
        granted.limited(&app.post_for(&address, "/v1/verifications/check", check.clone()).await);
    }
    app.post_for("2001:db8:0:2::1", "/v1/verifications/check", check).await.refused(404, "verification_not_found");
}

/// security 22, R-13: one wrong guess at each of many numbers, from one address, trips the limiter.
#[tokio::test]
async fn one_guess_at_many_numbers_is_limited() {
    let app = TestApp::with(LIMITED).await;
    let mut granted = Granted::begin();
    for n in 0..500 {
        let body = json!({ "to": format!("+98912{n:07}"), "code": "123456" });
        granted.limited(&app.post("/v1/verifications/check", body).await);
    }
    assert!(app.counting.loads() <= granted.passed, "a limited request starts no actor (security 102)");
}

/// security 25: a success clears the failures of its number, not the count of its address.
#[tokio::test]
async fn a_success_does_not_free_the_address() {
    let app = TestApp::with(BEHIND_PROXY).await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    let check = format!("/v1/verifications/{id}/check");
    let client = "203.0.113.9";
    let mut granted = Granted::begin();
    for _ in 0..50 {
        granted.limited(&app.post_for(client, "/v1/verifications/check", json!({})).await);
    }
    granted.limited(&app.post_for(client, &check, json!({ "code": wrong(&code, 1) })).await);
    let approved = app.post_for(client, &check, json!({ "code": code })).await.is(200);
    granted.limited(&approved);
    while !granted.limited(&app.post_for(client, "/v1/verifications/check", json!({})).await) {}
}

/// v1.md Callers: a back end's key lifts the limit of the address, also when it is spent; a key that is not good is 401
/// and lifts nothing. HTTP Basic takes the key as the user name.
#[tokio::test]
async fn back_ends_are_free_of_the_limit() {
    let app = TestApp::with(LIMITED).await;
    let check = json!({ "to": TO, "code": "123456" });
    for _ in 0..100 {
        let answer = app.post_as(&app.keys.backend, "/v1/verifications/check", check.clone()).await;
        answer.refused(404, "verification_not_found");
    }
    let mut granted = Granted::begin();
    while !granted.limited(&app.post("/v1/verifications/check", check.clone()).await) {}
    app.post_as(&app.keys.backend, "/v1/verifications/check", check.clone())
        .await
        .refused(404, "verification_not_found");
    let basic = app.client.post(app.url("/v1/verifications/check")).basic_auth(&app.keys.backend, Some(""));
    Answer::read(basic.json(&check)).await.refused(404, "verification_not_found");
    // A bad key is counted as a call of its address, so this asks from one that has calls left.
    let app = TestApp::with(LIMITED).await;
    for bad in ["sk_", "sk_nonsense", &app.keys.backend[..45], &app.keys.backend.to_uppercase().replace("SK_", "sk_")] {
        let answer = app.post_as(bad, "/v1/verifications/check", check.clone()).await;
        answer.refused(401, "invalid_key");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
}

/// v1.md Callers: `api.require_key = true` refuses who has none, 401 `invalid_key`, before an actor is started; who
/// has one is served.
#[tokio::test]
async fn a_key_may_be_required() {
    let app = TestApp::with("api.require_key = true").await;
    let id = format!("ver_{}", "0".repeat(32));
    for path in ["/v1/verifications", "/v1/verifications/check", "/v1/sessions"] {
        app.post(path, json!({ "to": TO, "code": "123456" })).await.refused(401, "invalid_key");
    }
    for call in ["check", "resend", "cancel"] {
        app.post(&format!("/v1/verifications/{id}/{call}"), json!({})).await.refused(401, "invalid_key");
    }
    app.get(&format!("/v1/verifications/{id}")).await.refused(401, "invalid_key");
    assert_eq!(app.post("/oauth/token", json!({ "grant_type": "refresh_token" })).await.status, 401);
    assert_eq!((app.counting.loads(), app.gateway.sent().len()), (0, 0));
    let started = app.post_as(&app.keys.backend, "/v1/verifications", json!({ "to": TO })).await.is(201);
    let check = format!("/v1/verifications/{}/check", started.text("id"));
    app.post_as(&app.keys.other, &check, json!({ "code": app.gateway.code(TO) })).await.is(200);
}

/// v1.md: starts count, also those that a signed-in person asks for when she changes her number; or an account would
/// be a way to send to any number at any rate.
#[tokio::test]
async fn phone_changes_count_against_the_address() {
    let app = TestApp::with(BEHIND_PROXY).await;
    let token = app.sign_in(TO).await.text("access_token");
    let mut granted = Granted::begin();
    let mut limited = 0;
    for n in 0..70 {
        let request = app.client.post(app.url("/v1/me/phone-change")).header("x-forwarded-for", "203.0.113.5");
        let body = json!({ "to": format!("+98912{n:07}") });
        limited += usize::from(granted.limited(&Answer::read(request.bearer_auth(&token).json(&body)).await));
    }
    assert!(limited > 0 && app.gateway.sent().len() <= 1 + granted.passed);
}
