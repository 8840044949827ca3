//! Lives of actors: one test for each ractor pitfall of `anchors.md` section 11 that we do something about, then
//! races (`lifecycle/races.rs`), two processes over one store (`nodes.rs`), and housekeeping (`upkeep.rs`).
//!
//! 11.9 (never `panic = "abort"`) is `tests/tidy.rs`'s; 11.17 and 11.18 need the inside of the module and stand there;
//! 11.13 is a measurement; 11.22 would not compile, since our messages could not be serialized; 11.21 has a process of
//! its own (`tests/phone_memory.rs`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "lifecycle/nodes.rs"]
mod nodes;
#[path = "lifecycle/races.rs"]
mod races;
#[path = "support/phone.rs"]
mod support;
#[path = "lifecycle/upkeep.rs"]
mod upkeep;

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use otpd::{
    phone::{DirectorySettings, Fault},
    record::{Command, Outcome, Refusal, Status, UnixMillis},
    store::{Change, Snapshot, SnapshotStore, memory::MemoryStore},
};
use support::{Rigged, World, check, is_approved, is_wrong, phone, start, within, write, wrong};
use tokio::time::Instant;

fn settings() -> DirectorySettings {
    DirectorySettings::default()
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// anchors 11.1, security 104: an idle actor goes after its time, one in use stays, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn row_11_1_idle_actors_go_and_come_back_with_everything() {
    let world = World::new(settings());
    let mut codes = Vec::new();
    for n in 0..100 {
        codes.push(world.challenge(phone(n)).await);
    }
    assert_eq!(world.directory.len(), 100);
    for _ in 0..4 {
        tokio::time::sleep(millis(20_000)).await;
        world.ask(phone(0), Command::Read { nonce: codes[0].0 }).await.unwrap();
    }
    assert_eq!(world.directory.len(), 1, "only the one in use is left after 80 s");
    assert_eq!(world.directory.census().started, 100, "and that one was never let go");
    tokio::time::sleep(millis(70_000)).await;
    assert_eq!(world.directory.len(), 0);
    for (n, (nonce, code)) in codes.iter().enumerate() {
        assert!(is_approved(&world.ask(phone(n as u64), check(*nonce, code)).await), "number {n}");
    }
    assert_eq!(world.directory.census().failed, 0);
}

/// anchors 11.2, security 103: a flood on one number is refused at once, and nobody else notices.
#[tokio::test(start_paused = true)]
async fn row_11_2_requests_in_flight_are_bounded_per_number() {
    let world = World::new(settings());
    world.store.inner.slow(millis(100), Duration::ZERO);
    let began = Instant::now();
    let flood: Vec<_> = (0..10_000).map(|_| tokio::spawn(world.asking(phone(1), start()))).collect();
    tokio::task::yield_now().await;
    world.ask(phone(2), start()).await.unwrap();
    assert!(began.elapsed() <= millis(200), "the other number waits for two batches at most");
    let answers: Vec<_> = join_all(flood).await.into_iter().map(Result::unwrap).collect();
    let busy = answers.iter().filter(|answer| matches!(answer, Err(Fault::Busy))).count();
    assert_eq!(busy, 10_000 - 16);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 16);
    assert!(world.ask(phone(1), start()).await.is_ok(), "places come back");
}

