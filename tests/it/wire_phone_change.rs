//! `/v1/me/phone-change`: the account moves to another number, whole or not at all (`v1.md`, The user; security 73).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{Answer, TestApp},
    harness_tokens::{ANNA, BELA, PUBLIC, Person, claims},
};

const NEW: &str = "+12025550123";

/// Starts a change to [`NEW`]; the verification's id, its send settled.
async fn start(app: &TestApp, person: &Person) -> String {
    let started = app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": NEW })).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.text("id");
    // Behind the send's result in the number's mailbox: what is committed from here on is the check's.
    assert_eq!(app.get(&format!("/v1/verifications/{id}")).await.text("status"), "pending");
    id
}

async fn check(app: &TestApp, token: Option<&str>, id: &str, code: &str) -> Answer {
    let mut request = app.client.post(app.url(&format!("/v1/verifications/{id}/check"))).json(&json!({ "code": code }));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::read(request).await
}

fn other_than(code: &str) -> String {
    code.chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect()
}

/// v1.md: the whole flow.
#[tokio::test]
async fn an_account_moves_with_everything_but_its_sessions() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let elsewhere = app.person(ANNA).await;
    app.patch_as(&person.access, "/v1/me", json!({ "name": "Anna", "locale": "fa" })).await;
    let started = app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": NEW })).await;
    assert_eq!((started.status, started.text("purpose").as_str()), (201, "phone_change"), "{started:?}");
    assert_eq!(started.header("location"), format!("/v1/verifications/{}", started.text("id")));
    let code = app.gateway.code(NEW);
    let moved = check(&app, Some(&person.access), &started.text("id"), &code).await;
    assert_eq!((moved.header("cache-control"), &moved.body["is_new_user"]), ("no-store", &Value::Bool(false)));
    let new = Person::of(&moved);
    assert_eq!(new.user_id(), person.user_id());
    assert_eq!(claims(&new.access)["phone_number"], NEW);
    let me = app.get_as(&new.access, "/v1/me").await;
    assert_eq!((me.text("phone_number").as_str(), me.text("name").as_str()), (NEW, "Anna"));
    assert_eq!(app.refresh(&new.refresh).await.status, 200);

    for old in [&person, &elsewhere] {
        app.get_as(&old.access, "/v1/me").await.refused(401, "token_invalid");
        app.refresh(&old.refresh).await.oauth_refused(400, "invalid_grant");
    }
    app.gateway.arrived(4).await;
    let notice = app.gateway.sent_to(ANNA).pop().unwrap();
    assert_eq!(app.gateway.locales().pop().unwrap(), "fa");
    let digits = |c: char| c.is_numeric();
    assert!(!notice.contains(digits), "the notice has no code: {notice}");
    assert!(notice.chars().any(|c| ('\u{600}'..'\u{700}').contains(&c)), "in the account's language: {notice}");

    // The old number is anybody's now.
    let stranger = app.person(ANNA).await;
    assert!(stranger.is_new_user && stranger.user_id() != person.user_id());
}

/// v1.md: a sign-in at most ten minutes old; a refresh does not make it younger.
#[tokio::test]
async fn a_change_needs_a_fresh_sign_in() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    app.clock.advance(Duration::from_secs(600));
    let person = Person::of(&app.refresh(&person.refresh).await);
    start(&app, &person).await;
    app.clock.advance(Duration::from_millis(1));
    let late = app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": BELA })).await;
    late.refused(403, "fresh_login_required");
    assert!(app.gateway.sent_to(BELA).is_empty());
    let again = app.person(ANNA).await;
    let fresh = app.post_as(&again.access, "/v1/me/phone-change", json!({ "to": BELA })).await;
    assert_eq!(fresh.status, 201, "{fresh:?}");
}

/// v1.md: checked with the same access token. Nothing else works, and nothing else costs a try.
#[tokio::test]
async fn a_change_belongs_to_the_session_that_asked() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let same_person = app.person(ANNA).await;
    let stranger = app.person(BELA).await;
    let id = start(&app, &person).await;
    let code = app.gateway.code(NEW);
    check(&app, None, &id, &code).await.refused(401, "token_invalid");
    for other in [&same_person.access, &stranger.access, "x"] {
        check(&app, Some(other), &id, &code).await.refused(401, "token_invalid");
    }
    let body = json!({ "verification_id": id, "code": code });
    app.post("/v1/sessions", body).await.refused(401, "token_invalid");
    for purpose in ["login", "signup"] {
        let body = json!({ "to": NEW, "code": code, "purpose": purpose });
        app.post("/v1/sessions", body.clone()).await.refused(404, "verification_not_found");
        app.post("/v1/verifications/check", body).await.refused(404, "verification_not_found");
    }
    for path in ["/v1/verifications", "/v1/verifications/check", "/v1/sessions"] {
        let reserved = app.post(path, json!({ "to": NEW, "code": code, "purpose": "phone_change" })).await;
        assert_eq!(reserved.status, 400, "{path}: {reserved:?}");
    }
    let read = app.get(&format!("/v1/verifications/{id}")).await;
    assert_eq!(read.body["attempts_remaining"], 5, "{read:?}");
    // Refreshing keeps the session, and so the change.
    let person = Person::of(&app.refresh(&person.refresh).await);
    assert_eq!(Person::of(&check(&app, Some(&person.access), &id, &code).await).user_id(), person.user_id());
}

