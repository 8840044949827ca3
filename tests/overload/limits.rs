//! Each limit that can refuse a request, hit by itself: the answer, its `Retry-After`, and the metric that says so.
//!
//! Others need more than load and are hit elsewhere: `store.free_mib_min` and `store.log_mib` in `store_contract` and `it`,
//! `store.runs_max` beside the store, `phone.quarantine_ms` in `lifecycle`, `password.waiting_max` beside its pool,
//! `proof_of_work.used_max` and receipts in `it` and `service`. The last test holds the README to all of them.

use std::time::Duration;

use futures_util::future::join_all;
use otpd::{metrics::TABLE, settings::DEFAULTS};
use reqwest::Method;
use serde_json::{Value, json};

use super::kit::{ALONE, Answer, Server};

/// What a refusal must be.
struct Refusal {
    status: u16,
    code: &'static str,
    series: &'static str,
}

/// As many starts at once, each for a number of its own.
async fn burst(server: &Server, count: usize) -> Vec<Answer> {
    join_all((0..count).map(|_| server.start_one())).await
}

/// Some of the answers are that refusal and came before `slow`; all others are a yes; and the metric counts what was
/// refused.
async fn holds(server: &Server, answers: &[Answer], slow: Duration, refusal: &Refusal) {
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert!(!refused.is_empty() && !done.is_empty(), "{}: {answers:?}", refusal.series);
    for answer in &refused {
        assert_eq!((answer.status, answer.code.as_str()), (refusal.status, refusal.code), "{}", refusal.series);
        assert!(answer.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{answer:?}");
    }
    let first = refused.iter().map(|answer| answer.took).min();
    assert!(first.is_some_and(|took| took < slow), "{}: refused after {first:?}", refusal.series);
    let counted = server.metric(refusal.series).await;
    assert!(counted >= refused.len() as f64, "{}: {counted} of {}", refusal.series, refused.len());
}

const SECOND: Duration = Duration::from_secs(1);

/// `phone.actors_hard_max`: one hundred numbers are waiting for a slow disk; the next ones are not let in.
#[tokio::test]
async fn numbers_in_memory() {
    let _alone = ALONE.lock().await;
    let server =
        Server::start("[dev]\nstore_delay_ms = 1000\n[phone]\nactors_max = 100\nactors_hard_max = 100\n").await;
    let answers = burst(&server, 150).await;
    let series = "otpd_overload_total{limit=\"actors\"}";
    holds(&server, &answers, SECOND, &Refusal { status: 503, code: "overloaded", series }).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 100);
    assert!(server.metric("otpd_phone_actors").await <= 100.0);
}

/// `phone.inflight_max`: requests for one number.
#[tokio::test]
async fn requests_of_one_number() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[dev]\nstore_delay_ms = 1000\n[phone]\ninflight_max = 1\n").await;
    let start = || server.ask(Method::POST, "/v1/verifications", json!({ "to": "+989120000001" }));
    let answers = join_all((0..5).map(|_| start())).await;
    let series = "otpd_overload_total{limit=\"inflight\"}";
    holds(&server, &answers, SECOND, &Refusal { status: 429, code: "rate_limited", series }).await;
}

/// `sms.inflight_max`: sends under way.
#[tokio::test]
async fn sends_under_way() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[sms]\ninflight_max = 1\n[sms.simulated]\nlatency_ms = 1000\n").await;
    let answers = burst(&server, 5).await;
    let series = "otpd_overload_total{limit=\"sms_inflight\"}";
    holds(&server, &answers, SECOND, &Refusal { status: 503, code: "overloaded", series }).await;
}

/// `store.queue_max`: changes that wait.
#[tokio::test]
async fn changes_that_wait() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[dev]\nstore_delay_ms = 1000\n[store]\nqueue_max = 4\n").await;
    let answers = burst(&server, 20).await;
    let series = "otpd_commit_refusals_total{reason=\"queue_full\"}";
    holds(&server, &answers, SECOND, &Refusal { status: 503, code: "storage_unavailable", series }).await;
}

/// `store.wait_max_ms`: changes that would wait too long, once it is known how slow the disk is.
#[tokio::test]
async fn waits_for_the_disk() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[dev]\nstore_delay_ms = 1000\n[store]\nbatch_max = 4\nwait_max_ms = 2500\n").await;
    let first = server.start_one().await;
    assert_eq!(first.status, 201, "{first:?}");
    // What its send came to is under way, so these wait two batches, and whoever has four before him, three.
    server.until("otpd_phone_actor_inflight", |count| count > 0.0).await;
    let answers = burst(&server, 20).await;
    let series = "otpd_commit_refusals_total{reason=\"wait\"}";
    holds(&server, &answers, SECOND, &Refusal { status: 503, code: "storage_unavailable", series }).await;
}