/// anchors 11.3 and 11.19: the directory drains its actors, in chunks, before the supervisors stop; what waits is served.
#[tokio::test(start_paused = true)]
async fn row_11_3_drain_serves_what_waits_and_leaves_nobody() {
    let world = World::new(settings());
    let mut nonces = Vec::new();
    for n in 0..2_000 {
        nonces.push(world.challenge(phone(n)).await.0);
    }
    world.store.inner.slow(millis(20), Duration::ZERO);
    let cancel = |(n, nonce): (u64, &u64)| tokio::spawn(world.asking(phone(n), Command::Cancel { nonce: *nonce }));
    let asked: Vec<_> = (0..).zip(&nonces).map(cancel).collect();
    let more: Vec<_> = (2_000..2_500).map(|n| tokio::spawn(world.asking(phone(n), start()))).collect();
    within(|| world.directory.len() == 2_500).await;
    assert_eq!(world.directory.drain(millis(30_000)).await, 0);
    for answer in join_all(asked).await.into_iter().chain(join_all(more).await) {
        answer.unwrap().expect("admitted before the drain, so answered");
    }
    assert_eq!(world.ask(phone(1), start()).await.unwrap_err(), Fault::Draining);
    within(|| world.directory.census().ended == 2_500).await;
    let census = world.directory.census();
    assert_eq!((census.started, census.failed), (2_500, 0), "nobody was killed by a supervisor");
    assert_eq!(world.store.inner.len(), 2_500);
}

/// anchors 11.4: nothing is left for the end to save. The process is cut off without any stop.
#[test]
fn row_11_4_what_was_acknowledged_is_stored_without_any_stop() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = Rigged::new(MemoryStore::new(false));
    let first = runtime();
    let codes = first.block_on(async {
        let world = World::over(store.clone(), settings());
        let mut codes = Vec::new();
        for n in 0..50 {
            codes.push(world.challenge(phone(n)).await);
        }
        codes
    });
    first.shutdown_background();
    runtime().block_on(async {
        let world = World::over(Rigged::new(store.inner.connect()), settings());
        for (n, (nonce, code)) in codes.iter().enumerate() {
            assert!(is_approved(&world.ask(phone(n as u64), check(*nonce, code)).await), "number {n}");
        }
    });
}

/// anchors 11.5, security 97: neither a child's end nor its panic takes the supervisor or a neighbour down.
#[tokio::test(start_paused = true)]
async fn row_11_5_a_supervisor_outlives_its_children() {
    let world = World::new(DirectorySettings { shards: 1, ..settings() });
    world.challenge(phone(1)).await;
    world.challenge(phone(2)).await;
    within(|| world.directory.passivate(phone(1))).await;
    within(|| world.directory.len() == 1).await;
    world.store.poison(Some(phone(3)));
    assert_eq!(world.ask(phone(3), start()).await.unwrap_err(), Fault::Unknown);
    within(|| world.directory.census().failed == 1).await;
    world.store.poison(None);
    for n in 1..=4 {
        world.ask(phone(n), start()).await.expect("the shard lives");
    }
    let census = world.directory.census();
    assert_eq!((census.started, census.ended, census.failed), (6, 1, 1));
}

/// anchors 11.6 and 11.7: letting go serves what was queued; what comes later is forwarded to the next activation.
#[tokio::test(start_paused = true)]
async fn row_11_7_messages_queued_while_an_actor_goes_are_answered() {
    let world = World::new(settings());
    let session = world.sign_in(phone(1)).await;
    let before = world.store.version(phone(1)).await.unwrap();
    world.store.inner.slow(millis(50), Duration::ZERO);
    let queued: Vec<_> =
        (0..8).map(|n| tokio::spawn(world.asking(phone(1), write(session, format!("early {n}"))))).collect();
    tokio::task::yield_now().await;
    assert!(world.directory.passivate(phone(1)));
    let late: Vec<_> =
        (0..8).map(|n| tokio::spawn(world.asking(phone(1), write(session, format!("late {n}"))))).collect();
    for answer in join_all(queued).await.into_iter().chain(join_all(late).await) {
        assert!(matches!(answer.unwrap().unwrap().outcome, Outcome::Authenticated { .. }));
    }
    assert_eq!(world.store.version(phone(1)).await.unwrap(), before + 16, "each was done once");
    let census = world.directory.census();
    assert_eq!((census.forwarded, census.started, census.conflicts), (8, 2, 0));
}

