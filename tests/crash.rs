//! Nothing acknowledged is lost, nothing revives: the real binary is killed again and again under load.
//!
//! Workers drive many people through everything `/v1` offers and write down what the server acknowledged
//! (`crash/ledger.rs`, `crash/load.rs`). After a number of acknowledgements drawn from a seed the server gets SIGKILL.
//! The next one starts over the same directory, and before new load comes every fact since the last kill and a sample
//! of the older ones is proved on it (`crash/proof.rs`); what was under way at the kill may be either way, but whole
//! (`crash/doubt.rs`). In the end everything is proved once more. The log of all runs is read, too: no panic, no
//! error, no number, code or token (`crash/server.rs`).
//!
//! `OTPD_CRASH_SEED` repeats the draws of a run (not the scheduling), `OTPD_CRASH_KILLS` makes it longer or shorter.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "crash/api.rs"]
mod api;
#[path = "crash/doubt.rs"]
mod doubt;
#[path = "support/fake_twilio.rs"]
mod fake_twilio;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/log.rs"]
mod log;
#[path = "crash/moving.rs"]
mod moving;
#[path = "crash/proof.rs"]
mod proof;
#[path = "crash/scene.rs"]
mod scene;
#[path = "crash/server.rs"]
mod server;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use api::Outcome;
use fake_twilio::FakeTwilio;
use ledger::{Rng, Worker};
use log::Log;
use scene::{Scene, Tally};
use server::Server;

/// Kills under load, if `OTPD_CRASH_KILLS` does not say otherwise.
const KILLS: u64 = 64;
/// One start in so many is killed before it is ready.
const STILLBORN_ONE_IN: u64 = 8;
/// One run in so many logs at TRACE.
const TRACE_ONE_IN: u64 = 14;
/// People at work at the same time, each with a few numbers.
const WORKERS: usize = 16;
/// Acknowledgements before a kill.
const ACKNOWLEDGED: std::ops::Range<u64> = 20..500;
/// Longest time of one phase before the test is called stuck, in seconds.
const PHASE_S: u64 = 120;

/// security 10, 11, 12, 13, 35, 71 (and 118, 119 on the log): the whole of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_revives() {
    let begun = Instant::now();
    let seed = number("OTPD_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ begun_in_time());
    let kills = number("OTPD_CRASH_KILLS").unwrap_or(KILLS);
    println!("seed {seed}: repeat with OTPD_CRASH_SEED={seed}");
    let mut drawn = Rng(seed);
    let directory = tempfile::tempdir().unwrap();
    let fake = Arc::new(FakeTwilio::start().await);
    let tally = Arc::new(Tally::default());
    let mut log = Log::default();
    let mut workers: Vec<Worker> = (0..WORKERS).map(|at| Worker::new(at, drawn.next())).collect();
    let mut stillborn = 0;

    for run in 0..kills {
        if drawn.one_in(STILLBORN_ONE_IN) {
            log.add(Server::kill_at_first_line(directory.path(), &fake.base_url()).await);
            stillborn += 1;
        }
        let trace = run % TRACE_ONE_IN == TRACE_ONE_IN / 2;
        let server = Server::start(directory.path(), &fake.base_url(), trace).await;
        let scene = Arc::new(Scene::new(&server, &fake, &tally, drawn.range(ACKNOWLEDGED)));
        workers = phase(workers, &scene, proved).await;
        scene.begin_load();
        let (killed, loaded) = tokio::join!(server.kill_when(scene.enough()), phase(workers, &scene, loaded));
        log.add(killed);
        workers = loaded;
    }

    let server = Server::start(directory.path(), &fake.base_url(), false).await;
    let scene = Arc::new(Scene::new(&server, &fake, &tally, u64::MAX));
    workers.iter_mut().for_each(Worker::doubt_everything);
    workers = phase(workers, &scene, proved).await;
    log.add(server.stop().await);

    log.demand_clean(&workers, &fake.messages());
    assert_eq!(fake.violations(), Vec::<String>::new(), "messages that Twilio would refuse");
    let people: usize = workers.iter().map(|worker| worker.people.len()).sum();
    let forsaken = workers.iter().flat_map(|worker| &worker.people).filter(|person| person.forsaken).count();
    println!("under way at a kill [happened, not]: {:?}; {forsaken} numbers given up", tally.settled());
    println!(
        "{kills} kills under load and {stillborn} while starting: {} facts acknowledged for {people} numbers, \
         {} proofs, 0 lost; {} log lines clean; {:.1} s",
        tally.acknowledged(),
        tally.proofs(),
        log.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(tally.acknowledged() > kills * ACKNOWLEDGED.start, "the load was no load");
}

async fn proved(mut worker: Worker, scene: Arc<Scene>) -> Outcome<Worker> {
    worker.prove(&scene).await.map(|()| worker)
}

async fn loaded(mut worker: Worker, scene: Arc<Scene>) -> Outcome<Worker> {
    worker.work(&scene).await.map(|()| worker)
}

/// Lets every worker do something at the same time; the first one that finds the server wrong fails the test.
async fn phase<F, Done>(workers: Vec<Worker>, scene: &Arc<Scene>, task: F) -> Vec<Worker>
where
    F: Fn(Worker, Arc<Scene>) -> Done,
    Done: Future<Output = Outcome<Worker>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(task(worker, Arc::clone(scene)));
    }
    let all = async {
        let mut done = Vec::new();
        while let Some(worker) = tasks.join_next().await {
            done.push(worker.unwrap().unwrap_or_else(|stop| panic!("{stop}")));
        }
        done.sort_by_key(|worker| worker.index);
        done
    };
    tokio::time::timeout(Duration::from_secs(PHASE_S), all).await.expect("a phase is stuck")
}

fn number(variable: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a seed comes from outside")]
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// Differs from run to run.
fn begun_in_time() -> u64 {
    otpd::clock::Clock::now(&otpd::clock::SystemClock).0 << 20
}
