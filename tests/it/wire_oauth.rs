//! `/oauth/token`, `/oauth/revoke` and `/oauth/introspect`: what works, how often and how long (`v1.md`, Tokens).

use std::time::Duration;

use otpd::{
    entropy::OsEntropy,
    token::{ApiKeys, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{
    harness::{Answer, START, TestApp},
    harness_tokens::{ANNA, BELA, JWT_BEARER, PUBLIC, Person, claims, header, names},
};

const MS: Duration = Duration::from_millis(1);

/// A server, and a back end's key that it knew when it started.
async fn keyed(changes: &str) -> (TestApp, String) {
    let directory = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(&directory.path().join("api.keys")).unwrap();
    let none: &[Scope] = &[];
    let (_, secret) = keys.create("back end", none, START, &OsEntropy).unwrap();
    (TestApp::in_directory(changes, directory).await, secret.expose_secret().to_owned())
}

/// v1.md, Tokens: a receipt is exchanged by form or JSON, the answer has these fields; security 74: and is not stored.
#[tokio::test]
async fn a_receipt_becomes_tokens_by_form_and_by_json() {
    let app = TestApp::start().await;
    let receipt = app.receipt(ANNA, "login").await;
    let json = json!({ "grant_type": JWT_BEARER, "assertion": receipt, "scope": "x", "unknown": [1] });
    let by_json = app.post("/oauth/token", json).await;
    let receipt = app.receipt(BELA, "signup").await;
    let fields = [("grant_type", JWT_BEARER), ("assertion", &receipt), ("client_id", "x"), ("unknown", "1")];
    let by_form = app.form("/oauth/token", &fields).await;
    for answer in [&by_json, &by_form] {
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
        let fields = ["access_token", "expires_in", "is_new_user", "refresh_expires_in", "refresh_token", "token_type"];
        assert_eq!(names(&answer.body), fields);
        assert_eq!(answer.body["token_type"], "Bearer");
        assert_eq!(answer.body["expires_in"], 900);
        assert_eq!(answer.body["refresh_expires_in"], 30 * 86_400);
        assert_eq!(answer.body["is_new_user"], true);
    }
    let again = app.receipt(ANNA, "login").await;
    let again = app.redeem(&again).await;
    assert_eq!(again.body["is_new_user"], false, "creates the user at first login only");
    assert_eq!(Person::of(&again).user_id(), Person::of(&by_json).user_id());
}

/// v1.md, Tokens: claims of receipt and access token, none more, none less; security 65.
#[tokio::test]
async fn tokens_say_what_the_contract_lists() {
    let app = TestApp::with("token.audience = shop").await;
    let iss = format!("http://{}", app.address);
    let now = START.0 / 1_000;
    let receipt = app.receipt(ANNA, "signup").await;
    assert_eq!(header(&receipt)["typ"], "receipt+jwt");
    let said = claims(&receipt);
    assert_eq!(names(&said), ["amr", "aud", "exp", "iat", "iss", "jti", "nbf", "phone_number", "purpose"]);
    let expected = json!({ "iss": iss, "aud": "shop", "purpose": "signup", "phone_number": ANNA,
        "amr": ["otp", "sms"], "jti": said["jti"], "iat": now, "nbf": now, "exp": now + 60 });
    assert_eq!(said, expected);

    app.clock.advance(Duration::from_secs(20));
    let person = Person::of(&app.redeem(&receipt).await);
    assert_eq!(header(&person.access)["typ"], "at+jwt");
    assert_eq!(names(&header(&person.access)), ["alg", "kid", "typ"]);
    let said = claims(&person.access);
    let now = now + 20;
    let expected = json!({ "iss": iss, "sub": said["user_id"].to_string(), "aud": "shop", "client_id": "otpd",
        "exp": now + 900, "nbf": now, "iat": now, "jti": said["jti"], "sid": said["sid"], "auth_time": now,
        "token_type": "access", "user_id": said["user_id"], "phone_number": ANNA, "phone_number_verified": true,
        "amr": ["otp", "sms"] });
    assert_eq!(said, expected);
    for id in ["jti", "sid"] {
        let id = said[id].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}

/// v1.md, Tokens: once, for a minute, and only of purpose `login` or `signup`; security 14, 27.
#[tokio::test]
async fn a_receipt_works_once_for_a_minute_and_only_to_sign_in() {
    let app =
        TestApp::with("limits.sends_per_window = 50\nlimits.sends_per_day = 50\nlimits.sends_per_day_per_ip = 50")
            .await;
    let receipt = app.receipt(ANNA, "login").await;
    let both = tokio::join!(app.redeem(&receipt), app.redeem(&receipt), app.redeem(&receipt), app.redeem(&receipt));
    let answers = [both.0, both.1, both.2, both.3];
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.oauth_refused(400, "invalid_grant");
    }

    for (wait, status) in [(59_999, 200), (60_000, 400), (60_001, 400)] {
        let receipt = app.receipt(ANNA, "login").await;
        app.clock.advance(MS * wait);
        assert_eq!(app.redeem(&receipt).await.status, status, "after {wait} ms");
    }
    for purpose in ["payment", "registration", "log-in"] {
        let receipt = app.receipt(ANNA, purpose).await;
        app.redeem(&receipt).await.oauth_refused(400, "invalid_grant");
    }
}

/// v1.md, Headers: a retry with the same `Idempotency-Key` gets tokens signed afresh for the same session.
#[tokio::test]
async fn a_retried_exchange_is_answered_again() {
    let app = TestApp::start().await;
    let receipt = app.receipt(ANNA, "login").await;
    let body = json!({ "grant_type": JWT_BEARER, "assertion": receipt });
    let ask = async || {
        let request = app.client.post(app.url("/oauth/token")).header("Idempotency-Key", "k1").json(&body);
        Answer::read(request).await
    };
    let first = ask().await;
    app.clock.advance(Duration::from_secs(5));
    let second = ask().await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (200, "true"), "{second:?}");
    assert_eq!(first.header("idempotency-replayed"), "");
    let (first, second) = (Person::of(&first), Person::of(&second));
    assert_eq!((first.sid(), &first.refresh), (second.sid(), &second.refresh));
    assert_ne!(claims(&first.access)["jti"], claims(&second.access)["jti"]);
    assert_eq!(second.is_new_user, first.is_new_user);
    // Once the session has ended, nothing is signed for it any more.
    assert_eq!(app.form("/oauth/revoke", &[("token", &first.refresh)]).await.status, 200);
    ask().await.oauth_refused(400, "invalid_grant");
}

/// v1.md, Tokens; security 62, 63: the three cases of a used refresh token, to the millisecond.
#[tokio::test]
async fn a_used_refresh_token_has_ten_seconds_of_grace_and_then_ends_the_session() {
    for (wait, forgiven) in [(0, true), (10_000, true), (10_001, false)] {
        let app = TestApp::start().await;
        let person = app.person(ANNA).await;
        app.clock.advance(Duration::from_secs(60));
        let next = Person::of(&app.refresh(&person.refresh).await);
        assert_ne!(next.refresh, person.refresh);
        assert_eq!(next.sid(), person.sid());
        app.clock.advance(MS * wait);
        let again = app.refresh(&person.refresh).await;
        if forgiven {
            assert_eq!(Person::of(&again).refresh, next.refresh, "the same successor after {wait} ms");
            assert_eq!(app.refresh(&next.refresh).await.status, 200, "nothing was rotated by the retry");
        } else {
            again.oauth_refused(400, "invalid_grant");
            app.refresh(&next.refresh).await.oauth_refused(400, "invalid_grant");
            app.get_as(&next.access, "/v1/me").await.refused(401, "token_invalid");
        }
    }
}

/// security 63: two generations back is reuse even within the grace.
#[tokio::test]
async fn a_refresh_token_two_generations_old_ends_the_session() {
    let app = TestApp::start().await;
    let first = app.person(ANNA).await;
    let second = Person::of(&app.refresh(&first.refresh).await);
    let third = Person::of(&app.refresh(&second.refresh).await);
    app.refresh(&first.refresh).await.oauth_refused(400, "invalid_grant");
    app.refresh(&third.refresh).await.oauth_refused(400, "invalid_grant");
}

/// security 31, 62, 63: parallel refreshes of one token make one chain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_of_one_token_make_one_chain() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let answers = futures_util::future::join_all((0..12).map(|_| app.refresh(&person.refresh))).await;
    let successors: std::collections::BTreeSet<_> = answers.iter().map(|answer| Person::of(answer).refresh).collect();
    assert_eq!(successors.len(), 1);
    let next = app.refresh(successors.first().unwrap()).await;
    assert_eq!(next.status, 200, "{next:?}");
}