/// anchors 11.7: a tell is judged before what is asked after it, and one that meets an ending actor is forwarded.
#[tokio::test(start_paused = true)]
async fn row_11_7_a_tell_keeps_its_place_and_survives_passivation() {
    let world = World::new(DirectorySettings { inflight_max: 1, ..settings() });
    let session = world.sign_in(phone(1)).await;
    let before = world.store.version(phone(1)).await.unwrap();
    let tell = |text: &str| {
        world.directory.tell(phone(1), world.policy.clone(), write(session, text.to_owned()).into());
    };
    tell("told");
    let seen = world.ask(phone(1), Command::Authenticate { session }).await;
    assert_eq!(seen.unwrap_err(), Fault::Busy, "a tell takes its place among those in flight");
    within(|| world.directory.passivate(phone(1))).await;
    tell("told late");
    let store = &world.store;
    tokio::time::sleep(millis(100)).await;
    assert_eq!(store.version(phone(1)).await.unwrap(), before + 2);
    let seen = world.ask(phone(1), Command::Authenticate { session }).await.unwrap().outcome;
    let Outcome::Authenticated { account, .. } = seen else { panic!("not authenticated: {seen:?}") };
    assert_eq!(account.profile.bio.as_deref(), Some("told late"));
    let census = world.directory.census();
    assert_eq!((census.forwarded, census.tells_lost), (1, 0));
}

/// anchors 11.8, security 35: a time-out is an unknown outcome; it is not repeated, and what had not begun never begins.
#[tokio::test(start_paused = true)]
async fn row_11_8_a_time_out_is_unknown_and_never_repeated() {
    let world = World::new(DirectorySettings { call_timeout_ms: 1_000, commit_timeout_ms: 60_000, ..settings() });
    let (nonce, code) = world.challenge(phone(1)).await;
    let before = world.store.version(phone(1)).await.unwrap();
    world.store.inner.slow(millis(5_000), Duration::ZERO);
    let first = tokio::spawn(world.asking(phone(1), check(nonce, &wrong(&code))));
    tokio::task::yield_now().await;
    let queued = tokio::spawn(world.asking(phone(1), check(nonce, &wrong(&code))));
    assert_eq!(first.await.unwrap().unwrap_err(), Fault::Unknown);
    assert_eq!(queued.await.unwrap().unwrap_err(), Fault::Unknown);
    tokio::time::sleep(millis(20_000)).await;
    world.store.inner.slow(Duration::ZERO, Duration::ZERO);
    assert_eq!(world.store.version(phone(1)).await.unwrap(), before + 1, "the first was done, the second never");
    let third = world.ask(phone(1), check(nonce, &wrong(&code))).await.unwrap().outcome;
    assert!(matches!(third, Outcome::Refused(Refusal::WrongCode { attempts_remaining: 3, .. })), "{third:?}");
}

/// anchors 11.8: a commit that is not confirmed in time is unknown, and the next message reads the truth.
#[tokio::test(start_paused = true)]
async fn row_11_8_an_unconfirmed_commit_is_unknown_and_the_record_read_again() {
    let world = World::new(DirectorySettings { commit_timeout_ms: 100, ..settings() });
    let (nonce, code) = world.challenge(phone(1)).await;
    world.store.inner.slow(millis(500), Duration::ZERO);
    assert_eq!(world.ask(phone(1), check(nonce, &code)).await.unwrap_err(), Fault::Unknown);
    tokio::time::sleep(millis(1_000)).await;
    world.store.inner.slow(Duration::ZERO, Duration::ZERO);
    let read = world.ask(phone(1), Command::Read { nonce }).await.unwrap().outcome;
    assert!(matches!(read, Outcome::Verification(view) if view.status == Status::Approved), "the truth is read");
    let again = world.ask(phone(1), check(nonce, &code)).await.unwrap().outcome;
    assert_eq!(again, Outcome::Refused(Refusal::AlreadyApproved), "it had been done");
    world.store.inner.lose_reply(1);
    assert_eq!(world.ask(phone(2), start()).await.unwrap_err(), Fault::Unknown);
    let again = world.ask(phone(2), start()).await.unwrap().outcome;
    assert!(matches!(again, Outcome::Refused(Refusal::SendLimited { .. })), "it had been done: {again:?}");
}

