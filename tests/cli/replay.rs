//! `otpd replay`: the journal of a small attack, decided anew.

use std::{fs, net::Ipv4Addr, sync::Arc};

use otpd::{
    app::{World, guard},
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    guard::{Ask, NumberKind},
    record::{Keyring, Label, PhoneNumber},
    settings::Settings,
    spending::Asker,
    token::SealingKeyFile,
};
use serde_json::Value;

use super::harness::Place;

const LIVE: &str = "[spend]\nper_day = \"100\"\ndefault_price = \"0.05\"\n[fraud]\nruns = \"enforce\"\nruns_max = 5\n\
                    velocity_mode = \"off\"\nconversion = \"off\"\n[audit]\njournal = \"on\"\n";

/// Thirty numbers in a row, five of which get through, and a real person among those.
async fn attacked(place: &Place) {
    fs::write(place.path("live.toml"), LIVE).unwrap();
    let variables = [("OTPD__STORE__PATH".to_owned(), place.data().to_str().unwrap().to_owned())];
    let settings = Settings::load(Some(&place.path("live.toml")), variables).unwrap();
    fs::create_dir(place.data()).unwrap();
    let secrets = SealingKeyFile::new(&place.data().join("sealing.keys")).open(SystemClock.now(), &OsEntropy).unwrap();
    let keys = Arc::new(Keyring::new((secrets[0].id, &secrets[0].secret), &[]));
    let keeper = guard::keeper(&settings, &World::default(), keys, true, Box::new(|_| {})).unwrap();
    for nth in 0..30 {
        let number = PhoneNumber::try_from(989_351_230_000 + nth).unwrap();
        let (country, kind, channel) = ("IR".parse().ok(), NumberKind::Mobile, Label::of("sms"));
        let ask = Ask { number, country, kind, channel, parts: 1, tries_max: 2 };
        let from = Asker { request_id: "r-1", dialect: "v1", address: Ipv4Addr::LOCALHOST.into() };
        let reserved = keeper.reserve(&ask, from).await;
        assert_eq!(reserved.is_ok(), nth < 5);
        if let Ok(reservation) = reserved {
            reservation.settle(1);
        }
    }
    keeper.verified(PhoneNumber::try_from(989_351_230_003).unwrap());
    keeper.close().await;
}

#[tokio::test]
async fn the_live_rules_come_out_the_same_and_others_are_compared() {
    let place = Place::new();
    attacked(&place).await;
    let said = place.run(&["replay", "live.toml"]).await.well();
    assert!(said.contains("30 answers were given under these very rules, and all come out the same."), "{said}");
    assert!(said.contains("runs  IR       25"), "{said}");

    fs::write(place.path("stricter.toml"), LIVE.replace("runs_max = 5", "runs_max = 2")).unwrap();
    let data = place.data();
    let said = place.run(&["replay", "stricter.toml", "--data", data.to_str().unwrap(), "--json"]).await.well();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["asked"], &report["refused"], &report["live_refused"]), (&30.into(), &28.into(), &25.into()));
    assert_eq!((&report["newly_refused"], &report["real_people"]), (&3.into(), &1.into()));
    assert_eq!((report["saved"].as_str(), report["live_spent"].as_str()), (Some("0.15"), Some("0.25")));
    assert_eq!((&report["same_policy"], &report["rules"][0]["rule"]), (&0.into(), &"runs".into()));

    fs::write(place.path("recorded.toml"), LIVE.replace("runs = \"enforce\"", "runs = \"record_only\"")).unwrap();
    let said = place.run(&["replay", "recorded.toml", "--json"]).await.well();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["refused"], &report["rules"][0]["recorded"]), (&0.into(), &25.into()));
}

#[tokio::test]
async fn what_cannot_be_replayed_is_told() {
    let place = Place::new();
    fs::write(place.path("live.toml"), LIVE).unwrap();
    place.run(&["replay", "live.toml"]).await.failed(1, "there is no journal");
    attacked(&place).await;
    let (file, keys) = (place.data().join("audit"), place.data().join("sealing.keys"));
    let file = fs::read_dir(file).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("98935123"), "no number in clear");
    fs::write(&file, text.replacen("\"rule\":\"runs\"", "\"rule\":null", 1)).unwrap();
    place.run(&["replay", "live.toml"]).await.failed(1, "the replay is not exact: ");
    fs::write(place.path("wrong.toml"), "[spend]\nper_day = \"1,5\"\n").unwrap();
    place.run(&["replay", "wrong.toml"]).await.failed(2, "spend.per_day: must be an amount");
    fs::remove_file(keys).unwrap();
    place.run(&["replay", "live.toml"]).await.failed(1, "sealing.keys is not in the data directory");
}
