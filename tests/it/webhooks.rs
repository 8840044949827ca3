//! Events from a whole server to the operator's back end: what `/v1` did is told under the ids that `/v1` gave, and
//! administrators see to what could not be delivered.

use std::{collections::BTreeSet, sync::Arc};

use otpd::{app::parts, clock::Clock, record::UnixMillis, sms::SendClass, store::SnapshotStore};
use serde_json::{Value, json};

use crate::{
    event_receiver::{EventReceiver, Post, SECRET},
    harness::{Answer, START, Script, TestApp, settings},
};

const ANNA: &str = "+989121112233";
const NEW_NUMBER: &str = "+989121112244";
const DEAD: &str = "/v1/admin/events/dead";

/// The time at which the servers of these tests begin.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        START
    }
}

async fn receiver() -> EventReceiver {
    EventReceiver::start_at(Arc::new(Still)).await
}

fn to(receiver: &EventReceiver, more: &str) -> String {
    format!("webhooks.url = {}\nwebhooks.secret = {SECRET}\n{more}", receiver.url())
}

fn types(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| post.body["type"].as_str().unwrap()).collect()
}

async fn delete_as(app: &TestApp, key: &str, path: &str) -> Answer {
    Answer::read(app.client.delete(app.url(path)).bearer_auth(key)).await
}

/// security 117: signed, and told under the ids that the API gave.
#[tokio::test]
async fn a_persons_life_is_told() {
    let receiver = receiver().await;
    let app = TestApp::with(&to(&receiver, "")).await;
    let id = app.start_for(ANNA).await;
    let code = app.gateway.code(ANNA);
    let tokens = app.post("/v1/sessions", json!({ "verification_id": id, "code": code })).await.is(200);
    let access = tokens.text("access_token");
    let user = app.get_as(&access, "/v1/me").await.body["user_id"].clone();
    let sid = app.get_as(&access, "/v1/me/sessions").await.body["sessions"][0]["sid"].clone();
    let moved = app.post_as(&access, "/v1/me/phone-change", json!({ "to": NEW_NUMBER })).await.text("id");
    let code = json!({ "code": app.gateway.code(NEW_NUMBER) });
    app.post_as(&access, &format!("/v1/verifications/{moved}/check"), code).await.is(200);

    let posts = receiver.until(|posts| posts.len() >= 9).await;
    let of = |number: &str| -> Vec<Post> {
        posts.iter().filter(|post| post.body["data"]["phone_number"] == number).cloned().collect()
    };
    let (old, new) = (of(ANNA), of(NEW_NUMBER));
    let signed_in =
        ["verification.created", "verification.approved", "user.created", "session.created", "session.ended"];
    assert_eq!(types(&old), signed_in);
    assert_eq!(types(&new), ["verification.created", "verification.approved", "user.phone_changed", "session.created"]);
    let time = |at: &str| json!(format!("2026-01-01T00:0{at}.000Z"));
    let data = json!({
        "verification_id": id, "phone_number": ANNA, "purpose": "login", "channel": "sms", "dialect": "v1",
        "created_at": time("0:00"), "expires_at": time("5:00"),
    });
    assert_eq!(old[0].body, json!({ "type": "verification.created", "timestamp": time("0:00"), "data": data }));
    assert_eq!((&old[1].body["data"], &new[0].body["data"]["verification_id"]), (&data, &json!(moved)));
    assert_eq!(old[2].body["data"], json!({ "user_id": user, "phone_number": ANNA }));
    let session = &old[3].body["data"];
    assert_eq!((&session["sid"], &session["user_id"], &session["client"]), (&sid, &user, &json!("otpd")));
    assert_eq!((&old[4].body["data"]["sid"], &old[4].body["data"]["reason"]), (&sid, &json!("phone_changed")));
    let arrived = json!({ "user_id": user, "phone_number": NEW_NUMBER, "previous_phone_number": ANNA });
    assert_eq!(new[2].body["data"], arrived);
    let ids: BTreeSet<&str> = posts.iter().map(|post| post.id.as_str()).collect();
    assert_eq!((ids.len(), receiver.faults()), (9, Vec::new()));
    let told = posts.iter().map(|post| post.body.to_string()).collect::<String>();
    assert!(app.gateway.codes().iter().all(|code| !told.contains(&format!("\"{code}\""))), "no code is told");
    app.stop().await;
}

