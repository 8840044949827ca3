//! Receipts over the wire: what they move, what they never touch, and who is not believed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, RECEIPTS_KEY, Script, TestApp};

const TO: &str = "+989123456789";
const PATH: &str = "/v1/receipts/simulated";

impl TestApp {
    /// Posts as the provider.
    async fn posted(&self, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(PATH)).bearer_auth(RECEIPTS_KEY).json(&body)).await
    }

    /// Posts what became of the newest message, which must be taken.
    async fn told(&self, state: &str) {
        let reference = self.gateway.references().pop().unwrap();
        self.posted(json!({ "reference": reference, "state": state })).await.is(204);
    }

    async fn states(&self, id: &str) -> Vec<String> {
        let read = self.get(&format!("/v1/verifications/{id}")).await.is(200);
        let deliveries = read.body["deliveries"].as_array().unwrap();
        deliveries.iter().map(|delivery| delivery["status"].as_str().unwrap().to_owned()).collect()
    }

    async fn metric(&self, line: &str) -> u64 {
        let page = Answer::read(self.client.get(format!("http://{}/metrics", self.ops_address))).await.raw;
        let value = page.lines().find_map(|it| it.strip_prefix(line));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }
}

/// providers.md 15: in order, twice and out of order; each send by itself; and the code is as good as before.
#[tokio::test]
async fn deliveries_move_forward() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    assert_eq!(app.states(&id).await, ["accepted"]);
    app.told("sent").await;
    assert_eq!(app.states(&id).await, ["sent"]);
    app.told("delivered").await;
    let changes = app.settled_changes(&id).await;
    for late in ["sent", "undelivered", "delivered"] {
        app.told(late).await;
    }
    assert_eq!(app.states(&id).await, ["delivered"]);
    assert_eq!(app.settled_changes(&id).await, changes, "what moves nothing writes nothing");
    app.wait_s(30);
    app.resend(&id).await.is(200);
    app.told("undelivered").await;
    assert_eq!(app.states(&id).await, ["delivered", "undelivered"]);
    let both = app.gateway.references();
    app.posted(json!([{ "reference": both[0], "state": "sent" }, { "reference": both[1], "state": "sent" }]))
        .await
        .is(204);
    assert_eq!(app.states(&id).await, ["delivered", "undelivered"]);
    app.check(&id, &app.gateway.code(TO)).await.is(200);
    app.stop().await;
}

/// Many in one body, of several numbers; one that is unknown keeps none of the others.
#[tokio::test]
async fn many_in_one_post() {
    let app = TestApp::start().await;
    let others = ["+989123456780", "+14155550123"];
    let mut ids = Vec::new();
    for to in others {
        ids.push(app.start_for(to).await);
    }
    let mut entries: Vec<Value> =
        app.gateway.references().iter().map(|it| json!({ "reference": it, "state": "delivered" })).collect();
    entries.insert(1, json!({ "reference": "ffffffffffffffffffffffffffffffff-0", "state": "delivered" }));
    app.posted(Value::Array(entries)).await.is(204);
    for id in ids {
        assert_eq!(app.states(&id).await, ["delivered"]);
    }
    app.stop().await;
}

/// A receipt that is faster than the provider's answer to the call.
#[tokio::test]
async fn a_receipt_before_the_send_has_returned() {
    let app = TestApp::start().await;
    app.gateway.next([Script::Hold]);
    let (client, url) = (app.client.clone(), app.url("/v1/verifications"));
    let starting = tokio::spawn(async move { Answer::read(client.post(url).json(&json!({ "to": TO }))).await });
    app.gateway.arrived(1).await;
    app.told("delivered").await;
    app.gateway.release();
    let id = starting.await.unwrap().is(201).text("id");
    assert_eq!(app.states(&id).await, ["delivered"]);
    app.stop().await;
}