/// A change dies with the session that asked.
#[tokio::test]
async fn a_change_ends_with_its_session() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let id = start(&app, &person).await;
    app.form("/oauth/revoke", &[("token", &person.access)]).await;
    check(&app, Some(&person.access), &id, &app.gateway.code(NEW)).await.refused(401, "token_invalid");
    let again = app.person(ANNA).await;
    check(&app, Some(&again.access), &id, &app.gateway.code(NEW)).await.refused(401, "token_invalid");
    assert_eq!(app.get_as(&again.access, "/v1/me").await.text("phone_number"), ANNA);
}

/// Wrong and expired codes are as everywhere; the account stays.
#[tokio::test]
async fn wrong_and_late_codes_move_nothing() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let id = start(&app, &person).await;
    let code = app.gateway.code(NEW);
    for left in [4, 3, 2, 1] {
        let wrong = check(&app, Some(&person.access), &id, &other_than(&code)).await;
        wrong.refused(400, "code_incorrect");
        assert_eq!(wrong.body["attempts_remaining"], left);
    }
    check(&app, Some(&person.access), &id, "12").await.refused(400, "code_format");
    check(&app, Some(&person.access), &id, &other_than(&code)).await.refused(429, "max_attempts_reached");
    check(&app, Some(&person.access), &id, &code).await.refused(429, "max_attempts_reached");
    app.clock.advance(Duration::from_secs(31));
    let id = start(&app, &person).await;
    app.clock.advance(Duration::from_secs(300));
    check(&app, Some(&person.access), &id, &app.gateway.code(NEW)).await.refused(410, "verification_expired");
    assert_eq!(app.get_as(&person.access, "/v1/me").await.text("phone_number"), ANNA);
}

