//! The operators' listener, stopping, and a store that refuses (`v1.md`, Operations; DESIGN 4 and 5).

use std::time::Duration;

use otpd::{
    record::PhoneNumber,
    store::{Snapshot, SnapshotStore as _},
};
use serde_json::json;

use crate::{
    harness::{Answer, Script, TestApp},
    harness_tokens::{ANNA, BELA, Person},
};

async fn record(app: &TestApp, phone: &str) -> Option<Snapshot> {
    app.store.load(PhoneNumber::from_e164(phone).unwrap()).await.unwrap()
}

/// v1.md, Operations: alive and ready, as JSON.
#[tokio::test]
async fn a_running_server_is_alive_and_ready() {
    let app = TestApp::start().await;
    let alive = app.ops("/healthz").await;
    assert_eq!((alive.status, alive.body), (200, json!({ "status": "alive" })));
    let ready = app.ops("/readyz").await;
    assert_eq!((ready.status, ready.body), (200, json!({ "status": "ready" })));
    let metrics = app.ops("/metrics").await;
    assert_eq!((metrics.status, metrics.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
}

/// security 84, 100: neither door opens what belongs to the other.
#[tokio::test]
async fn each_door_has_its_own_routes() {
    let app = TestApp::start().await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        app.get(path).await.refused(404, "not_found");
        let posted = Answer::read(app.client.post(format!("http://{}{path}", app.ops_address))).await;
        assert_eq!((posted.status, posted.header("allow")), (405, "GET,HEAD"), "{path}");
    }
    for path in ["/v1/me", "/v1/verifications/ver_0", "/oauth/token", "/.well-known/jwks.json", "/errors/scope"] {
        app.ops(path).await.refused(404, "not_found");
    }
}

/// v1.md: 503 `storage_unavailable` while the store refuses; security 105: nothing is sent or half written, and it
/// goes on when space returns.
#[tokio::test]
async fn a_store_that_refuses_closes_the_server_and_opens_it_again() {
    let app = TestApp::start().await;
    let id = app.start_for(ANNA).await;
    let code = app.gateway.code(ANNA);
    // Behind the send's result in the number's mailbox.
    app.get(&format!("/v1/verifications/{id}")).await;
    let before = record(&app, ANNA).await;

    app.store.refuse_all(true);
    let closed = app.ops("/readyz").await;
    assert_eq!((closed.status, closed.body.clone()), (503, json!({ "status": "store_refuses" })));
    assert_ne!(closed.header("retry-after"), "");
    assert_eq!(app.ops("/healthz").await.status, 200);
    let wrong = code.replace(|_| true, "5");
    let check = format!("/v1/verifications/{id}/check");
    for (path, body) in [
        ("/v1/verifications", json!({ "to": BELA })),
        (check.as_str(), json!({ "code": wrong })),
        (&check, json!({ "code": code })),
        ("/v1/sessions", json!({ "verification_id": id, "code": code })),
        ("/v1/verifications/check", json!({ "to": ANNA, "code": code })),
        (&format!("/v1/verifications/{id}/cancel"), json!({})),
    ] {
        let refused = app.post(path, body).await;
        refused.refused(503, "storage_unavailable");
        assert_eq!(refused.header("retry-after"), refused.body["retry_after"].to_string(), "{path}");
    }
    assert_eq!(app.get(&format!("/v1/verifications/{id}")).await.body["attempts_remaining"], 5, "reading goes on");
    assert_eq!(app.gateway.sent().len(), 1, "no send without a commit");
    assert_eq!(record(&app, ANNA).await, before);
    assert_eq!(record(&app, BELA).await, None);

    app.store.refuse_all(false);
    assert_eq!(app.ops("/readyz").await.status, 200);
    app.start_for(BELA).await;
    let signed_in = app.post("/v1/sessions", json!({ "verification_id": id, "code": code })).await;
    assert!(Person::of(&signed_in).is_new_user);
}

/// A store that cannot be read is 503 as well; what was acknowledged is there when it can be read again.
#[tokio::test]
async fn a_store_that_cannot_be_read_loses_nothing() {
    let app = TestApp::with(crate::harness_tokens::PUBLIC).await;
    let person = app.person(ANNA).await;
    app.clock.advance(Duration::from_secs(1));
    let app = app.restart(crate::harness_tokens::PUBLIC).await;
    app.store.fail_loads(true);
    app.get_as(&person.access, "/v1/me").await.refused(503, "storage_unavailable");
    app.post("/v1/verifications", json!({ "to": ANNA })).await.refused(503, "storage_unavailable");
    app.store.fail_loads(false);
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
    app.stop().await;
}

/// v1.md and DESIGN 5: a stop turns readiness 503 at once, takes nothing new, and finishes what is open.
#[tokio::test]
async fn a_stop_finishes_what_is_open() {
    let app = TestApp::with(crate::harness_tokens::PUBLIC).await;
    let person = app.person(BELA).await;
    app.gateway.next([Script::Hold]);
    let (client, url) = (app.client.clone(), app.url("/v1/verifications"));
    let open = tokio::spawn(async move { Answer::read(client.post(url).json(&json!({ "to": ANNA }))).await });
    app.gateway.arrived(2).await;
    app.begin_stop();

    let draining = app.ops("/readyz").await;
    assert_eq!((draining.status, draining.body.clone()), (503, json!({ "status": "draining" })));
    assert_ne!(draining.header("retry-after"), "");
    assert_eq!(app.ops("/healthz").await.status, 200);
    assert_eq!(app.ops("/metrics").await.status, 200);
    while tokio::net::TcpStream::connect(app.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!open.is_finished());

    app.gateway.release();
    let answer = open.await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    let code = app.gateway.code(ANNA);
    app.clock.advance(Duration::from_secs(1));
    let app = app.restart(crate::harness_tokens::PUBLIC).await;
    let id = answer.text("id");
    let read = app.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["deliveries"][0]["status"], "accepted", "the result was kept too: {read:?}");
    let signed_in = app.post("/v1/sessions", json!({ "verification_id": id, "code": code })).await;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
    app.stop().await;
}