/// security 113: without the signature or with another, at a gateway that is not in use, and of what is too large.
#[tokio::test]
async fn who_is_not_believed() {
    let app = TestApp::with("sms.receipts.body_bytes_max = 1024").await;
    let id = app.start_for(TO).await;
    let reference = app.gateway.references().pop().unwrap();
    let body = json!({ "reference": reference, "state": "delivered" });
    let post = |path: &str| app.client.post(app.url(path)).json(&body);
    for request in [
        post(PATH),
        post(PATH).bearer_auth("another"),
        post(&format!("{PATH}/not-the-secret-0123456789abc")),
        post(&format!("{PATH}/")),
        app.client.get(app.url(&format!("{PATH}/wrong"))),
    ] {
        Answer::read(request).await;
    }
    Answer::read(post(PATH)).await.refused(401, "signature_invalid");
    let unsigned = format!("{PATH}/not-the-secret-0123456789abc");
    Answer::read(post(&unsigned)).await.refused(401, "signature_invalid");
    Answer::read(post("/v1/receipts/twilio").bearer_auth(RECEIPTS_KEY)).await.refused(404, "not_found");
    let large = json!({ "reference": reference, "state": "delivered", "x": "y".repeat(2_000) });
    app.posted(large).await.refused(413, "body_too_large");
    assert_eq!(app.states(&id).await, ["accepted"]);
    Answer::read(post(&format!("{PATH}/{RECEIPTS_KEY}"))).await.is(204);
    assert_eq!(app.states(&id).await, ["delivered"]);
    app.stop().await;
}

/// An unknown message is taken, or the provider would tell it for a day; so is what is good and says nothing.
#[tokio::test]
async fn what_is_about_nothing_is_taken() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let known = app.gateway.references().pop().unwrap();
    let hex = known.split('-').next().unwrap();
    let loads = app.counting.changes();
    let unknown =
        [format!("{hex}-9"), format!("{hex}-1"), format!("{hex}x0"), "x".to_owned(), format!("{}-0", "0".repeat(32))];
    for reference in unknown {
        app.posted(json!({ "reference": reference, "state": "delivered" })).await.is(204);
    }
    // An id of a verification is sealed as another kind.
    let verification = format!("{}-0", id.strip_prefix("ver_").unwrap());
    app.posted(json!({ "reference": verification, "state": "delivered" })).await.is(204);
    for unreadable in [json!({ "state": "sent" }), json!({ "reference": known, "state": "lost" }), json!([1])] {
        app.posted(unreadable).await.is(204);
    }
    assert_eq!(app.states(&id).await, ["accepted"]);
    assert_eq!(app.counting.changes(), loads.max(app.settled_changes(&id).await));
    app.stop().await;
}

/// The URL that signatures cover is the public one, whatever `Host` says.
#[tokio::test]
async fn the_url_is_the_public_one() {
    let app = TestApp::with("server.public_url = https://otp.example.com/base").await;
    let query = "?ref=1&b=%20";
    let request = app.client.post(app.url(&format!("{PATH}{query}"))).header("host", "evil.example");
    Answer::read(request).await.is(401);
    assert_eq!(app.gateway.receipt_urls(), [format!("https://otp.example.com/base{PATH}{query}")]);
    app.stop().await;
}

/// Their own limit per address; the API's does not bind them, nor does a key have to come.
#[tokio::test]
async fn they_have_their_own_limit_per_address() {
    let app = TestApp::with("limits.ip_per_minute = 2\napi.require_key = true\nsms.receipts.ip_per_minute = 5").await;
    let unknown = || json!({ "reference": "x", "state": "sent" });
    for _ in 0..5 {
        app.posted(unknown()).await.is(204);
    }
    app.posted(unknown()).await.refused(429, "rate_limited").waits(12);
    app.stop().await;
}

/// Kavenegar's and mShastra's receipts name their own ids: known for a day, and not after a restart.
#[tokio::test]
async fn ids_of_the_provider() {
    let app = TestApp::with("sms.receipts.ids_life_s = 3600").await;
    app.gateway.names_own_ids();
    let first = app.start_for(TO).await;
    let second = app.start_for("+14155550123").await;
    app.posted(json!({ "id": "msg-1", "state": "sent" })).await.is(204);
    app.posted(json!({ "id": "msg-7", "state": "sent" })).await.is(204);
    assert_eq!(
        (app.states(&first).await, app.states(&second).await),
        (vec!["sent".to_owned()], vec!["accepted".to_owned()])
    );
    app.wait_s(3_600);
    app.posted(json!({ "id": "msg-1", "state": "delivered" })).await.is(204);
    assert_eq!(app.states(&first).await, ["sent"], "the id is forgotten");
    let third = app.start_for("+14155550124").await;
    let app = app.restart("").await;
    app.gateway.names_own_ids();
    app.posted(json!({ "id": "msg-3", "state": "delivered" })).await.is(204);
    assert_eq!(app.states(&third).await, ["accepted"]);
    app.stop().await;
}