/// v1.md: a session ends 30 days after its sign-in, however often it was refreshed; security 64.
#[tokio::test]
async fn a_session_ends_thirty_days_after_its_sign_in() {
    let app = TestApp::start().await;
    let mut person = app.person(ANNA).await;
    let signed_in = claims(&person.access)["auth_time"].clone();
    for day in 1..30 {
        app.clock.advance(Duration::from_secs(86_400));
        let answer = app.refresh(&person.refresh).await;
        assert_eq!(answer.body["refresh_expires_in"], (30 - day) * 86_400);
        person = Person::of(&answer);
        assert_eq!(claims(&person.access)["auth_time"], signed_in, "a refresh is no sign-in");
    }
    app.clock.advance(Duration::from_secs(86_400) - MS);
    person = Person::of(&app.refresh(&person.refresh).await);
    app.clock.advance(MS);
    app.refresh(&person.refresh).await.oauth_refused(400, "invalid_grant");
    app.get_as(&person.access, "/v1/me").await.refused(401, "token_expired");
}

/// v1.md, Tokens (RFC 7009); security 71: revoked by either token, both are dead at once; others live.
#[tokio::test]
async fn a_revoked_session_is_dead_at_once() {
    let app = TestApp::start().await;
    let other = app.person(BELA).await;
    for by_access in [true, false] {
        let person = app.person(ANNA).await;
        let token = if by_access { &person.access } else { &person.refresh };
        for time in ["first", "second"] {
            let answer = app.form("/oauth/revoke", &[("token", token), ("token_type_hint", "nonsense")]).await;
            assert_eq!((answer.status, answer.raw.as_str()), (200, ""), "{time}: {answer:?}");
        }
        app.get_as(&person.access, "/v1/me").await.refused(401, "token_invalid");
        app.refresh(&person.refresh).await.oauth_refused(400, "invalid_grant");
    }
    let altered = format!("{}x", other.refresh);
    for unknown in ["x", "rt_", "a.b.c", &altered, &"A".repeat(9_000), "نشان"] {
        let answer = app.post("/oauth/revoke", json!({ "token": unknown })).await;
        assert_eq!((answer.status, answer.raw.as_str()), (200, ""), "{unknown:.20}: {answer:?}");
    }
    assert_eq!(app.get_as(&other.access, "/v1/me").await.status, 200);
    assert_eq!(app.refresh(&other.refresh).await.status, 200);
}

