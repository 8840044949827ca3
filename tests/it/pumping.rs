//! An attack for the sake of the bill: twenty thousand numbers in a row, from five hundred addresses, none ever verified.
//!
//! It ends after a spend that does not depend on its length, while people of the same country sign in. The same traffic
//! under `record_only` gets everything and is told of; and `otpd replay` comes to the same answers as the live server.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{TestApp, settings};

/// Numbers of the attack, from this one on.
const ATTACKED: u64 = 989_350_000_000;
const ATTACKS: u64 = 20_000;
const ADDRESSES: u64 = 500;
/// People who sign in meanwhile, each of a block of a thousand of her own.
const PEOPLE: u64 = 200;
/// `fraud.runs_max`.
const RUN_MAX: usize = 20;

fn rules(mode: &str) -> String {
    format!(
        "server.trusted_proxies = 127.0.0.1/32\nlimits.ip_per_minute = 60\naudit.journal = on\nspend.per_day = 5000\n\
         spend.default_price = 0.05\nspend.budget = {mode}\nfraud.velocity_mode = {mode}\nfraud.runs = {mode}\n\
         fraud.conversion = {mode}"
    )
}

fn person(nth: u64) -> String {
    format!("+{}", 989_120_000_000 + nth * 1_000 + 517)
}

/// The attack, ten numbers a second, and among it the people; how many of its starts were taken.
async fn attack(app: &TestApp) -> usize {
    let mut taken = 0;
    for nth in 0..ATTACKS {
        let address = format!("203.0.{}.{}", nth % ADDRESSES / 250, nth % 250);
        let body = json!({ "to": format!("+{}", ATTACKED + nth) });
        // Not by the harness's own verbs, which hold every answer to the document: these are many.
        let answer = app.client.post(app.url("/v1/verifications")).header("x-forwarded-for", address).json(&body);
        let answer = answer.send().await.unwrap();
        match answer.status().as_u16() {
            201 => taken += 1,
            429 => assert!(answer.headers().contains_key("retry-after")),
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
        if nth % (ATTACKS / PEOPLE) == 0 {
            sign_in(app, nth / (ATTACKS / PEOPLE)).await;
        }
        app.wait_ms(100);
    }
    taken
}

async fn sign_in(app: &TestApp, nth: u64) {
    let (to, address) = (person(nth), format!("198.51.100.{nth}"));
    let started = app.post_for(&address, "/v1/verifications", json!({ "to": to })).await.is(201);
    let body = json!({ "verification_id": started.text("id"), "code": app.gateway.code(&to) });
    app.post_for(&address, "/v1/sessions", body).await.is(200);
}

/// A sample of the operators' page; 0 for a series that is not there.
async fn metric(app: &TestApp, series: &str) -> f64 {
    let page = app.client.get(format!("http://{}/metrics", app.ops_address)).send().await.unwrap();
    let page = page.text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    line.unwrap_or_default()
}

fn replay(data: &std::path::Path, rules: &str) -> Value {
    let policy = data.join("policy.toml");
    std::fs::write(&policy, settings(rules).printable()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
    command.env_clear().args(["replay", policy.to_str().unwrap(), "--json", "--data", data.to_str().unwrap()]);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

#[tokio::test]
async fn it_ends_after_a_bounded_spend_while_people_sign_in() {
    let rules = rules("enforce");
    let app = TestApp::with(&rules).await;
    let taken = attack(&app).await;
    assert_eq!(taken, RUN_MAX, "the run is found, and stays found");
    assert_eq!(app.gateway.sent().len(), RUN_MAX + PEOPLE as usize, "and everyone else signed in");

    let data = app.stop_and_keep().await;
    let report = replay(data.path(), &rules);
    let (asked, refused) = (ATTACKS + PEOPLE, ATTACKS - taken as u64);
    assert_eq!((&report["asked"], &report["same_policy"]), (&asked.into(), &asked.into()), "{report}");
    assert_eq!((&report["refused"], &report["live_refused"]), (&refused.into(), &refused.into()), "{report}");
    // 20 and 200 texts at 0.05.
    assert_eq!(report["live_spent"], "11", "{report}");
}

#[tokio::test]
async fn record_only_refuses_nothing_and_tells_the_same() {
    let app = TestApp::with(&rules("record_only")).await;
    let recorded = metric(&app, "otpd_guard_recorded_total{rule=\"runs\"}").await;
    let refused = metric(&app, "otpd_guard_refusals_total{rule=\"runs\"}").await;
    assert_eq!(attack(&app).await as u64, ATTACKS);
    assert_eq!(app.gateway.sent().len() as u64, ATTACKS + PEOPLE);
    let found = metric(&app, "otpd_guard_recorded_total{rule=\"runs\"}").await - recorded;
    assert!(found >= (ATTACKS - RUN_MAX as u64) as f64, "{found}");
    // Other tests of this process count as well, but only what they refuse themselves.
    assert!(metric(&app, "otpd_guard_refusals_total{rule=\"runs\"}").await - refused <= ATTACKS as f64);

    let data = app.stop_and_keep().await;
    let report = replay(data.path(), &rules("enforce"));
    assert_eq!(report["live_refused"], 0, "{report}");
    assert!(report["refused"].as_u64().unwrap() >= ATTACKS - RUN_MAX as u64, "{report}");
}