/// A draw of one of `many`, from a seed.
fn draw(seed: &mut u64, many: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % many
}

/// security 115 and 116: a thousand receipts, for every send and for none, and nothing is confirmed, spent or given back.
#[tokio::test]
async fn a_thousand_receipts_touch_nothing_else() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    app.check(&id, "000000").await;
    app.wait_s(30);
    app.resend(&id).await.is(200);
    let but_deliveries = async || {
        let mut read = app.get(&format!("/v1/verifications/{id}")).await.is(200);
        read.body.as_object_mut().unwrap().remove("deliveries");
        (read.body.clone(), read.header("ratelimit").to_owned())
    };
    let before = but_deliveries().await;
    let known = app.gateway.references();
    let mut seed = 42;
    for _ in 0..1_000 {
        let reference = match draw(&mut seed, 4) {
            0 => known[0].clone(),
            1 => known[1].clone(),
            2 => format!("{}-{}", &known[0][..32], draw(&mut seed, 10)),
            _ => format!("{:032x}-{}", draw(&mut seed, 1 << 30), draw(&mut seed, 10)),
        };
        let state = ["sent", "delivered", "undelivered"][draw(&mut seed, 3)];
        app.posted(json!({ "reference": reference, "state": state })).await.is(204);
    }
    assert_eq!(but_deliveries().await, before);
    assert!(app.states(&id).await.iter().all(|state| ["delivered", "undelivered"].contains(&state.as_str())));
    // The window is as full as it was, the tries are as they were, and the code is still to be given.
    app.post("/v1/verifications", json!({ "to": TO })).await.refused(429, "send_limited");
    app.check(&id, "000001").await.refused(400, "code_incorrect");
    app.check(&id, &app.gateway.code(TO)).await.is(200);
    app.stop().await;
}

/// What operators see: one count for each, and an audit line without the number.
#[tokio::test]
async fn receipts_are_counted() {
    let app = TestApp::start().await;
    let line = |outcome: &str| format!("otpd_receipts_total{{route=\"simulated\",outcome=\"{outcome}\"}}");
    let mut before = Vec::new();
    let outcomes = ["sent", "delivered", "repeated", "unknown", "unreadable", "refused"];
    for outcome in outcomes {
        before.push(app.metric(&line(outcome)).await);
    }
    app.start_for(TO).await;
    for state in ["sent", "sent", "delivered"] {
        app.told(state).await;
    }
    app.posted(json!({ "reference": "x", "state": "sent" })).await.is(204);
    app.posted(json!({})).await.is(204);
    Answer::read(app.client.post(app.url(PATH)).json(&json!({}))).await.is(401);
    // Other tests of this process count into the same recorder.
    for (outcome, before) in outcomes.iter().zip(before) {
        assert!(app.metric(&line(outcome)).await > before, "{outcome}");
    }
    app.stop().await;
}

/// Channel auto: a receipt that a message will not arrive has the next way tried at once, and is about that message alone:
/// not about one that was sent after it, and it leaves nobody deaf who waits for that one.
#[tokio::test]
async fn a_message_that_does_not_arrive_goes_on_by_itself() {
    // No message is silent for so long that the test would see it.
    let app = TestApp::with_all_channels("sms.silence_ms = 600000\nsms.silence_max_ms = 600000").await;
    let id = app.post("/v1/verifications", json!({ "to": TO, "channel": "auto" })).await.is(201).text("id");
    app.wait_s(30);
    app.resend(&id).await.is(200);
    let references = app.gateway.references();
    for (reference, messages) in [(&references[0], 2), (&references[1], 3)] {
        app.settled_changes(&id).await;
        app.posted(json!({ "reference": reference, "state": "undelivered" })).await.is(204);
        let arrived = tokio::time::timeout(Duration::from_secs(60), app.gateway.arrived(messages)).await;
        assert!(arrived.is_ok(), "{messages} messages");
    }
    app.settled_changes(&id).await;
    let read = app.get(&format!("/v1/verifications/{id}")).await.is(200);
    let deliveries: Vec<_> = read.body["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|delivery| {
            (delivery["channel"].as_str().unwrap().to_owned(), delivery["status"].as_str().unwrap().to_owned())
        })
        .collect();
    let row = |channel: &str, status: &str| (channel.to_owned(), status.to_owned());
    assert_eq!(deliveries, [row("sms", "undelivered"), row("voice", "undelivered"), row("whatsapp", "accepted")]);
}
