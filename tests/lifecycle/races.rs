//! Many callers at one number at once (security 27–33), actors that go under load, and floods of numbers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use otpd::{
    phone::{DirectorySettings, Fault, Reply},
    record::{Command, Outcome, PhoneNumber, Refusal},
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{Lots, World, check, check_by_number, is_approved, is_wrong, phone, start, within, write, wrong};

/// So many callers at one number that the in-flight limit must not be the one that answers.
fn crowd() -> DirectorySettings {
    DirectorySettings { inflight_max: 1_000, ..DirectorySettings::default() }
}

/// All requests at once, each on a task of its own, behind a barrier.
pub(crate) async fn at_once(
    requests: impl IntoIterator<Item = impl Future<Output = Result<Reply, Fault>> + Send + 'static>,
) -> Vec<Result<Reply, Fault>> {
    let requests: Vec<_> = requests.into_iter().collect();
    let barrier = Arc::new(Barrier::new(requests.len()));
    let tasks = requests.into_iter().map(|request| {
        let barrier = Arc::clone(&barrier);
        tokio::spawn(async move {
            barrier.wait().await;
            request.await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    join_all(tasks).await.into_iter().map(|joined| joined.unwrap()).collect()
}

pub(crate) fn count(answers: &[Result<Reply, Fault>], which: impl Fn(&Result<Reply, Fault>) -> bool) -> usize {
    answers.iter().filter(|answer| which(answer)).count()
}

/// security 27: of 200 parallel right codes exactly one succeeds; 100 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_right_codes_one_succeeds() {
    let world = World::new(crowd());
    for n in 0..100 {
        let (nonce, code) = world.challenge(phone(n)).await;
        let answers = at_once((0..200).map(|_| world.asking(phone(n), check(nonce, &code)))).await;
        assert_eq!(count(&answers, is_approved), 1, "round {n}");
        let spent = |answer: &Result<Reply, Fault>| {
            matches!(answer, Ok(Reply { outcome: Outcome::Refused(Refusal::AlreadyApproved), .. }))
        };
        assert_eq!(count(&answers, spent), 199, "round {n}");
    }
}

/// security 28 and 32: of 500 parallel wrong codes exactly the limit is compared, by id as by number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_wrong_codes_the_limit_is_compared() {
    let world = World::new(crowd());
    for n in 0..20 {
        let (nonce, code) = world.challenge(phone(n)).await;
        let bad = wrong(&code);
        let by_id = at_once((0..500).map(|_| world.asking(phone(n), check(nonce, &bad)))).await;
        assert_eq!(count(&by_id, is_wrong), 5, "round {n}");
        assert_eq!(count(&by_id, |answer| answer.is_ok()), 500);
        let by_number = at_once((0..500).map(|_| world.asking(phone(n), check_by_number(&bad)))).await;
        assert_eq!(count(&by_number, is_wrong), 5, "round {n}");
        assert_eq!(world.store.record(phone(n)).await.unwrap().failures(), 5);
        assert!(!is_approved(&world.ask(phone(n), check(nonce, &code)).await), "the right one comes too late");
    }
}

/// security 29: four wrong codes and one right, all at once: one success, and nothing is compared after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_mixed_storm_the_right_code_succeeds_once() {
    let world = World::new(crowd());
    let mut lots = Lots::new("mixed storm");
    for n in 0..200 {
        let (nonce, code) = world.challenge(phone(n)).await;
        let right = lots.below(5);
        let typed = (0..5).map(|i| if i == right { code.clone() } else { wrong(&code) });
        let answers = at_once(typed.map(|typed| world.asking(phone(n), check(nonce, &typed)))).await;
        assert_eq!(count(&answers, is_approved), 1, "round {n}");
        assert!(count(&answers, is_wrong) <= 4);
        let after = world.ask(phone(n), check(nonce, &wrong(&code))).await.unwrap().outcome;
        assert_eq!(after, Outcome::Refused(Refusal::AlreadyApproved));
    }
}

/// security 30: of 100 parallel starts one sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_starts_one_sends() {
    let world = World::new(crowd());
    for n in 0..50 {
        let answers = at_once((0..100).map(|_| world.asking(phone(n), start()))).await;
        let sent = |answer: &Result<Reply, Fault>| matches!(answer, Ok(Reply { draft: Some(_), .. }));
        assert_eq!(count(&answers, sent), 1, "round {n}");
    }
}