#[tokio::test]
async fn only_what_is_wanted_is_kept_and_told() {
    let receiver = receiver().await;
    let app = TestApp::with(&to(&receiver, "webhooks.events = user.*")).await;
    app.sign_in(ANNA).await;
    assert_eq!(types(&receiver.until(|posts| !posts.is_empty()).await), ["user.created"]);
    app.stop().await;

    let app = TestApp::start().await;
    app.sign_in(ANNA).await;
    assert_eq!(app.store.outbox().counts().pending, 0, "without a URL nothing is kept");
    app.stop().await;
}

/// Sign-ins do not depend on the receiver; what it did not take, administrators see, deliver after all and throw away.
#[tokio::test]
async fn a_receiver_that_is_down_costs_no_sign_in() {
    let receiver = receiver().await;
    receiver.answers(|_, _| (500, None));
    let app = TestApp::with(&to(&receiver, "webhooks.outbox_max = 1")).await;
    app.sign_in(ANNA).await;
    for (key, status, code) in [("sk_wrong", 401, "invalid_key"), (app.keys.backend.as_str(), 403, "scope")] {
        app.get_as(key, DEAD).await.refused(status, code);
        app.post_as(key, &format!("{DEAD}/evt_1/retry"), json!({})).await.refused(status, code);
        delete_as(&app, key, &format!("{DEAD}/evt_1")).await.refused(status, code);
    }
    app.get(DEAD).await.refused(401, "invalid_key");

    let admin = app.keys.admin.clone();
    let listed = app.get_as(&admin, DEAD).await.is(200);
    let events: Vec<Value> = listed.body["events"].as_array().unwrap().clone();
    let names: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["verification.approved", "user.created", "session.created"]);
    assert_eq!((&events[1]["phone_masked"], &events[1]["tries"]), (&json!("+98******2233"), &json!(0)));
    assert!(!listed.body.to_string().contains(ANNA));
    let rest = app.get_as(&admin, &format!("{DEAD}?after={}", events[1]["id"].as_str().unwrap())).await.is(200);
    assert_eq!((rest.body["events"].as_array().unwrap().len(), &rest.body["next"]), (1, &Value::Null));
    for wrong in ["after=1", "after=evt_0", "after=", "before=evt_1"] {
        app.get_as(&admin, &format!("{DEAD}?{wrong}")).await.refused(400, "invalid_field");
    }

    receiver.answers(|_, _| (204, None));
    let path = |event: &Value| format!("{DEAD}/{}", event["id"].as_str().unwrap());
    app.post_as(&admin, &format!("{}/retry", path(&events[1])), json!({})).await.is(204);
    let posts = receiver.until(|posts| types(posts).contains(&"user.created")).await;
    assert_eq!(posts.last().unwrap().id, events[1]["id"].as_str().unwrap());
    delete_as(&app, &admin, &path(&events[0])).await.is(204);
    for gone in [&events[0], &events[1]] {
        delete_as(&app, &admin, &path(gone)).await.refused(404, "not_found");
    }
    app.post_as(&admin, &format!("{DEAD}/evt_x/retry"), json!({})).await.refused(404, "not_found");
    assert_eq!(app.get_as(&admin, DEAD).await.body["events"].as_array().unwrap().len(), 1);
    app.stop().await;
}