/// anchors 11.10, security 105: every fault of the store is an answer; the actor lives and recovers.
#[tokio::test(start_paused = true)]
async fn row_11_10_faults_are_answers_and_kill_nobody() {
    let world = World::new(settings());
    let (nonce, code) = world.challenge(phone(1)).await;
    world.store.inner.refuse_all(true);
    assert_eq!(world.ask(phone(1), check(nonce, &code)).await.unwrap_err(), Fault::StorageRefused);
    world.store.inner.refuse_all(false);
    world.store.inner.lose_reply(1);
    assert_eq!(world.ask(phone(1), check(nonce, &wrong(&code))).await.unwrap_err(), Fault::Unknown);
    world.store.inner.fail_loads(true);
    assert_eq!(world.ask(phone(1), check(nonce, &code)).await.unwrap_err(), Fault::StorageRefused);
    world.store.inner.fail_loads(false);
    assert!(is_approved(&world.ask(phone(1), check(nonce, &code)).await));
    let census = world.directory.census();
    assert_eq!((census.started, census.failed), (1, 0), "one actor through it all");
}

/// anchors 11.10: a damaged record and one of a newer schema are faults of their own, and stay as they are.
#[tokio::test(start_paused = true)]
async fn row_11_10_an_unreadable_record_is_left_alone() {
    let world = World::new(settings());
    world.challenge(phone(1)).await;
    let sound = world.store.inner.load(phone(1)).await.unwrap().unwrap();
    let mut newer = sound.bytes.clone();
    newer[0] = 200;
    let cut = sound.bytes[..sound.bytes.len() - 1].to_vec();
    for (n, bytes) in [(2, newer), (3, cut), (4, sound.bytes.clone())] {
        let next = Some(Snapshot { version: sound.version, bytes: bytes.clone() });
        world
            .store
            .inner
            .commit(&[Change { phone: phone(n), expected: None, next, events: Vec::new() }])
            .await
            .unwrap();
        for _ in 0..5 {
            assert_eq!(world.ask(phone(n), start()).await.unwrap_err(), Fault::Unreadable, "number {n}");
        }
        assert_eq!(world.store.inner.load(phone(n)).await.unwrap().unwrap().bytes, bytes);
    }
    assert_eq!(world.directory.census().failed, 0);
}

/// anchors 11.11: a start can't fail, whatever the store does, so no entry is ever stuck.
#[tokio::test(start_paused = true)]
async fn row_11_11_an_actor_starts_while_the_store_is_down() {
    let world = World::new(settings());
    world.store.inner.fail_loads(true);
    assert_eq!(world.ask(phone(1), start()).await.unwrap_err(), Fault::StorageRefused);
    world.store.inner.fail_loads(false);
    world.challenge(phone(1)).await;
    assert_eq!(world.directory.census().started, 1);
}

/// anchors 11.12, security 35: a client that hangs up cancels neither the activation nor what has begun.
#[tokio::test(start_paused = true)]
async fn row_11_12_a_dropped_request_cancels_nothing_that_has_begun() {
    let world = World::new(settings());
    world.store.inner.slow(millis(100), millis(100));
    let hung_up = tokio::spawn(world.asking(phone(1), start()));
    tokio::time::sleep(millis(10)).await;
    hung_up.abort();
    assert!(hung_up.await.unwrap_err().is_cancelled());
    let next = world.ask(phone(1), start()).await.unwrap().outcome;
    assert!(matches!(next, Outcome::Refused(Refusal::SendLimited { .. })), "the first start was made: {next:?}");
    assert_eq!(world.directory.census().started, 1);
}

