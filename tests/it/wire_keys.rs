//! Back ends with API keys: what a key opens, and what it does not (`v1.md`, Callers).

use otpd::{
    entropy::OsEntropy,
    token::{ApiKeys, RECHECK, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, START, TestApp},
    harness_tokens::{ANNA, BELA, Person, claims},
};

/// A server with two keys, made before it started: a plain one and an administrator's.
struct Keyed {
    app: TestApp,
    file: ApiKeys,
    id: String,
    plain: String,
    admin: String,
}

impl Keyed {
    async fn with(changes: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = ApiKeys::open(&directory.path().join("api.keys")).unwrap();
        let (plain, secret) = file.create("shop", &[], START, &OsEntropy).unwrap();
        let (_, admin) = file.create("support", &[Scope::Admin], START, &OsEntropy).unwrap();
        let app = TestApp::in_directory(changes, directory).await;
        let (id, plain, admin) = (plain.id, secret.expose_secret().to_owned(), admin.expose_secret().to_owned());
        Self { app, file, id, plain, admin }
    }

    async fn post_basic(&self, key: &str, path: &str, body: &Value) -> Answer {
        Answer::read(self.app.client.post(self.app.url(path)).basic_auth(key, Some("")).json(body)).await
    }
}

/// v1.md, Callers: a key comes as Bearer or as the user name of Basic, and its id is in the tokens (`client_id`).
#[tokio::test]
async fn a_key_is_taken_as_bearer_and_as_basic() {
    let keyed = Keyed::with("").await;
    let app = &keyed.app;
    let body = json!({ "to": ANNA, "custom_code": "4821", "metadata": { "order": "7" } });
    let started = app.post_as(&keyed.plain, "/v1/verifications", body.clone()).await;
    assert_eq!((started.status, &started.body["metadata"]["order"]), (201, &json!("7")), "{started:?}");
    let body = json!({ "to": BELA, "code_length": 4 });
    let started = keyed.post_basic(&keyed.plain, "/v1/verifications", &body).await;
    assert_eq!(started.status, 201, "{started:?}");
    let code = app.gateway.code(BELA);
    assert_eq!(code.len(), 4);
    let body = json!({ "verification_id": started.text("id"), "code": code });
    let person = Person::of(&keyed.post_basic(&keyed.plain, "/v1/sessions", &body).await);
    assert_eq!(claims(&person.access)["client_id"], keyed.id.as_str());
    let list = app.get_as(&person.access, "/v1/me/sessions").await;
    assert_eq!(list.body["sessions"][0]["client_id"], keyed.id.as_str());
    let next = Person::of(&app.refresh(&person.refresh).await);
    assert_eq!(claims(&next.access)["client_id"], keyed.id.as_str(), "a session keeps its client");
}

/// v1.md, Callers: 403 `scope` to those without a key; nothing is sent and nothing started.
#[tokio::test]
async fn what_needs_a_key_is_refused_to_others() {
    let keyed = Keyed::with("").await;
    let app = &keyed.app;
    for extra in [json!({ "custom_code": "482913" }), json!({ "metadata": {} }), json!({ "code_length": 5 })] {
        let mut body = json!({ "to": ANNA });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        app.post("/v1/verifications", body.clone()).await.refused(403, "scope");
        let person_token = "a.b.c";
        app.post_as(person_token, "/v1/verifications", body).await.refused(403, "scope");
    }
    assert!(app.gateway.sent().is_empty() && app.store.is_empty());
    assert_eq!(app.post("/v1/verifications", json!({ "to": ANNA, "code_length": 8 })).await.status, 201);
}

/// v1.md, Callers: an unknown key is refused even where none is needed.
#[tokio::test]
async fn a_bad_key_is_refused_everywhere() {
    let keyed = Keyed::with("").await;
    let app = &keyed.app;
    let almost = format!("{}A", &keyed.plain[..keyed.plain.len() - 1]);
    let almost = if almost == keyed.plain { format!("{}B", &almost[..almost.len() - 1]) } else { almost };
    for key in
        ["sk_", "sk_x", &almost, &format!("{}x", keyed.plain), &keyed.plain.to_uppercase().replacen("SK_", "sk_", 1)]
    {
        let bearer = app.post_as(key, "/v1/verifications", json!({ "to": ANNA })).await;
        bearer.refused(401, "invalid_key");
        assert!(!bearer.raw.contains(key) || key == "sk_");
        assert!(bearer.header("www-authenticate").contains("Basic"));
        keyed.post_basic(key, "/v1/verifications", &json!({ "to": ANNA })).await.refused(401, "invalid_key");
        app.get_as(key, "/v1/me").await.refused(401, "invalid_key");
    }
    keyed.post_basic("", "/v1/verifications", &json!({ "to": ANNA })).await.refused(401, "invalid_key");
    let as_password = app.client.post(app.url("/v1/verifications")).basic_auth("", Some(&keyed.plain));
    Answer::read(as_password.json(&json!({ "to": ANNA }))).await.refused(401, "invalid_key");
    assert!(app.gateway.sent().is_empty());
    app.get_as(&keyed.plain, "/v1/me").await.refused(401, "token_invalid");
}

