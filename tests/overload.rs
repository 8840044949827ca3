//! Overload, on the real binary: ten thousand connections, three times what it can do, a slow disk, a slow provider, and
//! each limit by itself.
//!
//! What must hold: every request is answered; what is taken is done in bounded time; the rest is told 503 or 429 with
//! `Retry-After` at once; memory stays where it is; and when the load is over the next request is served. No speed of this
//! machine is asserted: what a server can do here is set by a delay (`dev.store_delay_ms`, `sms.simulated.latency_ms`), and
//! the bounds on time are seconds. One test at a time, because they are loads.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod overload {
    //! The server under test, and its limits one by one.
    pub(crate) mod kit;
    pub(crate) mod limits;
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use otpd::load::{Codes, Pace, Plan, Report, Scenario, Spacing, Stage, Target, drive};
use overload::kit::{ALONE, Answer, Server, connections_possible};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Connections of the issue.
const CONNECTIONS: usize = 10_000;

/// Drives new numbers at the server.
async fn load(server: &Server, pace: Pace, connections: usize, (warm_up_s, seconds, count): (u64, u64, u64)) -> Report {
    let plan = Plan {
        pace,
        connections,
        warm_up: Duration::from_secs(warm_up_s),
        duration: Duration::from_secs(seconds),
        count: Some(count),
        ..Plan::new(Scenario::Send)
    };
    let stage = Stage::new(Target::v1(server.own.address()), Codes::None, 7).own(Arc::clone(&server.own));
    let report = drive(&plan, &stage).await.unwrap();
    println!(
        "{:?} p50 {} ms, p99 {} ms, max {} ms, peak {:?} MiB",
        report.total.answers,
        report.total.latency.p50_us / 1_000,
        report.total.latency.p99_us / 1_000,
        report.total.latency.max_us / 1_000,
        report.server.map(|used| used.rss_peak_mib)
    );
    report
}

/// Every request was answered, and by nothing but "yes" and "not now".
#[track_caller]
fn all_answered(report: &Report) {
    assert!(report.is_good(), "{:?}", report.unexpected);
    let answers = report.total.answers;
    assert_eq!(answers.ok + answers.overloaded + answers.limited, report.total.count, "{answers:?}");
    assert_eq!(report.never_begun, 0);
}

/// Asks from aside while a load is on, whatever became of the ask before (who waits for each answer asks in step with the
/// disk, and is always let in), and holds each refusal to what it must be.
async fn watch(server: &Server, over: &AtomicBool) -> u32 {
    let (mut asked, mut refused) = (FuturesUnordered::new(), 0);
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let mut judge = |answer: Answer| {
        if answer.status != 201 {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.retry_after.is_some_and(|seconds| seconds > 0), "{answer:?}");
            refused += 1;
        }
    };
    while !over.load(Ordering::Relaxed) {
        tokio::select! {
            _ = beat.tick() => asked.push(server.start_one()),
            Some(answer) = asked.next() => judge(answer),
        }
    }
    while let Some(answer) = asked.next().await {
        judge(answer);
    }
    refused
}

async fn load_and_watch(server: &Server, rate: f64, connections: usize, seconds: u64) -> (Report, u32) {
    let over = AtomicBool::new(false);
    let pace = Pace::Open { rate, spacing: Spacing::Poisson };
    let loading = async {
        let report = load(server, pace, connections, (0, seconds, u64::MAX >> 40)).await;
        over.store(true, Ordering::Relaxed);
        report
    };
    tokio::join!(loading, watch(server, &over))
}