/// v1.md: 409 `phone_in_use`, after the right code alone; security 53, 55: before it, numbers are alike.
#[tokio::test]
async fn a_taken_number_is_told_to_its_holder_alone() {
    let app = TestApp::start().await;
    let taken = app.person(BELA).await;
    let person = app.person(ANNA).await;
    let begin = async |to: &str| app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": to })).await;
    let (free, used) = (begin(NEW).await, begin(BELA).await);
    let shape = |answer: &Answer| {
        let mut body = answer.body.clone();
        for name in ["id", "to_masked", "resend"] {
            body[name] = Value::Null;
        }
        (answer.status, body, answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(shape(&free), shape(&used));
    let id = used.text("id");
    let code = app.gateway.code(BELA);
    check(&app, Some(&person.access), &id, &other_than(&code)).await.refused(400, "code_incorrect");
    check(&app, Some(&person.access), &id, &code).await.refused(409, "phone_in_use");
    check(&app, Some(&person.access), &id, &code).await.refused(409, "already_approved");
    assert_eq!(app.get_as(&person.access, "/v1/me").await.text("phone_number"), ANNA);
    assert_eq!(app.get_as(&taken.access, "/v1/me").await.text("phone_number"), BELA);
    begin(ANNA).await.refused(400, "invalid_field");
    begin("+98912").await.refused(422, "number_invalid");
}

/// What is left after the check broke off: how many commits the store still took.
async fn broken_off(app: &TestApp, commits: u32) -> (Person, Answer) {
    let person = app.person(ANNA).await;
    app.patch_as(&person.access, "/v1/me", json!({ "name": "Anna" })).await;
    let id = start(app, &person).await;
    app.store.refuse_after(commits);
    let answer = check(app, Some(&person.access), &id, &app.gateway.code(NEW)).await;
    app.store.refuse_all(false);
    (person, answer)
}

async fn has_arrived(app: &TestApp, person: &Person) {
    let new = app.person(NEW).await;
    assert_eq!((new.user_id(), new.is_new_user), (person.user_id(), false));
    assert_eq!(app.get_as(&new.access, "/v1/me").await.text("name"), "Anna");
    app.get_as(&person.access, "/v1/me").await.refused(401, "token_invalid");
    let old = app.person(ANNA).await;
    assert!(old.is_new_user && old.user_id() != person.user_id());
    app.gateway.arrived(1).await;
    assert_eq!(app.get_as(&new.access, "/v1/me").await.text("phone_number"), NEW);
}

/// v1.md: the account moves atomically. A change that the store broke off is 504 (it may have happened), and the next
/// sign-in at the new number finds the account there.
#[tokio::test]
async fn a_broken_change_is_finished_at_the_new_number() {
    for commits in [1, 2] {
        let app = TestApp::start().await;
        let (person, answer) = broken_off(&app, commits).await;
        answer.refused(504, "outcome_unknown");
        has_arrived(&app, &person).await;
    }
}

/// An account that has left and not arrived is brought home by who asks for it at the old number, too.
#[tokio::test]
async fn a_broken_change_is_finished_at_the_old_number() {
    let app = TestApp::start().await;
    let (person, answer) = broken_off(&app, 2).await;
    answer.refused(504, "outcome_unknown");
    let old = app.person(ANNA).await;
    assert!(old.is_new_user && old.user_id() != person.user_id());
    let new = app.person(NEW).await;
    assert_eq!((new.user_id(), new.is_new_user), (person.user_id(), false));
}

/// The same after the process ended in between.
#[tokio::test]
async fn a_broken_change_is_finished_after_a_restart() {
    for commits in [1, 2] {
        let app = TestApp::with(PUBLIC).await;
        let (person, _) = broken_off(&app, commits).await;
        app.clock.advance(Duration::from_secs(1));
        let app = app.restart(PUBLIC).await;
        has_arrived(&app, &person).await;
        app.stop().await;
    }
}

/// Refused at its first commit nothing has happened, and the code is still good; at its last all has.
#[tokio::test]
async fn a_change_refused_at_either_end_is_none_or_whole() {
    let app = TestApp::start().await;
    let (person, answer) = broken_off(&app, 0).await;
    answer.refused(503, "storage_unavailable");
    assert_eq!(app.get_as(&person.access, "/v1/me").await.text("phone_number"), ANNA);

    let app = TestApp::start().await;
    let (person, answer) = broken_off(&app, 3).await;
    assert_eq!(Person::of(&answer).user_id(), person.user_id());
    has_arrived(&app, &person).await;
}

/// A retry of the check with its `Idempotency-Key` finishes what broke off, as long as its token is good.
#[tokio::test]
async fn a_retried_check_finishes_the_change() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let id = start(&app, &person).await;
    let body = json!({ "code": app.gateway.code(NEW) });
    let ask = async || {
        let request = app.client.post(app.url(&format!("/v1/verifications/{id}/check"))).bearer_auth(&person.access);
        Answer::read(request.header("Idempotency-Key", "k").json(&body)).await
    };
    app.store.refuse_after(1);
    ask().await.refused(504, "outcome_unknown");
    app.store.refuse_all(false);
    let moved = Person::of(&ask().await);
    assert_eq!(moved.user_id(), person.user_id());
    assert_eq!(app.get_as(&moved.access, "/v1/me").await.text("phone_number"), NEW);
}

/// Under `api.require_key` a person still completes her change: her token leaves no room for a key.
#[tokio::test]
async fn a_change_needs_no_key_where_keys_are_required() {
    use otpd::{entropy::OsEntropy, token::ApiKeys};
    use secrecy::ExposeSecret as _;
    let directory = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(&directory.path().join("api.keys")).unwrap();
    let (_, key) = keys.create("back end", &[], crate::harness::START, &OsEntropy).unwrap();
    let app = TestApp::in_directory("api.require_key = true", directory).await;
    let key = key.expose_secret();
    let started = app.post_as(key, "/v1/verifications", json!({ "to": ANNA })).await;
    let body = json!({ "verification_id": started.text("id"), "code": app.gateway.code(ANNA) });
    let person = Person::of(&app.post_as(key, "/v1/sessions", body).await);
    let started = app.post_as(&person.access, "/v1/me/phone-change", json!({ "to": NEW })).await;
    let (id, code) = (started.text("id"), app.gateway.code(NEW));
    check(&app, None, &id, &code).await.refused(401, "invalid_key");
    check(&app, Some("x"), &id, &code).await.refused(401, "invalid_key");
    app.post_as(&person.access, "/v1/verifications", json!({ "to": BELA })).await.refused(401, "invalid_key");
    let moved = Person::of(&check(&app, Some(&person.access), &id, &code).await);
    assert_eq!(moved.user_id(), person.user_id());
}