/// security 31: of parallel refreshes with one token all get the same successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_make_one_chain() {
    let world = World::new(crowd());
    for n in 0..20 {
        let session = world.sign_in(phone(n)).await;
        let refresh = || world.asking(phone(n), Command::Refresh { session, generation: 0, rotate: true });
        let answers = at_once((0..100).map(|_| refresh())).await;
        let same = |answer: &Result<Reply, Fault>| {
            let reply = answer.as_ref().ok();
            reply.is_some_and(|reply| matches!(&reply.outcome, Outcome::SignedIn(now) if now.generation == 1))
        };
        assert_eq!(count(&answers, same), 100, "round {n}");
    }
}

/// Who is calling which number since when, so that a drainer can keep to what real passivation keeps to: a number is
/// not let go, used and let go again while one call lasts. Then two forwards are enough, by construction.
struct CallBook {
    /// The order of beginnings and drains.
    sequence: AtomicU64,
    /// One per caller: (number + 1, its beginning), or (0, 0).
    calls: Vec<Mutex<(u64, u64)>>,
}

impl CallBook {
    fn new(callers: u64) -> Self {
        Self { sequence: AtomicU64::new(1), calls: (0..callers).map(|_| Mutex::default()).collect() }
    }

    fn now(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(&self, caller: usize, n: u64) {
        let mut call = self.calls[caller].lock().unwrap();
        *call = (n + 1, self.now());
    }

    fn end(&self, caller: usize) {
        *self.calls[caller].lock().unwrap() = (0, 0);
    }

    /// Has every call of `n` that began before `since` ended?
    fn is_past(&self, n: u64, since: u64) -> bool {
        self.calls.iter().all(|call| {
            let (number, began) = *call.lock().unwrap();
            number != n + 1 || began > since
        })
    }
}

const NUMBERS: u64 = 64;
const CALLERS: u64 = 32;
const CALLS: u64 = 4_000;

/// Lets numbers go at random until it is over; of two, each has its half.
async fn drain_at_random(world: Arc<World>, book: Arc<CallBook>, half: u64, over: Arc<AtomicBool>, mut lots: Lots) {
    let mut drained_at = vec![0; usize::try_from(NUMBERS).unwrap()];
    while !over.load(Ordering::Relaxed) {
        for _ in 0..4 {
            let n = lots.below(NUMBERS / 2) * 2 + half;
            let last = &mut drained_at[usize::try_from(n).unwrap()];
            if book.is_past(n, *last) && world.directory.passivate(phone(n)) {
                *last = book.now();
            }
        }
        tokio::task::yield_now().await;
    }
}

/// anchors 10.2, security 33 and 104: 64 numbers, 32 callers, 2 tasks that drain at random. Every acknowledged change
/// is stored once, none fails, none needs a third forward, and no two activations of a number ever overlap (they
/// would conflict at the store).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_go_under_load_lose_and_repeat_nothing() {
    let world = Arc::new(World::new(crowd()));
    let mut lots = Lots::new("stop race");
    let sessions: Vec<u64> = join_all((0..NUMBERS).map(|n| world.sign_in(phone(n)))).await;
    let versions = || join_all((0..NUMBERS).map(|n| world.store.version(phone(n))));
    let before: Vec<_> = versions().await;