/// Ten thousand connections that rest cost little and hold nobody up; those beyond the limit are closed at once; ten
/// thousand that all ask at the same time are all answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections() {
    let _alone = ALONE.lock().await;
    let connections = connections_possible(CONNECTIONS);
    let most = connections + 50;
    let server = Server::start(&format!("[server]\nconnections_max = {most}\nconnections_per_ip_max = {most}\n")).await;
    let before = server.metric("process_resident_memory_bytes").await;
    let mut resting = Vec::with_capacity(connections);
    for _ in 0..connections {
        resting.push(TcpStream::connect(server.own.address()).await.unwrap());
    }
    server.until("otpd_connections{listener=\"main\"}", |open| open >= connections as f64).await;
    let grown_mib = (server.metric("process_resident_memory_bytes").await - before) / f64::from(1 << 20);
    println!("{connections} resting connections: {grown_mib:.0} MiB");
    assert!(grown_mib < 300.0, "{grown_mib} MiB for {connections} connections");
    assert_eq!(server.start_one().await.status, 201);

    let mut beyond = Vec::new();
    for _ in 0..100 {
        beyond.push(TcpStream::connect(server.own.address()).await.unwrap());
    }
    // The first of them still found room; the last one was shown the door.
    let read = tokio::time::timeout(Duration::from_secs(10), beyond.pop().unwrap().read_u8()).await;
    assert!(read.is_ok_and(|read| read.is_err()), "it is closed at once, not after a time-out");
    assert!(server.metric("otpd_overload_total{limit=\"connections\"}").await >= 1.0);
    drop((resting, beyond));
    server.until("otpd_connections{listener=\"main\"}", |open| open < 50.0).await;

    // All connect in the warm-up: a queue of the system's that overflows then makes some wait for seconds.
    let report = load(&server, Pace::Closed, connections, (5, 60, 12_000)).await;
    all_answered(&report);
    // Of the whole run: those who were let in first began before the measuring did.
    let changes = server.metric("otpd_commit_batch_size_sum").await;
    assert!(changes > 200.0, "a crowd of refusals does not starve who was let in: {changes} changes");
    assert!(report.total.latency.p99_us < 15_000_000, "{:?}", report.total.latency);
    assert!(report.server.unwrap().rss_peak_mib < 1_024.0, "{:?}", report.server);
    server.until("otpd_connections{listener=\"main\"}", |open| open < 50.0).await;
    server.is_served_again().await;
}

/// A disk that takes 200 ms for 64 changes: 160 starts a second with what their sends come to. Asked for three times that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_at_three_times_its_rate() {
    let _alone = ALONE.lock().await;
    let server = Server::start(
        "[dev]\nstore_delay_ms = 200\n[store]\nbatch_max = 64\nwait_max_ms = 1000\n[sms]\ninflight_max = 4096\n\
         [phone]\nactors_max = 1500\nactors_hard_max = 2000\n",
    )
    .await;
    let (report, refused) = load_and_watch(&server, 480.0, 1_000, 5).await;
    all_answered(&report);
    let answers = report.total.answers;
    assert!(answers.ok > 200, "what the disk can do is done: {answers:?}");
    assert!(answers.overloaded > answers.ok / 2 && refused > 0, "{answers:?}");
    // A second of waiting is allowed, and an estimate may miss by a batch or two. Most are refused, and at once.
    assert!(report.total.latency.p99_us < 3_000_000, "{:?}", report.total.latency);
    assert!(report.server.unwrap().rss_peak_mib < 300.0, "{:?}", report.server);
    for series in
        ["otpd_commit_refusals_total{reason=\"wait\"}", "otpd_refusals_total{dialect=\"v1\",reason=\"storage\"}"]
    {
        assert!(server.metric(series).await > 0.0, "{series}");
    }
    for series in ["otpd_commit_refusals_total{reason=\"queue_full\"}", "otpd_phone_tells_lost_total"] {
        assert!(server.metric(series).await < 1.0, "{series}");
    }
    assert!(server.metric("otpd_phone_actors").await <= 2_000.0);
    server.is_served_again().await;
}

/// A provider that takes half a second, 16 at once: 32 a second. Asked for three times that, it holds up nobody who does
/// not need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_provider_at_three_times_its_rate() {
    let _alone = ALONE.lock().await;
    let server = Server::start("[sms]\ninflight_max = 16\n[sms.simulated]\nlatency_ms = 500\n").await;
    let begun = Instant::now();
    let (report, refused) = load_and_watch(&server, 96.0, 100, 4).await;
    let most = 16 * (2 * begun.elapsed().as_secs() + 4);
    all_answered(&report);
    let answers = report.total.answers;
    assert!(answers.ok > 32 && answers.ok <= most, "{answers:?}");
    assert!(answers.overloaded > answers.ok / 2 && refused > 0, "{answers:?}");
    assert!(report.total.latency.p50_us < 450_000, "most are refused, and do not wait: {:?}", report.total.latency);
    assert!(report.total.latency.p99_us < 3_000_000, "{:?}", report.total.latency);
    assert!(server.metric("otpd_overload_total{limit=\"sms_inflight\"}").await > 0.0);
    assert!(server.metric("otpd_sms_sends_total{route=\"simulated\",outcome=\"overloaded\"}").await > 0.0);
    server.is_served_again().await;
    assert!(server.metric("otpd_sms_inflight").await < 1.0, "every place was given back");
}
