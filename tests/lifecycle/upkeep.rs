//! Housekeeping: forgotten records, the sweep, unfinished moves, shedding, metrics.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use otpd::{
    phone::{DirectorySettings, Fault, SweepSettings, Sweeper},
    record::{Command, DAY, HOUR, Label, Move, Outcome, PhoneNumber, SendResult, SessionRef},
};

use crate::support::{World, check, is_approved, phone, start, start_with, within};

fn settings() -> DirectorySettings {
    DirectorySettings::default()
}

/// DESIGN 2: a record with nothing left to remember goes with its actor; one with an account stays.
#[tokio::test(start_paused = true)]
async fn a_record_with_nothing_to_remember_goes_with_its_actor() {
    let mut world = World::new(settings());
    world.challenge(phone(1)).await;
    world.sign_in(phone(2)).await;
    world.clock.advance(3 * DAY);
    tokio::time::sleep(Duration::from_secs(70)).await;
    world.emptied().await;
    assert_eq!(world.store.version(phone(1)).await, None);
    assert!(world.store.version(phone(2)).await.is_some());
    assert!(world.moves.try_recv().is_err());
    world.challenge(phone(1)).await;
}

/// DESIGN 2: before its time a record stays when its actor goes.
#[tokio::test(start_paused = true)]
async fn a_record_that_remembers_something_stays() {
    let world = World::new(settings());
    world.challenge(phone(1)).await;
    world.clock.advance(DAY - HOUR);
    tokio::time::sleep(Duration::from_secs(70)).await;
    world.emptied().await;
    assert!(world.store.version(phone(1)).await.is_some());
}

