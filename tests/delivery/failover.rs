//! A gateway fails under load; nobody who signs in notices.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use crate::{
    fake_twilio::Behaviour,
    world::{Providers, Server},
};

const ROUTES: &str = "[sms]\ngateway = \"kavenegar\"\nbreaker_failures = 5\nbreaker_open_ms = 400\nbreaker_open_max_ms = 400\n\
                      [[sms.routes]]\ncountry = \"IR\"\ngateways = [\"twilio\", \"kavenegar\"]\n\
                      [fraud]\nruns = \"off\"\nvelocity_mode = \"off\"\nconversion = \"off\"\n";

/// People who sign in during one trouble, and how many at once.
const PEOPLE: u64 = 60;
const AT_ONCE: usize = 12;
/// `breaker_failures`.
const FAILURES: usize = 5;

fn number(nth: u64) -> String {
    format!("+98912{nth:07}")
}

/// All of them sign in; by which routes.
async fn sign_in_all(server: &Arc<Server>, providers: &Arc<Providers>, from: u64) -> Vec<String> {
    let people = stream::iter(from..from + PEOPLE).map(|nth| {
        let (server, providers) = (Arc::clone(server), Arc::clone(providers));
        async move { server.sign_in(&providers, &number(nth)).await }
    });
    people.buffer_unordered(AT_ONCE).collect().await
}

/// security 44, 45: down, hanging, refusing, lying. All sign in by the next route; a message that one provider took for
/// certain is handed to no other; where the fault is the provider's, its breaker opens, probes and closes.
#[tokio::test]
async fn sign_ins_go_on_by_the_next_route() {
    let providers = Arc::new(Providers::start().await);
    let server = Server::start(&providers.settings(ROUTES)).await;
    assert!(sign_in_all(&server, &providers, 0).await.iter().all(|route| route == "twilio"));

    // (what Twilio does, does it take the message, is it left alone)
    let troubles = [
        (Behaviour::Html(503), false, true),
        (Behaviour::HangBeforeHead, true, true),
        (Behaviour::Refuse(401, 20003), false, true),
        (Behaviour::Embedded(21606), false, true),
        (Behaviour::Refuse(400, 21408), false, false),
    ];
    for (nth, (trouble, takes, opens)) in troubles.into_iter().enumerate() {
        let from = 1_000 * (nth as u64 + 1);
        let before = providers.twilio.requests();
        providers.twilio.otherwise(trouble);
        let routes = sign_in_all(&server, &providers, from).await;
        assert!(routes.iter().all(|route| route == "kavenegar"), "{trouble:?}: {routes:?}");
        for nth in from..from + PEOPLE {
            let (by_twilio, by_kavenegar) = providers.taken_for(&number(nth));
            assert_eq!(by_kavenegar, 1, "{trouble:?}");
            assert!(by_twilio <= usize::from(takes), "{trouble:?}: {by_twilio}");
        }
        let asked = providers.twilio.requests() - before;
        // Those that were under way when it opened, and a probe every 400 ms.
        let most = FAILURES + AT_ONCE + 10;
        assert_eq!(asked <= most, opens, "{trouble:?}: {asked} of {PEOPLE} went to Twilio first");

        providers.twilio.otherwise(Behaviour::Accept);
        let mut probes = from + 500..from + 1_000;
        while server.sign_in(&providers, &number(probes.next().expect("it is asked again"))).await != "twilio" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let back = sign_in_all(&server, &providers, from + 200).await;
        assert!(back.iter().all(|route| route == "twilio"), "{trouble:?}: {back:?}");
        for nth in from + 200..from + 200 + PEOPLE {
            assert_eq!(providers.taken_for(&number(nth)), (1, 0), "{trouble:?}");
        }
    }
    assert_eq!(providers.twilio.violations(), Vec::<String>::new());
    assert_eq!(providers.kavenegar.violations(), Vec::<&str>::new());
    server.stop().await;
}

/// When all are down a person is told so at once, and nothing of her number's limits is spent.
#[tokio::test]
async fn when_all_are_down_nothing_is_spent() {
    let providers = Providers::start().await;
    let routes = ROUTES.replace("[\"twilio\", \"kavenegar\"]", "[\"twilio\"]");
    let server = Server::start(&providers.settings(&routes)).await;
    providers.twilio.otherwise(Behaviour::Refuse(401, 20003));
    let start = || server.post("/v1/verifications", serde_json::json!({ "to": number(1) }));
    assert_eq!(start().await.0, 502);
    for _ in 0..5 {
        let (status, refused) = start().await;
        assert_eq!((status, refused["code"].as_str()), (503, Some("no_route_available")));
    }
    assert_eq!(providers.twilio.requests(), 1);
    providers.twilio.otherwise(Behaviour::Accept);
    while start().await.0 != 201 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

/// Nobody listens where the first gateway was: nothing was sent there for certain, and the next one has it.
#[tokio::test]
async fn a_gateway_that_is_gone_is_passed_over() {
    let providers = Arc::new(Providers::start().await);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = providers.settings(ROUTES).replace(&providers.twilio.base_url(), &format!("http://{gone}"));
    let server = Server::start(&settings).await;
    assert!(sign_in_all(&server, &providers, 0).await.iter().all(|route| route == "kavenegar"));
    assert!((0..PEOPLE).all(|nth| providers.taken_for(&number(nth)) == (0, 1)));
    server.stop().await;
}