/// `limits.ip_per_minute`: requests of one address.
#[tokio::test]
async fn requests_of_one_address() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[limits]\nip_per_minute = 3\n").await;
    let answers = burst(&server, 8).await;
    let series = "otpd_ip_limited_total{scope=\"v1\"}";
    holds(&server, &answers, 10 * SECOND, &Refusal { status: 429, code: "rate_limited", series }).await;
}

/// `sms.breaker_failures`: nobody is left who could send. Not a limit of load, but refused the same way.
#[tokio::test]
async fn nobody_left_to_send() {
    let _alone = ALONE.lock().await;
    let server =
        Server::start("[sms]\nbreaker_failures = 1\nretry_backoff_ms = 0\n[sms.simulated]\nfailure_rate = 1.0\n").await;
    let failed = server.start_one().await;
    assert_eq!((failed.status, failed.code.as_str()), (502, "delivery_failed"), "{failed:?}");
    let refused = server.start_one().await;
    assert_eq!((refused.status, refused.code.as_str()), (503, "no_route_available"), "{refused:?}");
    assert!(refused.retry_after.is_some_and(|seconds| seconds <= 5), "{refused:?}");
    assert!(server.metric("otpd_route_breaker{route=\"simulated\"}").await > 1.0);
    assert!(server.metric("otpd_refusals_total{dialect=\"v1\",reason=\"no_route\"}").await >= 1.0);
}

/// `server.connections_per_ip_max`: connections of one address are closed at once.
#[tokio::test]
async fn connections_of_one_address() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[server]\nconnections_per_ip_max = 3\n").await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(tokio::net::TcpStream::connect(server.own.address()).await.unwrap());
    }
    server.until("otpd_overload_total{limit=\"connections_per_ip\"}", |refused| refused >= 7.0).await;
    assert!(server.metric("otpd_overload_total{limit=\"connections\"}").await < 1.0);
    drop(open);
    server.until("otpd_connections{listener=\"main\"}", |open| open < 1.0).await;
    assert_eq!(server.start_one().await.status, 201);
}

/// The dialects say it, too: while the disk is behind, each of their doors answers 503 with `Retry-After`, at once.
#[tokio::test]
async fn every_door_says_when_to_come_back() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[dev]\nstore_delay_ms = 2000\n[store]\nwait_max_ms = 10\n").await;
    let doors: [(&str, Value); 6] = [
        ("/v1/verifications", json!({ "to": "+989101234567" })),
        ("/api/auth/send-otp/", json!({ "phone_number": "+989101234567" })),
        ("/api/v1/usr/otp", json!({ "phone_number": "09101234567" })),
        ("/auth/signup", json!({ "phone_number": "+989101234567" })),
        ("/auth/check-phone/", json!({ "phone": "09101234567" })),
        ("/api/users/send-otp/", json!({ "phone": "989101234567", "verification_type": "LOGIN" })),
    ];
    assert_eq!(server.start_one().await.status, 201);
    // What its send came to keeps the disk busy for two seconds.
    server.until("otpd_phone_actor_inflight", |count| count > 0.0).await;
    for (path, body) in doors {
        let answer = server.ask(Method::POST, path, body).await;
        assert_eq!((answer.status, answer.retry_after), (503, Some(5)), "{path}: {answer:?}");
        assert!(answer.took < SECOND, "{path}: {answer:?}");
    }
    assert!(server.metric("otpd_commit_refusals_total{reason=\"wait\"}").await >= 6.0);
}

/// Keys of config.toml whose comment says that something is refused for them.
fn refusing_keys() -> Vec<String> {
    let (mut section, mut comment, mut keys) = (String::new(), String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        if let Some(said) = line.strip_prefix('#') {
            comment.push_str(said);
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && ["503", "429", "closed at once", "closed # at once"].iter().any(|word| comment.contains(word))
        {
            keys.push(format!("{section}.{key}"));
        }
        comment.clear();
    }
    keys
}

/// Operators find each of them in the README, with a metric that there is.
#[test]
fn the_readme_has_every_limit_and_its_metric() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("Under overload")).unwrap();
    let keys = refusing_keys();
    assert!(keys.len() >= 15, "the search is blind: {keys:?}");
    for key in keys {
        let row = section.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{key}`")));
        let series = row.and_then(|row| row.split('`').find(|word| word.starts_with("otpd_")));
        let Some(series) = series else { panic!("{key} has no row with a metric") };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let metric = TABLE.iter().find(|metric| metric.name == name);
        let known = metric.is_some_and(|metric| {
            labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).all(|label| {
                let (label, value) = label.split_once('=').unwrap();
                let values = metric.labels.iter().find(|(name, _)| *name == label).map(|(_, values)| *values);
                values.is_some_and(|values| values.contains(&value.trim_matches('"')) || label == "scope")
            })
        });
        assert!(known, "{key}: {series}");
    }
}