/// anchors 11.14: two events per life; the supervisors keep up with a burst and lose none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_14_supervisors_count_every_life_in_a_burst() {
    const LIVES: u64 = 10_000;
    let world = World::new(DirectorySettings { shards: 4, ..settings() });
    for round in 0..LIVES / 1_000 {
        let numbers = round * 1_000..(round + 1) * 1_000;
        for answer in join_all(numbers.clone().map(|n| world.ask(phone(n), Command::Read { nonce: 1 }))).await {
            answer.unwrap();
        }
    }
    within(|| world.directory.census().started == LIVES).await;
    let numbers = (0..LIVES).map(phone);
    assert!(numbers.clone().all(|number| world.directory.passivate(number)), "all run by now");
    world.emptied().await;
    within(|| world.directory.census().ended == LIVES).await;
    world.ask(phone(1), start()).await.expect("the shards answer after the burst");
    assert_eq!(world.directory.census().failed, 0);
}

/// anchors 11.15: no actor has a name, so no number is in a global registry or a log span.
#[tokio::test(start_paused = true)]
async fn row_11_15_no_actor_has_a_name() {
    let world = World::new(settings());
    for n in 0..20 {
        world.challenge(phone(n)).await;
    }
    assert_eq!(ractor::registry::registered(), Vec::<String>::new());
}

/// anchors 11.16: an idle actor is one task; there is no timer task beside it.
#[tokio::test(start_paused = true)]
async fn row_11_16_an_idle_actor_has_no_timer() {
    let world = World::new(settings());
    world.challenge(phone(0)).await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for n in 1..=100 {
        world.challenge(phone(n)).await;
    }
    assert_eq!(alive(), before + 100);
}

/// anchors 11.20: drains that meet actors at every stage of their start lose no message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_20_only_running_actors_are_drained() {
    let world = World::new(settings());
    for n in 0..2_000 {
        let asking = tokio::spawn(world.asking(phone(n), Command::Read { nonce: 1 }));
        while !world.directory.passivate(phone(n)) && !asking.is_finished() {
            std::hint::spin_loop();
        }
        asking.await.unwrap().expect("an actor that starts is left to start");
    }
    assert_eq!(world.directory.drain(millis(10_000)).await, 0);
    assert_eq!(world.directory.census().failed, 0);
}

/// anchors 11.20: a last drain that meets thousands still starting.
#[tokio::test(start_paused = true)]
async fn row_11_20_the_last_drain_waits_for_those_that_start() {
    let world = World::new(settings());
    let asked: Vec<_> = (0..3_000).map(|n| Box::pin(world.asking(phone(n), start()))).collect();
    let (answers, left) = tokio::join!(join_all(asked), world.directory.drain(millis(20_000)));
    assert_eq!(left, 0);
    for answer in answers {
        assert!(matches!(answer, Ok(_) | Err(Fault::Draining)), "{answer:?}");
    }
}

/// anchors 10.2: a number whose record kills its actors is left alone for a while, and only that one.
#[tokio::test(start_paused = true)]
async fn a_number_that_kills_its_actors_is_quarantined() {
    let world = World::new(settings());
    world.store.poison(Some(phone(1)));
    for failed in 1..=3 {
        assert_eq!(world.ask(phone(1), start()).await.unwrap_err(), Fault::Unknown);
        within(|| world.directory.census().failed == failed && world.directory.is_empty()).await;
    }
    let now = UnixMillis(1_800_000_000_000);
    let fault = world.ask(phone(1), start()).await.unwrap_err();
    assert!(matches!(fault, Fault::Quarantined { until } if until > now && until <= now.plus(30_000)), "{fault:?}");
    let loads = world.store.loads.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert!(matches!(world.ask(phone(1), start()).await.unwrap_err(), Fault::Quarantined { .. }));
    }
    assert_eq!(world.store.loads.load(Ordering::Relaxed), loads, "nothing is tried meanwhile");
    world.challenge(phone(2)).await;
    world.store.poison(None);
    tokio::time::sleep(millis(31_000)).await;
    world.challenge(phone(1)).await;
    assert!(!is_wrong(&world.ask(phone(1), start()).await));
}
