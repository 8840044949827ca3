//! `/v1/me/sessions`: seeing and ending them (`v1.md`, The user).

use std::time::Duration;

use otpd::entropy::{Entropy as _, OsEntropy};
use serde_json::json;

use crate::{
    harness::TestApp,
    harness_tokens::{ANNA, BELA, Person, claims, names},
};

/// Enough messages for many sign-ins of one number.
const MANY_SENDS: &str = "limits.sends_per_window = 50\nlimits.sends_per_day = 50\nlimits.sends_per_day_per_ip = 50";

async fn sids(app: &TestApp, person: &Person) -> Vec<String> {
    let answer = app.get_as(&person.access, "/v1/me/sessions").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sessions = answer.body["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["sid"].as_str().unwrap().to_owned()).collect()
}

/// v1.md: the list tells what a person needs to recognise a session, and which is the one she asks with.
#[tokio::test]
async fn sessions_are_listed_with_their_times() {
    let app = TestApp::start().await;
    let first = app.person(ANNA).await;
    app.clock.advance(Duration::from_secs(60));
    let second = app.person(ANNA).await;
    app.refresh(&first.refresh).await;
    let list = app.get_as(&second.access, "/v1/me/sessions").await.body["sessions"].clone();
    let expected = json!([
        { "sid": first.sid(), "current": false, "dialect": "v1", "client_id": "otpd",
          "created_at": "2026-01-01T00:00:00.000Z", "refreshed_at": "2026-01-01T00:01:00.000Z",
          "expires_at": "2026-01-31T00:00:00.000Z" },
        { "sid": second.sid(), "current": true, "dialect": "v1", "client_id": "otpd",
          "created_at": "2026-01-01T00:01:00.000Z", "refreshed_at": "2026-01-01T00:01:00.000Z",
          "expires_at": "2026-01-31T00:01:00.000Z" },
    ]);
    assert_eq!(list, expected);
    assert_eq!(names(&list[0]).len(), 7);
}

/// v1.md; security 71, 72: one's own session is ended, its tokens are dead at once, the others live.
#[tokio::test]
async fn a_person_ends_her_own_sessions() {
    let app = TestApp::start().await;
    let (first, second) = (app.person(ANNA).await, app.person(ANNA).await);
    let path = format!("/v1/me/sessions/{}", first.sid());
    let ended = app.delete_as(&second.access, &path).await;
    assert_eq!((ended.status, ended.raw.as_str()), (204, ""));
    app.get_as(&first.access, "/v1/me").await.refused(401, "token_invalid");
    app.refresh(&first.refresh).await.oauth_refused(400, "invalid_grant");
    app.delete_as(&second.access, &path).await.refused(404, "not_found");
    assert_eq!(sids(&app, &second).await, [second.sid()]);

    let own = format!("/v1/me/sessions/{}", second.sid());
    assert_eq!(app.delete_as(&second.access, &own).await.status, 204);
    app.delete_as(&second.access, &own).await.refused(401, "token_invalid");
}

/// v1.md: a session of another and one that never was are alike: 404, and nothing ends.
#[tokio::test]
async fn nobody_ends_the_sessions_of_others() {
    let app = TestApp::start().await;
    let (anna, bela) = (app.person(ANNA).await, app.person(BELA).await);
    let made_up = format!("{:016x}{:016x}", OsEntropy.draw(), OsEntropy.draw());
    let upper = bela.sid().to_uppercase();
    let mut answers = Vec::new();
    for sid in [&bela.sid(), &made_up, &upper, "x", &"0".repeat(32), "%2e%2e", "نه"] {
        let answer = app.delete_as(&anna.access, &format!("/v1/me/sessions/{sid}")).await;
        answer.refused(404, "not_found");
        let mut body = answer.body;
        body["instance"] = "".into();
        answers.push(body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "security 56: one public answer");
    assert_eq!(app.get_as(&bela.access, "/v1/me").await.status, 200);
    let path = format!("/v1/me/sessions/{}", bela.sid());
    app.client.delete(app.url(&path)).send().await.unwrap();
    assert_eq!(app.get_as(&bela.access, "/v1/me").await.status, 200, "without a token nothing ends either");
}

/// DESIGN 2: ten sessions, the oldest ends; security 76: every sign-in has a session id of its own.
#[tokio::test]
async fn the_eleventh_sign_in_ends_the_oldest_session() {
    let app = TestApp::with(MANY_SENDS).await;
    let mut people = Vec::new();
    for _ in 0..11 {
        people.push(app.person(ANNA).await);
        app.clock.advance(Duration::from_secs(1));
    }
    let all: std::collections::BTreeSet<_> = people.iter().map(Person::sid).collect();
    assert_eq!(all.len(), 11);
    let jtis: std::collections::BTreeSet<_> = people.iter().map(|one| claims(&one.access)["jti"].to_string()).collect();
    assert_eq!(jtis.len(), 11);
    app.get_as(&people[0].access, "/v1/me").await.refused(401, "token_invalid");
    app.refresh(&people[0].refresh).await.oauth_refused(400, "invalid_grant");
    let expected: Vec<_> = people[1..].iter().map(Person::sid).collect();
    assert_eq!(sids(&app, &people[10]).await, expected);
}