/// security 91, 96: headers of every kind of answer, as they are; problems are of one form and repeat nothing.
#[tokio::test]
async fn every_answer_carries_the_headers_of_caution() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let canary = "canary7Zq";
    let json_with = |kind: &str, body: String| {
        app.client.post(app.url("/v1/verifications")).header("content-type", kind.to_owned()).body(body)
    };
    let requests = [
        (200, app.client.get(app.url("/v1/me")).bearer_auth(&person.access)),
        (201, app.client.post(app.url("/v1/verifications")).json(&json!({ "to": BELA }))),
        (200, app.client.get(app.url("/.well-known/jwks.json"))),
        (200, app.client.get(app.url("/errors/scope"))),
        (200, app.client.post(app.url("/oauth/revoke")).form(&[("token", "x")])),
        (400, app.client.post(app.url("/oauth/token")).form(&[("grant_type", canary)])),
        (400, json_with("application/json", format!("{{\"{canary}\":"))),
        (400, json_with("application/json", format!(r#"{{"to":"{ANNA}","purpose":"{canary}!"}}"#))),
        (401, app.client.get(app.url("/v1/me")).bearer_auth(canary)),
        (403, app.client.post(app.url("/v1/verifications")).json(&json!({ "to": ANNA, "custom_code": "12345678" }))),
        (404, app.client.get(app.url(&format!("/{canary}")))),
        (404, app.client.get(app.url(&format!("/v1/verifications/{canary}")))),
        (405, app.client.delete(app.url("/v1/sessions"))),
        (413, json_with("application/json", canary.repeat(2_000))),
        (415, json_with(canary, "{}".into())),
        (422, json_with("application/json", format!(r#"{{"to":"{canary}"}}"#))),
        (429, app.client.post(app.url("/v1/verifications")).json(&json!({ "to": BELA }))),
    ];
    for (status, request) in requests {
        let answer = Answer::read(request.header("request-id", "caution-1")).await;
        assert_eq!(answer.status, status, "{answer:?}");
        for (name, value) in [
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("request-id", "caution-1"),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {answer:?}");
        }
        assert_eq!(answer.header("server"), "", "no names of what runs here");
        assert!(!answer.raw.contains(canary), "echoed: {answer:?}");
        if answer.header("content-type") == "application/problem+json" {
            let body = &answer.body;
            assert_eq!((body["status"].as_u64(), body["instance"].as_str()), (Some(status.into()), Some("caution-1")));
            assert_eq!(body["type"], format!("/errors/{}", body["code"].as_str().unwrap()));
            assert_eq!(app.get(body["type"].as_str().unwrap()).await.body["title"], body["title"]);
        }
    }
}
