//! Each limit that can refuse a request, hit by itself: the answer, its `Retry-After`, and the metric that says so.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

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
    let server = Server::start("[dev]\nstore_delay_ms = 1000\n[phone]\nactors_max = 100\nactors_hard_max = 100\n").await;
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
    let server = Server::start("[dev]\nstore_delay_ms = 1000\n[store]\nwait_max_ms = 1500\n").await;
    let first = server.start_one().await;
    assert_eq!(first.status, 201, "{first:?}");
    let answers = burst(&server, 20).await;
    let series = "otpd_commit_refusals_total{reason=\"wait\"}";
    holds(&server, &answers, SECOND, &Refusal { status: 503, code: "storage_unavailable", series }).await;
}

/// `store.free_mib_min`: a disk that is nearly full takes nothing, and says so before anything is sent.
#[tokio::test]
async fn a_disk_that_is_nearly_full() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[store]\nfree_mib_min = 1048576\n").await;
    let answer = server.start_one().await;
    if answer.status == 201 {
        println!("this disk has a tebibyte free: the limit cannot be met here");
        return;
    }
    assert_eq!((answer.status, answer.code.as_str()), (503, "storage_unavailable"));
    assert!(answer.retry_after.is_some() && answer.took < Duration::from_secs(10), "{answer:?}");
    assert!(server.metric("otpd_commit_refusals_total{reason=\"store\"}").await >= 1.0);
    assert!(server.metric("otpd_sms_sends_total{route=\"simulated\",outcome=\"accepted\"}").await < 1.0);
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