/// What waited when the server ended is posted by the next one, under the same ids.
#[tokio::test]
async fn a_restart_goes_on() {
    let receiver = receiver().await;
    receiver.answers(|_, _| (503, None));
    let app = TestApp::with(&to(&receiver, "")).await;
    app.sign_in(ANNA).await;
    let before = receiver.until(|posts| posts.len() >= 4).await;
    // Down: the tries are written down, and due in five seconds of the server's time.
    let app = app.restart(&to(&receiver, "")).await;
    receiver.answers(|_, _| (204, None));
    app.wait_s(5);
    let app = app.restart(&to(&receiver, "")).await;
    let posts = receiver.until(|posts| posts.len() >= 8).await;
    let ids = |posts: &[Post]| -> BTreeSet<String> { posts.iter().map(|post| post.id.clone()).collect() };
    assert_eq!(ids(&posts[4..]), ids(&before));
    app.stop().await;
}

/// Names of config.toml, and no secret, in what stops the start.
#[test]
fn settings_of_no_use_are_named() {
    let url = "webhooks.url = https://backend.example/events\n";
    for (more, key) in [
        ("webhooks.secret = whsec_c2hvcnQ=", "webhooks.secret"),
        (&format!("webhooks.secret = {SECRET}\nwebhooks.secret_previous = short"), "webhooks.secret_previous"),
        (&format!("webhooks.secret = {SECRET}\nwebhooks.events = user.born"), "webhooks.events"),
    ] {
        let faults: Vec<String> =
            parts::faults(&settings(&format!("{url}{more}"))).iter().map(ToString::to_string).collect();
        let variable = format!("OTPD__{}", key.to_uppercase().replace('.', "__"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(&format!("{variable}: ")) && !faults[0].contains("c2hvcnQ"), "{faults:?}");
    }
    assert!(parts::faults(&settings(&format!("{url}webhooks.secret = {SECRET}"))).is_empty());
}

/// What happens to the node leaves as events, too: a gateway is left alone and used again, a budget runs out, and a block
/// of numbers closes, never by a whole number.
#[tokio::test]
async fn what_happens_to_the_node_is_told() {
    let receiver = receiver().await;
    let rules = "webhooks.events = route.*, budget.*, prefix.*\nsms.breaker_open_ms = 100\nspend.per_day = 1\n\
                 spend.default_price = 0.05\nspend.budget = enforce\nfraud.conversion = enforce\n\
                 fraud.conversion_sample_min = 5\nfraud.conversion_mature_s = 60\nfraud.conversion_trial_sends = 5";
    let app = TestApp::with(&to(&receiver, rules)).await;
    let start = async |nth: u32| app.post("/v1/verifications", json!({ "to": format!("+98912345{nth:04}") })).await;
    app.gateway.next([Script::Fail(SendClass::AuthFailed)]);
    start(0).await.is(502);
    let mut nth = 1;
    while start(nth).await.status == 503 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let told = receiver.until(|posts| posts.len() >= 2).await;
    assert_eq!(types(&told), ["route.opened", "route.closed"]);
    assert!(told.iter().all(|post| post.body["data"]["gateway"] == "simulated"), "{told:?}");

    // Nobody types these codes, and a minute later that is old enough to judge by.
    for _ in 0..9 {
        nth += 1;
        start(nth).await.is(201);
    }
    app.wait_s(100);
    start(nth + 1).await.refused(429, "send_limited");
    let told = receiver.until(|posts| posts.len() >= 3).await;
    assert_eq!(told[2].body["type"], "prefix.closed");
    assert_eq!(told[2].body["data"]["prefix"], "+98912345****");

    for nth in 0..10 {
        app.post("/v1/verifications", json!({ "to": format!("+98935{nth}000017") })).await.is(201);
    }
    app.post("/v1/verifications", json!({ "to": "+989381110017" })).await.refused(503, "no_route_available");
    let told = receiver.until(|posts| posts.len() >= 5).await;
    assert_eq!(types(&told)[3..], ["budget.threshold", "budget.exhausted"]);
    assert_eq!(told[4].body["data"]["limit_micros"], 1_000_000);
    assert_eq!(receiver.faults(), Vec::<String>::new());
    app.stop().await;
}