/// v1.md, Callers: `api.require_key` refuses callers without one, sign-ins and refreshes too.
#[tokio::test]
async fn keys_can_be_required() {
    let keyed = Keyed::with("api.require_key = true").await;
    let app = &keyed.app;
    for (path, body) in [
        ("/v1/verifications", json!({ "to": ANNA })),
        ("/v1/verifications/check", json!({ "to": ANNA, "code": "123456" })),
        ("/v1/verifications/ver_00/check", json!({ "code": "123456" })),
        ("/v1/verifications/ver_00/resend", json!({})),
        ("/v1/verifications/ver_00/cancel", json!({})),
        ("/v1/sessions", json!({ "to": ANNA, "code": "123456" })),
        ("/v1/admin/unlock", json!({ "to": ANNA })),
        ("/v1/verifications", json!({ "nonsense": true })),
    ] {
        app.post(path, body).await.refused(401, "invalid_key");
    }
    app.get("/v1/verifications/ver_00").await.refused(401, "invalid_key");
    app.refresh("rt_x").await.oauth_refused(401, "invalid_client");
    assert!(app.store.is_empty() && app.gateway.sent().is_empty());

    let started = app.post_as(&keyed.plain, "/v1/verifications", json!({ "to": ANNA })).await;
    let body = json!({ "verification_id": started.text("id"), "code": app.gateway.code(ANNA) });
    let person = Person::of(&app.post_as(&keyed.plain, "/v1/sessions", body).await);
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200, "people need no key");
    assert_eq!(app.get("/.well-known/jwks.json").await.status, 200);
}

/// v1.md, Callers: keyed callers are not bound by the limit per address.
#[tokio::test]
async fn a_key_lifts_the_limit_per_address() {
    let keyed = Keyed::with("limits.ip_per_minute = 1").await;
    let app = &keyed.app;
    let check = json!({ "to": ANNA, "code": "123456" });
    app.post("/v1/verifications/check", check.clone()).await.refused(404, "verification_not_found");
    let limited = app.post("/v1/verifications/check", check.clone()).await;
    limited.refused(429, "rate_limited");
    assert_ne!(limited.header("retry-after"), "");
    for _ in 0..5 {
        let answer = app.post_as(&keyed.plain, "/v1/verifications/check", check.clone()).await;
        answer.refused(404, "verification_not_found");
    }
}

/// v1.md, Callers: `POST /v1/admin/unlock` with the admin scope clears locks, delays and counts of a number.
#[tokio::test]
async fn an_administrator_unlocks_a_number() {
    let keyed = Keyed::with("limits.guess_free = 0").await;
    let app = &keyed.app;
    app.start_for(ANNA).await;
    let code = app.gateway.code(ANNA);
    let wrong = if code == "000000" { "111111" } else { "000000" };
    let check = async |code: &str| app.post("/v1/verifications/check", json!({ "to": ANNA, "code": code })).await;
    check(wrong).await.refused(400, "code_incorrect");
    let delayed = check(&code).await;
    delayed.refused(429, "guess_budget_exhausted");
    assert_eq!(delayed.header("retry-after"), "30");

    let unlock = json!({ "to": ANNA });
    app.post("/v1/admin/unlock", unlock.clone()).await.refused(401, "invalid_key");
    app.post_as("a.b.c", "/v1/admin/unlock", unlock.clone()).await.refused(401, "invalid_key");
    app.post_as(&keyed.plain, "/v1/admin/unlock", unlock.clone()).await.refused(403, "scope");
    check(&code).await.refused(429, "guess_budget_exhausted");
    app.post_as(&keyed.admin, "/v1/admin/unlock", json!({ "to": "x" })).await.refused(422, "number_invalid");
    for _ in 0..2 {
        let done = app.post_as(&keyed.admin, "/v1/admin/unlock", unlock.clone()).await;
        assert_eq!((done.status, done.raw.as_str()), (204, ""), "{done:?}");
    }
    assert_eq!(check(&code).await.text("status"), "approved");
}

/// v1.md, Callers: stored hashed; a revoked key is refused a second later at the latest, without a restart.
#[tokio::test]
async fn a_revoked_key_dies_within_a_second() {
    let keyed = Keyed::with("").await;
    let (app, body) = (&keyed.app, json!({ "to": ANNA, "code": "123456" }));
    let ask = async |key: &str| app.post_as(key, "/v1/verifications/check", body.clone()).await;
    ask(&keyed.plain).await.refused(404, "verification_not_found");
    keyed.file.revoke(&keyed.id, START).unwrap();
    let (_, fresh) = keyed.file.create("successor", &[], START, &OsEntropy).unwrap();
    tokio::time::sleep(RECHECK).await;
    ask(&keyed.plain).await.refused(401, "invalid_key");
    ask(fresh.expose_secret()).await.refused(404, "verification_not_found");
    ask(&keyed.admin).await.refused(404, "verification_not_found");
    let file = std::fs::read_to_string(app.directory().join("api.keys")).unwrap();
    for key in [&keyed.plain, &keyed.admin, fresh.expose_secret()] {
        assert!(!file.contains(key) && !file.contains(&key[3..]), "a key in the file");
    }
}