/// security 61 and 106: the sweep is bounded per tick, deletes what is over, and nothing else.
#[tokio::test(start_paused = true)]
async fn the_sweep_deletes_what_is_over_a_few_at_a_time() {
    let world = World::new(settings());
    for n in 0..50 {
        world.challenge(phone(n)).await;
    }
    for n in 50..60 {
        world.sign_in(phone(n)).await;
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    world.emptied().await;
    world.clock.advance(3 * DAY);
    for n in 60..70 {
        world.challenge(phone(n)).await;
    }
    // One of those that are over is in use: its actor may know better.
    world.ask(phone(7), Command::Read { nonce: 1 }).await.unwrap();
    let mut sweeper = Sweeper::new(&world.directory, SweepSettings { records_per_tick: 8, ..SweepSettings::default() });
    let (mut scanned, mut deleted) = (0, 0);
    loop {
        let swept = sweeper.tick().await.unwrap();
        assert!(swept.scanned <= 8);
        (scanned, deleted) = (scanned + swept.scanned, deleted + swept.deleted);
        if swept.finished {
            break;
        }
    }
    assert_eq!((scanned, deleted), (70, 49));
    assert_eq!(world.store.inner.len(), 21);
    assert!(world.store.version(phone(7)).await.is_some());
    let second = sweeper.tick().await.unwrap();
    assert_eq!((second.scanned, second.deleted), (8, 0), "it begins anew");
}

/// security 106: a store that refuses puts the sweep off; nothing is skipped.
#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_refused_comes_back() {
    let world = World::new(settings());
    for n in 0..5 {
        world.challenge(phone(n)).await;
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    world.emptied().await;
    world.clock.advance(3 * DAY);
    world.store.inner.refuse_all(true);
    let mut sweeper = Sweeper::new(&world.directory, SweepSettings::default());
    let swept = sweeper.tick().await.unwrap();
    assert_eq!((swept.scanned, swept.deleted), (5, 0));
    world.store.inner.refuse_all(false);
    let running = tokio::spawn(sweeper.run());
    within(|| world.store.inner.is_empty()).await;
    world.directory.drain(Duration::from_secs(1)).await;
    running.await.expect("the sweep ends with the directory");
}

/// DESIGN 2: a number loaded in the middle of a phone change is reported, once per activation.
#[tokio::test(start_paused = true)]
async fn an_unfinished_move_is_reported_once_per_activation() {
    let mut world = World::new(settings());
    let session = world.sign_in(phone(1)).await;
    let claimed = claim(&world, SessionRef { phone: phone(1), nonce: session }, phone(2)).await;
    assert!(world.moves.try_recv().is_err(), "whoever is moving it is still there");
    for _ in 0..2 {
        within(|| world.directory.passivate(phone(2))).await;
        within(|| world.directory.len() == 1).await;
        for _ in 0..3 {
            world.ask(phone(2), Command::Read { nonce: 1 }).await.unwrap();
        }
        assert_eq!(world.moves.try_recv().unwrap(), claimed);
        assert!(world.moves.try_recv().is_err(), "once");
    }
    // The very request that finishes it leaves nothing to report.
    within(|| world.directory.passivate(phone(2))).await;
    within(|| world.directory.len() == 1).await;
    world.ask(phone(2), Command::DropClaim { from: phone(1), session: claimed.session }).await.unwrap();
    assert!(world.moves.try_recv().is_err());
}

/// Nobody takes the reports: they are dropped, and no actor waits.
#[tokio::test(start_paused = true)]
async fn a_full_report_queue_holds_nobody_up() {
    let world = World::new(settings());
    let session = world.sign_in(phone(0)).await;
    for n in 1..=8 {
        claim(&world, SessionRef { phone: phone(0), nonce: session }, phone(n)).await;
        within(|| world.directory.passivate(phone(n))).await;
    }
    within(|| world.directory.len() == 1).await;
    for n in 1..=8 {
        world.ask(phone(n), Command::Read { nonce: 1 }).await.unwrap();
    }
    assert_eq!(world.moves.len(), 4);
}

/// Proves `to` with the session of another number: the first step of a phone change.
async fn claim(world: &World, by: SessionRef, to: PhoneNumber) -> Move {
    let draft = world.ask(to, start_with(Some(by))).await.unwrap().draft.unwrap();
    let Command::Check { target, code, on_match, .. } = check(draft.nonce, &draft.code) else { panic!("no check") };
    let outcome =
        world.ask(to, Command::Check { target, code, on_match, session: Some(by), address: 0 }).await.unwrap().outcome;
    assert!(matches!(outcome, Outcome::Claimed { .. }), "{outcome:?}");
    Move { from: by.phone, to, session: by.nonce }
}

/// DESIGN 3: above `actors_max` those that rest longest go at once; those in use stay.
#[tokio::test(start_paused = true)]
async fn above_the_limit_the_oldest_idle_ones_are_shed() {
    let world = World::new(DirectorySettings { actors_max: 64, actors_hard_max: 1_000, ..settings() });
    for n in 0..64 {
        world.challenge(phone(n)).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    for n in 0..32 {
        world.ask(phone(n), Command::Read { nonce: 1 }).await.unwrap();
    }
    let before = tokio::time::Instant::now();
    for n in 100..110 {
        world.challenge(phone(n)).await;
    }
    within(|| world.directory.len() <= 64).await;
    assert!(before.elapsed() < Duration::from_millis(100), "at once, not at the next beat");
    let stayed = (0..32).filter(|n| world.directory.passivate(phone(*n))).count();
    assert_eq!(stayed, 32, "those used lately stay");
}

/// DESIGN 6: every metric of the actors, under its name.
#[tokio::test(start_paused = true)]
async fn what_operators_see() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let settings = DirectorySettings { inflight_max: 1, ..settings() };
    let world = metrics::with_local_recorder(&recorder, || World::new(settings));
    let (nonce, code) = world.challenge(phone(1)).await;
    assert!(is_approved(&world.ask(phone(1), check(nonce, &code)).await));
    world.challenge(phone(2)).await;
    world.clock.advance(HOUR);
    world.challenge(phone(2)).await; // finds that the first has run out
    world.store.poison(Some(phone(3)));
    world.ask(phone(3), start()).await.unwrap_err();
    within(|| world.directory.census().failed == 1 && world.directory.len() == 2).await;
    let (one, two) = (world.asking(phone(4), start()), world.asking(phone(4), start()));
    let (one, two) = tokio::join!(one, two);
    assert!(one.is_ok() && two.is_err());
    Sweeper::new(&world.directory, SweepSettings::default()).tick().await.unwrap();
    let page = page.render();
    for line in [
        "otpd_phone_actors 3",
        "otpd_phone_activations_total 4",
        "otpd_phone_actor_failures_total 1",
        "otpd_phone_actor_inflight 0",
        "otpd_verifications_expired_total 1",
        "otpd_overload_total{limit=\"inflight\"} 1",
        "otpd_store_records 3",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    // In the labels: the digits of a measured time may be any.
    let labels = page.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series);
    assert!(!labels.into_iter().any(|series| series.contains("98912")), "no number in any label");
}

/// A slow disk: newcomers are refused before they wait, what a send came to is kept all the same, and when the disk is well
/// again so is everything else.
#[tokio::test(start_paused = true)]
async fn a_slow_disk_refuses_newcomers_and_keeps_what_was_done() {
    let world = World::new(settings());
    let sent = world.ask(phone(1), start()).await.unwrap().draft.unwrap();
    world.store.inner.slow(Duration::from_millis(1_500), Duration::ZERO);
    world.challenge(phone(2)).await; // how slow it is, is known now
    let under_way = tokio::spawn(world.asking(phone(3), start()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(world.ask(phone(4), start()).await.unwrap_err(), Fault::StorageRefused);
    assert_eq!((before.elapsed(), world.directory.len()), (Duration::ZERO, 3), "it was not even brought into memory");
    let settle = Command::Settle {
        nonce: sent.nonce,
        delivery: sent.delivery,
        route: Label::of("simulated"),
        channel: Label::of("sms"),
        result: SendResult::Accepted,
    };
    world.ask(phone(1), settle).await.unwrap();
    assert!(before.elapsed() > Duration::from_millis(2_900), "it waited for the batch before it, and was written");
    assert!(under_way.await.unwrap().is_ok());
    world.store.inner.slow(Duration::ZERO, Duration::ZERO);
    let before = tokio::time::Instant::now();
    world.challenge(phone(4)).await;
    assert!(before.elapsed() < Duration::from_millis(10), "{:?}", before.elapsed());
}
