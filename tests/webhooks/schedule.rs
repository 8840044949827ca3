//! When an event is posted, again and again, and when no more.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use otpd::{
    events::{Budget, NodeEvent},
    store::{OutboxLimits, Shelf, SnapshotStore, Verdict},
    webhooks::{Posted, WebhooksSettings, event_id, parse_event_id},
};
use serde_json::json;

use super::kit::{Bench, FAILED, START, pass, seconds};

fn defaults() -> WebhooksSettings {
    WebhooksSettings::default()
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_posted_once_and_forgotten() {
    let bench = Bench::new(defaults());
    bench.tell_all((0..600).map(|n| (n, n))).await;
    pass(seconds(1)).await;
    let posted: Vec<u64> =
        bench.receiver.arrived().iter().map(|post| post.body()["data"]["user_id"].as_u64().unwrap()).collect();
    assert_eq!(posted.len(), 600);
    assert_eq!(posted.iter().collect::<BTreeSet<_>>().len(), 600);
    assert_eq!(bench.receiver.ids().iter().collect::<BTreeSet<_>>().len(), 600, "each has an id of its own");
    assert!(bench.entries(Shelf::Pending).await.is_empty());
    pass(seconds(200_000)).await;
    assert_eq!(bench.receiver.arrived().len(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_post_says_what_when_and_to_whom() {
    let bench = Bench::new(defaults());
    pass(seconds(7)).await;
    bench.tell(1, 5).await;
    pass(seconds(1)).await;
    let post = bench.receiver.arrived().remove(0);
    assert!(post.at_ms < 7_500, "at once, by a wake-up");
    assert_eq!(post.letter.timestamp_s, START.0 / 1_000 + 7);
    assert!(parse_event_id(&post.letter.id).is_some());
    let data = json!({ "user_id": 5, "phone_number": "+989120000001" });
    assert_eq!(post.body(), json!({ "type": "user.updated", "timestamp": "2026-09-21T14:13:27.000Z", "data": data }));
}

/// The schedule that Standard Webhooks names, and then the dead letters.
#[tokio::test(start_paused = true)]
async fn a_failing_event_follows_the_schedule_and_dies() {
    let bench = Bench::new(defaults());
    bench.receiver.answers(|_| FAILED);
    bench.tell(1, 1).await;
    pass(seconds(400_000)).await;
    let times = bench.receiver.times();
    let waits = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400_u128];
    let due: Vec<u128> = waits
        .iter()
        .scan(0, |at, wait| {
            *at += wait * 1_000;
            Some(*at)
        })
        .collect();
    let arrived = times.values().next().unwrap();
    assert_eq!((times.len(), arrived.len()), (1, due.len()));
    for (arrived, due) in arrived.iter().zip(due) {
        // A wait begins when the try before it is over; what is written down waits up to 100 ms for company.
        assert!((due..due + 1_000).contains(arrived), "{arrived} for {due}");
    }
    assert!(bench.entries(Shelf::Pending).await.is_empty());
    assert_eq!(bench.entries(Shelf::Dead).await[0].tries, 10);
    pass(seconds(400_000)).await;
    assert_eq!(bench.receiver.arrived().len(), 10, "dead is dead");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_put_back_and_has_the_whole_schedule_again() {
    let bench = Bench::new(WebhooksSettings { retry_after: vec![seconds(10)], ..defaults() });
    bench.receiver.answers(|_| FAILED);
    bench.tell_all([(1, 1), (2, 2)]).await;
    pass(seconds(20)).await;
    let letters = bench.webhooks.as_ref().unwrap().dead_letters.clone();
    let (listed, next) = letters.list(0, 1).await.unwrap();
    assert_eq!((listed.len(), listed[0].tries, listed[0].name), (1, 2, "user.updated"));
    assert_eq!(listed[0].phone_masked.as_deref(), Some("+98******0001"));
    let (rest, end) = letters.list(next.unwrap(), 1).await.unwrap();
    assert_eq!((rest.len(), end), (1, None));
    let id = |letter: &str| parse_event_id(letter).unwrap();

    bench.receiver.answers(|_| Posted::Taken);
    assert!(letters.retry(id(&listed[0].id)).await.unwrap());
    assert!(letters.drop_letter(id(&rest[0].id)).await.unwrap());
    pass(seconds(1)).await;
    assert_eq!(bench.receiver.times()[&listed[0].id].len(), 3, "at once, under the same id");
    assert_eq!(bench.receiver.times()[&rest[0].id].len(), 2);
    assert!(bench.entries(Shelf::Pending).await.is_empty() && bench.entries(Shelf::Dead).await.is_empty());
    assert!(!letters.retry(id(&listed[0].id)).await.unwrap() && !letters.drop_letter(id(&rest[0].id)).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_may_ask_for_a_longer_wait_and_for_no_shorter_one() {
    for (asked, wait) in [(60, 60), (1, 5), (1_000_000_000, 86_400)] {
        let bench = Bench::new(defaults());
        bench.receiver.answers(move |_| Posted::Failed { retry_after: Some(seconds(asked)) });
        bench.tell(1, 1).await;
        pass(seconds(wait) - Duration::from_millis(100)).await;
        assert_eq!(bench.receiver.arrived().len(), 1, "asked for {asked} s");
        pass(seconds(1)).await;
        assert_eq!(bench.receiver.arrived().len(), 2, "asked for {asked} s");
    }
}

/// Events of one number come in order, those of others do not wait for it; no more than so many posts at once.
#[tokio::test(start_paused = true)]
async fn posts_are_bounded_and_those_of_a_number_in_order() {
    let bench = Bench::stopped(WebhooksSettings { posts_max: 4, ..defaults() });
    bench.receiver.takes(seconds(1));
    bench.tell_all((0..40).map(|n| (n % 2, n))).await;
    bench.tell_all((100..140).map(|n| (n, n))).await;
    let mut bench = bench;
    bench.start();
    pass(seconds(1)).await;
    pass(seconds(60)).await;
    assert_eq!(bench.receiver.open_max(), 4);
    let arrived = bench.receiver.arrived();
    assert_eq!(arrived.len(), 80);
    for phone in ["+989120000000", "+989120000001"] {
        let own = arrived.iter().filter(|post| post.body()["data"]["phone_number"] == phone);
        let order: Vec<(u64, u128)> =
            own.map(|post| (post.body()["data"]["user_id"].as_u64().unwrap(), post.at_ms)).collect();
        assert!(order.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 + 1_000 <= two[1].1), "{order:?}");
    }
    assert!(arrived.last().unwrap().at_ms < 25_000, "the two busy numbers held up nobody");
}

/// The one that fails is overtaken; it waits, the others do not.
#[tokio::test(start_paused = true)]
async fn a_failing_event_holds_up_no_other() {
    let bench = Bench::new(defaults());
    bench.receiver.answers(|letter| if letter.id.ends_with("_1") { FAILED } else { Posted::Taken });
    bench.tell_all((0..100).map(|n| (1, n))).await;
    pass(seconds(2)).await;
    let times = bench.receiver.times();
    assert_eq!((times.len(), times[&event_id(1)].len()), (100, 1));
    assert_eq!(bench.entries(Shelf::Pending).await.len(), 1);
}

/// The specification: 410 means that nothing more is wanted. A restart, perhaps with another URL, goes on.
#[tokio::test(start_paused = true)]
async fn gone_ends_the_posts_until_a_restart() {
    let mut bench = Bench::new(WebhooksSettings { posts_max: 1, ..defaults() });
    bench.receiver.answers(|_| Posted::Gone);
    bench.tell_all([(1, 1), (2, 2), (3, 3)]).await;
    pass(seconds(400_000)).await;
    assert_eq!(bench.receiver.arrived().len(), 1);
    bench.tell(4, 4).await;
    pass(seconds(10)).await;
    assert_eq!(bench.receiver.arrived().len(), 1);
    bench.webhooks.take().unwrap().finish(seconds(1)).await;
    bench.receiver.answers(|_| Posted::Taken);
    bench.start();
    pass(seconds(1)).await;
    assert_eq!(bench.receiver.arrived().len(), 5, "all four, the first once more");
    assert!(bench.entries(Shelf::Pending).await.is_empty());
}

/// Killed in the middle of everything: what was posted and not written down comes again, nothing is missing, and tries
/// go on where they were.
#[tokio::test(start_paused = true)]
async fn a_killed_dispatcher_loses_nothing() {
    let mut bench = Bench::new(WebhooksSettings { retry_after: vec![seconds(60), seconds(600)], ..defaults() });
    bench.receiver.answers(|letter| if letter.id.ends_with('7') { FAILED } else { Posted::Taken });
    bench.receiver.takes(Duration::from_millis(30));
    bench.tell_all((0..50).map(|n| (n, n))).await;
    pass(Duration::from_millis(140)).await;
    assert!((9..50).contains(&bench.receiver.arrived().len()), "in the middle");
    bench.kill();
    bench.start();
    pass(seconds(30)).await;
    let times = bench.receiver.times();
    assert_eq!(times.len(), 50, "each at least once");
    assert!(bench.receiver.arrived().len() < 80, "and few of them twice");
    // Those that failed wait for their second try; killed again, the third follows the second, not the first.
    assert_eq!(bench.entries(Shelf::Pending).await.len(), 5);
    pass(seconds(60)).await;
    assert!(bench.entries(Shelf::Pending).await.iter().all(|entry| entry.tries == 2));
    bench.kill();
    bench.start();
    let before = bench.receiver.arrived().len();
    pass(seconds(300)).await;
    assert_eq!(bench.receiver.arrived().len(), before, "not due yet");
    pass(seconds(600)).await;
    assert_eq!(bench.receiver.arrived().len(), before + 5);
    assert_eq!(bench.entries(Shelf::Dead).await.len(), 5);
}

/// An orderly end writes down what came of the posts under way, so nothing comes twice.
#[tokio::test(start_paused = true)]
async fn an_orderly_end_repeats_nothing() {
    let mut bench = Bench::new(defaults());
    bench.receiver.takes(seconds(1));
    bench.tell_all((0..20).map(|n| (n, n))).await;
    pass(Duration::from_millis(500)).await;
    bench.webhooks.take().unwrap().finish(seconds(5)).await;
    assert_eq!((bench.receiver.arrived().len(), bench.entries(Shelf::Pending).await.len()), (8, 12));
    bench.start();
    pass(seconds(30)).await;
    assert_eq!(bench.receiver.arrived().len(), 20);
}

/// A store that refuses for a while costs time and duplicates nothing but what a crash would.
#[tokio::test(start_paused = true)]
async fn a_refusing_store_is_waited_for() {
    let bench = Bench::new(defaults());
    bench.tell_all((0..20).map(|n| (n, n))).await;
    bench.store.refuse_all(true);
    pass(seconds(30)).await;
    assert_eq!((bench.receiver.arrived().len(), bench.entries(Shelf::Pending).await.len()), (20, 20));
    bench.store.refuse_all(false);
    pass(seconds(3)).await;
    assert!(bench.entries(Shelf::Pending).await.is_empty());
    assert_eq!(bench.receiver.arrived().len(), 20);
}

/// What another otpd wrote is no reason to stop, nor to lose it.
#[tokio::test(start_paused = true)]
async fn an_unreadable_event_is_a_dead_letter() {
    let bench = Bench::new(defaults());
    bench.store.outbox().note(vec![vec![200, 1, 2], Vec::new()]).await.unwrap();
    bench.tell(1, 1).await;
    pass(seconds(1)).await;
    assert_eq!((bench.receiver.arrived().len(), bench.entries(Shelf::Dead).await.len()), (1, 2));
    let letters = bench.webhooks.as_ref().unwrap().dead_letters.list(0, 9).await.unwrap().0;
    assert!(letters.iter().all(|letter| letter.name == "unreadable" && letter.phone_masked.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_courier_that_panics_is_one_that_failed() {
    let bench = Bench::new(WebhooksSettings { posts_max: 1, ..defaults() });
    let posts = AtomicUsize::new(0);
    bench.receiver.answers(move |_| {
        assert!(posts.fetch_add(1, Ordering::Relaxed) > 0, "a defect");
        Posted::Taken
    });
    bench.tell_all([(1, 1), (1, 2)]).await;
    pass(seconds(2)).await;
    assert_eq!(bench.receiver.ids(), [event_id(1), event_id(2)], "the number is not busy for ever");
    pass(seconds(5)).await;
    assert_eq!(bench.receiver.ids(), [event_id(1), event_id(2), event_id(1)]);
    assert!(bench.entries(Shelf::Pending).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_events_are_dead_letters_at_once() {
    let outbox = OutboxLimits { pending_max: 10, dead_max: 5 };
    let bench = Bench::new(WebhooksSettings { outbox, ..defaults() });
    bench.receiver.answers(|_| FAILED);
    bench.tell_all((0..18).map(|n| (n, n))).await;
    pass(seconds(1)).await;
    assert_eq!((bench.entries(Shelf::Pending).await.len(), bench.entries(Shelf::Dead).await.len()), (10, 5));
    bench.receiver.answers(|_| Posted::Taken);
    pass(seconds(10)).await;
    assert!(bench.entries(Shelf::Pending).await.is_empty());
    let dead = bench.webhooks.as_ref().unwrap().dead_letters.list(0, 9).await.unwrap().0;
    assert_eq!(dead.iter().map(|letter| letter.tries).collect::<Vec<_>>(), [0; 5]);
}

/// Told by any part, filtered as all are, and from then on like any other event.
#[tokio::test(start_paused = true)]
async fn events_of_the_node() {
    let bench = Bench::new(WebhooksSettings { events: vec!["budget.*".to_owned()], ..defaults() });
    let events = bench.webhooks.as_ref().unwrap().events.clone();
    events.note(NodeEvent::RouteOpened { gateway: "twilio".to_owned() });
    let budget = Budget { country: String::new(), limit_micros: 5_000_000, spent_micros: 4_000_001, percent: 80 };
    events.note(NodeEvent::BudgetThreshold(budget));
    pass(seconds(1)).await;
    let posts = bench.receiver.arrived();
    assert_eq!(posts.len(), 1);
    let data = json!({ "country": null, "limit_micros": 5_000_000, "spent_micros": 4_000_001, "percent": 80 });
    assert_eq!(
        posts[0].body(),
        json!({ "type": "budget.threshold", "timestamp": "2026-09-21T14:13:20.000Z", "data": data })
    );
}

/// A verdict about an entry that is gone meanwhile changes nothing.
#[tokio::test(start_paused = true)]
async fn an_entry_that_vanishes_is_not_missed() {
    let bench = Bench::new(defaults());
    bench.receiver.answers(|_| FAILED);
    bench.tell(1, 1).await;
    pass(seconds(1)).await;
    assert_eq!(bench.store.outbox().settle(vec![(1, Verdict::Delivered)]).await.unwrap(), 1);
    bench.tell(1, 2).await;
    pass(seconds(6)).await;
    assert_eq!(bench.receiver.ids(), [event_id(1), event_id(2), event_id(2)]);
}