/// v1.md, Tokens (RFC 7662): a back end's key is needed; live tokens are described, all else is inactive.
#[tokio::test]
async fn introspection_describes_live_tokens_to_back_ends_alone() {
    let (app, key) = keyed("").await;
    let person = app.person(ANNA).await;
    let keyless = app.form("/oauth/introspect", &[("token", &person.access)]).await;
    keyless.oauth_refused(401, "invalid_client");
    assert_eq!(keyless.header("www-authenticate"), "Basic realm=\"otpd\"");
    let as_user = app.client.post(app.url("/oauth/introspect")).bearer_auth(&person.access);
    Answer::read(as_user.form(&[("token", &person.access)])).await.oauth_refused(401, "invalid_client");

    let said = app.introspect(&key, &person.access).await;
    let mut expected = claims(&person.access);
    expected["active"] = true.into();
    expected["token_type"] = "Bearer".into();
    assert_eq!((said.status, &said.body, said.header("cache-control")), (200, &expected, "no-store"));

    let said = app.introspect(&key, &person.refresh).await;
    let id = person.user_id();
    let expected = json!({ "active": true, "token_type": "refresh_token", "sub": id.to_string(), "user_id": id,
        "sid": person.sid(), "client_id": "otpd", "exp": START.0 / 1_000 + 30 * 86_400 });
    assert_eq!(said.body, expected);

    let inactive = json!({ "active": false });
    // v1.md: under HS* a back end asks here what others read off the JWKS, receipts too.
    let receipt = app.introspect(&key, &app.receipt(BELA, "login").await).await.body;
    assert_eq!((&receipt["active"], &receipt["purpose"]), (&json!(true), &json!("login")));
    let retired = person.refresh.clone();
    let person = Person::of(&app.refresh(&person.refresh).await);
    for token in [&retired, &key, "x", "rt_AAAA", "a.b.c"] {
        let said = app.introspect(&key, token).await;
        assert_eq!((said.status, &said.body), (200, &inactive), "{token:.12}");
    }
    app.clock.advance(Duration::from_secs(900));
    assert_eq!(app.introspect(&key, &person.access).await.body, inactive, "expired");
    let fresh = Person::of(&app.refresh(&person.refresh).await);
    assert_eq!(app.introspect(&key, &fresh.access).await.body["active"], true);
    app.form("/oauth/revoke", &[("token", &fresh.access)]).await;
    for token in [&fresh.access, &fresh.refresh] {
        assert_eq!(app.introspect(&key, token).await.body, inactive, "revoked");
    }
}

/// A store that cannot be read is no proof that a session has ended.
#[tokio::test]
async fn introspection_says_when_it_does_not_know() {
    let (app, key) = keyed(PUBLIC).await;
    let person = app.person(ANNA).await;
    let app = app.restart(PUBLIC).await;
    app.store.fail_loads(true);
    for token in [&person.access, &person.refresh] {
        let said = app.introspect(&key, token).await;
        said.oauth_refused(503, "temporarily_unavailable");
        assert_ne!(said.header("retry-after"), "");
    }
    app.store.fail_loads(false);
    assert_eq!(app.introspect(&key, &person.access).await.body["active"], true);
}
