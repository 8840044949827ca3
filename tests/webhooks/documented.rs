//! A post of every type of event, held to the `webhooks` of the OpenAPI document: each field that is posted is documented,
//! and each that is documented is posted.

use std::collections::BTreeSet;

use otpd::{
    events::{Budget, NodeEvent, Noted, Prefix},
    http::docs,
    record::{
        Cancellation, Door, Event, LOGIN, Label, Occurred, PhoneNumber, SessionChange, SessionEnd, SessionFacts,
        UserChange, VerificationChange, VerificationFacts,
    },
    store::SnapshotStore as _,
    webhooks::{WebhooksSettings, event_names},
};
use serde_json::{Value, json};

use super::kit::{Bench, START, pass, seconds};

const DOOR: Door = Door { dialect: Label::of("v1"), purpose: LOGIN };

fn phone() -> PhoneNumber {
    PhoneNumber::try_from(989_120_000_001).unwrap()
}

/// Every change there is, with every reason it can have.
fn of_numbers() -> Vec<Event> {
    use Cancellation as C;
    use SessionEnd as E;
    use UserChange as U;
    use VerificationChange as V;
    let facts = VerificationFacts {
        nonce: 7,
        key: 1,
        door: DOOR,
        channel: Label::of("sms"),
        created_at: START,
        expires_at: START.plus(300_000),
    };
    let verifications = [
        V::Created,
        V::Approved,
        V::Canceled(C::Holder),
        V::Canceled(C::Superseded),
        V::Canceled(C::Displaced),
        V::Failed,
        V::Expired,
        V::MaxAttemptsReached { by_number: true },
        V::MaxAttemptsReached { by_number: false },
    ];
    let users = [U::Created, U::Updated, U::Deleted, U::PhoneChanged { from: phone() }, U::Deactivated, U::Activated];
    let ends = [E::SignedOut, E::Expired, E::Displaced, E::Reuse, E::UserDeleted, E::PhoneChanged];
    let sessions =
        ends.map(SessionChange::Ended).into_iter().chain([SessionChange::Created, SessionChange::ReuseDetected]);
    let session =
        SessionFacts { nonce: 8, key: 1, user_id: 7, door: DOOR, client: Label::of("otpd"), expires_at: START };
    let verifications = verifications.map(|change| Event::Verification { change, facts });
    let users = users.map(|change| Event::User { change, user_id: 7 });
    let sessions = sessions.map(|change| Event::Session { change, facts: session });
    verifications.into_iter().chain(users).chain(sessions).collect()
}

fn of_the_node() -> Vec<NodeEvent> {
    let budget =
        |country: &str| Budget { country: country.to_owned(), limit_micros: 25_000_000, spent_micros: 1, percent: 80 };
    let prefix = || Prefix { prefix: "+98912345****".to_owned(), rule: "conversion".to_owned() };
    let gateway = || "twilio".to_owned();
    vec![
        NodeEvent::RouteOpened { gateway: gateway() },
        NodeEvent::RouteClosed { gateway: gateway() },
        NodeEvent::BudgetThreshold(budget("IR")),
        NodeEvent::BudgetExhausted(budget("")),
        NodeEvent::PrefixClosed(prefix()),
        NodeEvent::PrefixReopened(prefix()),
    ]
}

/// Lets objects of named fields have no others, though receivers are told to bear them.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_of_every_type_is_as_documented() {
    let bench = Bench::new(WebhooksSettings::default());
    let number = of_numbers().into_iter().map(|event| Occurred { at: START, phone: phone(), event }.encode());
    let node = of_the_node().into_iter().map(|event| Noted { at_ms: START.0, event }.encode());
    let told: Vec<Vec<u8>> = number.chain(node).collect();
    let count = told.len();
    bench.store.outbox().note(told).await.unwrap();
    pass(seconds(60)).await;
    let posts: Vec<Value> = bench.receiver.arrived().iter().map(|arrived| arrived.body()).collect();
    assert_eq!(posts.len(), count);
    let types: BTreeSet<&str> = posts.iter().map(|post| post["type"].as_str().unwrap()).collect();
    assert_eq!(types, event_names().collect(), "a type is told by nothing here");
    let document = docs::document();
    for post in &posts {
        let item = &document["webhooks"][post["type"].as_str().unwrap()]["post"];
        let schema = &item["requestBody"]["content"]["application/json"]["schema"];
        let mut whole = json!({ "allOf": [schema], "components": { "schemas": document["components"]["schemas"] } });
        close(&mut whole);
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        let faults: Vec<String> =
            options.build(&whole).unwrap().iter_errors(post).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{post}: {faults:?}");
    }
}
