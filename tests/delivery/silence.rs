//! Channel `auto`: a message that nobody hears of goes another way, with the same code.

use std::time::Duration;

use crate::world::{Providers, Server, until};

const AUTO: &str = "[sms]\ngateway = \"twilio\"\nsilence_ms = 1000\nsilence_min_ms = 1000\nsilence_max_ms = 2000\n\
                    [[sms.routes]]\ncountry = \"IR\"\ngateways = [\"twilio\", \"kavenegar\"]\n\
                    [fraud]\nruns = \"off\"\nvelocity_mode = \"off\"\nconversion = \"off\"\n";

#[tokio::test]
async fn nothing_is_heard() {
    let providers = Providers::start().await;
    let server = Server::start(&providers.settings(AUTO)).await;
    let (silent, answered, plain) = ("+989120000001", "+989120000002", "+989120000003");
    let started = server.start_for(silent, "auto").await;
    assert_eq!((started["channel"].as_str(), &started["deliveries"][0]["route"]), (Some("auto"), &"twilio".into()));
    let other = server.start_for(answered, "auto").await;
    server.start_for(plain, "sms").await;
    let wrong = serde_json::json!({ "code": "0000000".get(..6) });
    let path = format!("/v1/verifications/{}/check", other["id"].as_str().unwrap());
    assert!([400, 200].contains(&server.post(&path, wrong).await.0), "a try of any kind is a sign of life");

    until(|| providers.taken_for(silent) == (1, 1)).await;
    assert_eq!(providers.twilio.newest_code(silent), Some(providers.code(silent)), "the same code");
    let path = format!("/v1/verifications/{}", started["id"].as_str().unwrap());
    let deliveries = server.get(&path).await["deliveries"].clone();
    let routes: Vec<_> = deliveries.as_array().unwrap().iter().map(|delivery| delivery["route"].clone()).collect();
    assert_eq!(routes, ["twilio", "kavenegar"]);
    // As long again: those that were heard of, or left no choice, have stayed, and there is no third way.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!((providers.taken_for(answered), providers.taken_for(plain)), ((1, 0), (1, 0)));
    assert_eq!(providers.taken_for(silent), (1, 1));
    server.stop().await;
}