    let (over, book) = (Arc::new(AtomicBool::new(false)), Arc::new(CallBook::new(CALLERS)));
    let mut drainers = JoinSet::new();
    for half in 0..2 {
        drainers.spawn(drain_at_random(Arc::clone(&world), Arc::clone(&book), half, Arc::clone(&over), lots.fork()));
    }
    let mut callers = JoinSet::new();
    for caller in 0..usize::try_from(CALLERS).unwrap() {
        let (world, book, sessions, mut lots) = (Arc::clone(&world), Arc::clone(&book), sessions.clone(), lots.fork());
        callers.spawn(async move {
            for call in 0..CALLS {
                let n = lots.below(NUMBERS);
                let session = sessions[usize::try_from(n).unwrap()];
                book.begin(caller, n);
                let answer = world.ask(phone(n), write(session, format!("{caller} {call}"))).await;
                book.end(caller);
                let outcome = answer.expect("no call fails").outcome;
                assert!(matches!(outcome, Outcome::Authenticated { .. }), "{outcome:?}");
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    while drainers.join_next().await.is_some() {}

    let stored: u64 =
        versions().await.iter().zip(&before).map(|(after, before)| after.unwrap() - before.unwrap()).sum();
    let census = world.directory.census();
    println!("stop race: {} acknowledged, {stored} stored, {census:?}", CALLERS * CALLS);
    assert_eq!(stored, CALLERS * CALLS, "stored once each");
    assert_eq!(world.store.conflicts.load(Ordering::Relaxed), 0, "no two activations overlapped");
    assert_eq!(census.failed, 0);
    assert!(census.started > NUMBERS * 2 && census.forwarded > 0, "the race was run: {census:?}");
    assert_eq!(world.directory.drain(Duration::from_secs(20)).await, 0);
}

/// How many numbers the flood has; `OTPD_FLOOD` says otherwise.
#[expect(clippy::disallowed_methods, reason = "a test may be told its size")]
fn flood_size() -> u64 {
    std::env::var("OTPD_FLOOD").ok().and_then(|size| size.parse().ok()).unwrap_or(100_000)
}

/// security 101: a flood of distinct numbers keeps the live actors under the hard limit, is shed or refused but
/// never half done, and forgets no failure counter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_numbers_is_bounded_and_forgets_no_failure() {
    const HARD: usize = 1_500;
    const WATCHED: u64 = 100;
    let flood = flood_size();
    let settings = DirectorySettings { actors_max: 1_000, actors_hard_max: HARD, ..DirectorySettings::default() };
    let world = Arc::new(World::new(settings));
    let watched = |n: u64| -> PhoneNumber { phone(50_000_000 + n) };
    let mut codes = Vec::new();
    for n in 0..WATCHED {
        let (_, code) = world.challenge(watched(n)).await;
        for _ in 0..2 {
            assert!(is_wrong(&world.ask(watched(n), check_by_number(&wrong(&code))).await));
        }
        codes.push(code);
    }
    let (next, refused, peak) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..128 {
        let (world, next) = (Arc::clone(&world), Arc::clone(&next));
        let (refused, peak) = (Arc::clone(&refused), Arc::clone(&peak));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= flood {
                    return;
                }
                // A refused number comes again, a little later.
                while let Err(fault) = world.ask(phone(n), start()).await {
                    assert!(matches!(fault, Fault::Overloaded { .. }), "{fault:?}");
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                peak.fetch_max(world.directory.len() as u64, Ordering::Relaxed);
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    let (refused, peak) = (refused.load(Ordering::Relaxed), peak.load(Ordering::Relaxed));
    println!("flood: {flood} numbers, {refused} refusals, {peak} live at most, {:?}", world.directory.census());
    assert!(peak > 1_000 && peak <= HARD as u64, "{peak} live");
    assert_eq!(world.store.inner.len() as u64, flood + WATCHED, "what was acknowledged is stored");
    within(|| world.directory.len() <= 1_000).await;
    for (n, code) in (0..).zip(&codes) {
        assert_eq!(world.store.record(watched(n)).await.unwrap().failures(), 2);
        let third = world.ask(watched(n), check_by_number(&wrong(code))).await.unwrap().outcome;
        assert!(matches!(third, Outcome::Refused(Refusal::WrongCode { attempts_remaining: 2, .. })), "{third:?}");
    }
    assert_eq!(world.directory.census().failed, 0);
}

/// security 101: at the hard limit a new number is refused and a live one is served.
#[tokio::test(start_paused = true)]
async fn above_the_hard_limit_new_numbers_are_refused() {
    let settings = DirectorySettings { actors_max: 8, actors_hard_max: 8, ..DirectorySettings::default() };
    let world = World::new(settings);
    world.store.inner.slow(Duration::from_millis(200), Duration::ZERO);
    let under_way: Vec<_> = (0..8).map(|n| tokio::spawn(world.asking(phone(n), start()))).collect();
    tokio::task::yield_now().await;
    let refused = world.ask(phone(9), start()).await.unwrap_err();
    assert!(matches!(refused, Fault::Overloaded { retry_after } if !retry_after.is_zero()), "{refused:?}");
    world.ask(phone(1), Command::Read { nonce: 1 }).await.expect("live numbers are served");
    for answer in join_all(under_way).await {
        answer.unwrap().unwrap();
    }
}
