//! The provider reports what became of a message: in order, twice, late, forged or never.

use serde_json::Value;

use crate::{
    fake_twilio::{AUTH_TOKEN, Message},
    world::{Providers, Server, until},
};

const PUBLIC: &str = "[sms]\ngateway = \"twilio\"\nsilence_ms = 600000\nsilence_min_ms = 600000\nsilence_max_ms = 600000\n\
                      [[sms.routes]]\ncountry = \"IR\"\ngateways = [\"twilio\", \"kavenegar\"]\n\
                      [fraud]\nruns = \"off\"\nvelocity_mode = \"off\"\nconversion = \"off\"\n";

const TO: &str = "+989120000001";

/// A server that tells Twilio where to report, and a message that it has sent.
async fn sent(providers: &Providers, channel: &str) -> (std::sync::Arc<Server>, String, Message) {
    let settings =
        providers.settings(PUBLIC).replacen("[server]\n", "[server]\npublic_url = \"https://otp.example\"\n", 1);
    let server = Server::start(&settings).await;
    let started = server.start_for(TO, channel).await;
    let path = format!("/v1/verifications/{}", started["id"].as_str().unwrap());
    (server, path, providers.twilio.messages_to(TO).pop().unwrap())
}

async fn delivery(server: &Server, path: &str) -> String {
    let read = server.get(path).await;
    assert_eq!((read["status"].as_str(), &read["attempts_remaining"]), (Some("pending"), &Value::from(5)));
    read["deliveries"][0]["status"].as_str().unwrap().to_owned()
}

/// providers.md 15, security 113 to 116: forward only, whoever signs is believed, and nothing else moves.
#[tokio::test]
async fn a_message_moves_as_its_provider_says() {
    let providers = Providers::start().await;
    let (server, path, message) = sent(&providers, "sms").await;
    let report = async |status: &str, token: &str| {
        let answer = providers.twilio.report(&message, status, token, server.url()).await;
        (answer, delivery(&server, &path).await)
    };
    assert_eq!(delivery(&server, &path).await, "accepted", "so far never");
    assert_eq!(report("delivered", "a-forged-token").await, (401, "accepted".to_owned()));
    assert_eq!(report("sent", AUTH_TOKEN).await, (204, "sent".to_owned()));
    assert_eq!(report("sent", AUTH_TOKEN).await, (204, "sent".to_owned()), "twice");
    assert_eq!(report("delivered", AUTH_TOKEN).await, (204, "delivered".to_owned()));
    for late in ["queued", "sent", "undelivered"] {
        assert_eq!(report(late, AUTH_TOKEN).await, (204, "delivered".to_owned()), "late");
    }
    server.sign_in_by(&providers, path.rsplit('/').next().unwrap(), TO).await;
    server.stop().await;
}

/// The word that a message of channel `auto` will not arrive sends it another way at once.
#[tokio::test]
async fn what_will_not_arrive_goes_another_way_at_once() {
    let providers = Providers::start().await;
    let (server, path, message) = sent(&providers, "auto").await;
    assert_eq!(providers.twilio.report(&message, "undelivered", AUTH_TOKEN, server.url()).await, 204);
    until(|| providers.taken_for(TO) == (1, 1)).await;
    let routes = server.get(&path).await["deliveries"].clone();
    assert_eq!((&routes[0]["status"], &routes[1]["route"]), (&"undelivered".into(), &"kavenegar".into()));
    assert_eq!(providers.twilio.newest_code(TO), Some(providers.code(TO)), "the same code");
    server.stop().await;
}
