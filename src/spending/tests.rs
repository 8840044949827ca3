//! The keeper over real files: what survives, what is released, and that a replay comes out the same.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{
    clock::Clock,
    entropy::OsEntropy,
    guard::{Ask, GuardPolicy, Micros, Mode, NumberKind, Prices, Rule, Scope, snapshot},
    journal::{Journal, JournalSettings, Line, Places, Reader, Replay, Report, StateLine},
    record::{DAY, Keyring, Label, PhoneNumber, UnixMillis},
};

#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// A data directory, a clock, and what was told.
struct Desk {
    home: tempfile::TempDir,
    clock: Arc<Hands>,
    keys: Arc<Keyring>,
    told: Arc<Mutex<Vec<&'static str>>>,
}

const ASKER: Asker<'static> =
    Asker { request_id: "r-1", dialect: "v1", address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) };

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(Hands(AtomicU64::new(20_000 * DAY + DAY / 2)));
        let keys = Arc::new(Keyring::new((1, &[7; 32]), &[]));
        Self { home: tempfile::tempdir().unwrap(), clock, keys, told: Arc::default() }
    }

    fn open(&self, policy: &GuardPolicy, journals: bool) -> Result<Keeper, LedgerFault> {
        let limits = JournalSettings { queue_max: 65_536, file_mib_max: 1, mib_max: 64, days: 90, states_max: 100 };
        let journal = journals.then(|| Journal::start(self.places(), limits).unwrap());
        let told = Arc::clone(&self.told);
        let parts = KeeperParts {
            policy: policy.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(OsEntropy),
            keys: Arc::clone(&self.keys),
            journal,
            on_event: Box::new(move |event| told.lock().unwrap().push(event.name())),
        };
        let settings = KeeperSettings {
            ledger: self.path("spend.ledger"),
            state: self.path("guard.state"),
            state_every: Duration::from_secs(5),
            sends: true,
        };
        Keeper::open(parts, settings)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    fn places(&self) -> Places {
        Places::of(self.home.path())
    }

    fn wait(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn replay(&self, policy: &GuardPolicy) -> Report {
        let places = self.places();
        let states = |line: &StateLine| snapshot::decode(&std::fs::read(places.states.join(&line.file)).ok()?).ok();
        let mut replay = Replay::new(policy, &self.keys, &states);
        let mut reader = Reader::new(places.lines().unwrap());
        while let Some(line) = reader.next() {
            replay.take(&line.unwrap(), &|| reader.place());
        }
        replay.finish()
    }
}

fn ask(digits: u64) -> Ask {
    Ask {
        number: PhoneNumber::try_from(digits).unwrap(),
        country: "IR".parse().ok(),
        kind: NumberKind::Mobile,
        channel: Label::of("sms"),
        parts: 1,
        tries_max: 2,
    }
}

/// A thousand units a day, one unit a try, no rule but the budget.
fn budget() -> GuardPolicy {
    let mut policy = GuardPolicy::default();
    (policy.velocity.mode, policy.runs.mode, policy.conversion.mode) = (Mode::Off, Mode::Off, Mode::Off);
    policy.prices = Prices::new(Micros(1_000_000));
    policy.budget.per_day = Some(Micros(1_000_000_000));
    policy
}

async fn sent(keeper: &Keeper, digits: u64) -> Result<(), Refusal> {
    keeper.reserve(&ask(digits), ASKER).await.map(|reservation| reservation.settle(1))
}

/// What is still possible: how many more messages the day's money is good for, sending each.
async fn left(keeper: &Keeper) -> usize {
    let mut count = 0;
    while sent(keeper, 989_121_234_567).await.is_ok() {
        count += 1;
    }
    count
}

/// A crash at any point: what was spent stays spent, at most one block (1 %) more is gone.
#[tokio::test]
async fn a_crash_loses_at_most_one_block() {
    let (desk, policy) = (Desk::new(), budget());
    let keeper = desk.open(&policy, false).unwrap();
    for nth in 0..503 {
        assert_eq!(sent(&keeper, 989_121_234_567 + nth).await, Ok(()));
    }
    drop(keeper);
    let keeper = desk.open(&policy, false).unwrap();
    // 1,000 less 503, less a block of 10 at most; the last try has no second beside it.
    let left = left(&keeper).await;
    assert!((486..=496).contains(&left), "{left} left");
    drop(keeper);
    let again = desk.open(&policy, false).unwrap();
    assert!(matches!(sent(&again, 989_121_234_567).await, Err(Refusal::BudgetSpent { .. })));
    assert!(desk.told.lock().unwrap().contains(&"budget.exhausted"));
    desk.wait(DAY);
    assert_eq!(sent(&again, 989_121_234_567).await, Ok(()), "another day");
}

/// A lease that is written down only after midnight is of a day that is over: that of the new day stays.
#[tokio::test]
async fn a_lease_of_yesterday_does_not_undo_todays() {
    let (desk, policy) = (Desk::new(), budget());
    let keeper = desk.open(&policy, false).unwrap();
    assert_eq!(sent(&keeper, 989_121_234_567).await, Ok(()));
    let ledger = || Ledger::open(desk.path("spend.ledger")).unwrap().leased();
    let (yesterday, _) = ledger();
    desk.wait(DAY);
    assert_eq!(sent(&keeper, 989_121_234_567).await, Ok(()));
    let today = ledger();
    keeper.lease(yesterday, vec![(Scope::All, Micros(900_000_000), Micros(900_000_000))]).await.unwrap();
    assert_eq!(ledger(), today);
}

/// An orderly stop loses nothing.
#[tokio::test]
async fn a_stop_is_exact() {
    let (desk, policy) = (Desk::new(), budget());
    let keeper = desk.open(&policy, false).unwrap();
    for nth in 0..503 {
        assert_eq!(sent(&keeper, 989_121_234_567 + nth).await, Ok(()));
    }
    keeper.close().await;
    assert_eq!(sent(&keeper, 989_121_234_567).await, Err(Refusal::LedgerFailed), "closed");
    let keeper = desk.open(&policy, false).unwrap();
    assert_eq!(left(&keeper).await, 496, "the last one needs room for two tries");
}

/// A thousand at once: what is billed stays within the budget, and each lease was durable before its send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_never_exceed() {
    let (desk, mut policy) = (Desk::new(), budget());
    policy.budget.per_day = Some(Micros(300_000_000));
    let keeper = desk.open(&policy, false).unwrap();
    let ledger = desk.path("spend.ledger");
    let tasks: Vec<_> = (0..1_000_u64)
        .map(|nth| {
            let (keeper, ledger) = (keeper.clone(), ledger.clone());
            tokio::spawn(async move {
                let mut reservation = keeper.reserve(&ask(989_121_000_000 + nth), ASKER).await.ok()?;
                reservation.sending();
                let leased = leased(&ledger);
                tokio::task::yield_now().await;
                let tries = u8::try_from(nth % 3).unwrap();
                reservation.settle(tries);
                Some((u64::from(tries), leased))
            })
        })
        .collect();
    let (mut billed, mut leased_most) = (0, 0);
    for task in tasks {
        if let Some((tries, leased)) = task.await.unwrap() {
            billed += tries;
            leased_most = leased_most.max(leased);
            assert!(leased > 0);
        }
    }
    assert!(billed <= 300, "{billed}");
    assert!(leased_most <= 300_000_000);
    assert!(billed * 1_000_000 <= leased(&ledger));
}

fn leased(ledger: &Path) -> u64 {
    let (_, leased) = Ledger::open(ledger.to_owned()).unwrap().leased();
    leased.get(&Scope::All).map_or(0, |amount| amount.0)
}

/// Dropped before the send: nothing happened. Dropped in it: all of it counts.
#[tokio::test]
async fn a_dropped_reservation_settles_itself() {
    let (desk, mut policy) = (Desk::new(), budget());
    policy.budget.per_day = Some(Micros(4_000_000));
    let keeper = desk.open(&policy, false).unwrap();
    for _ in 0..100 {
        let reservation = keeper.reserve(&ask(989_121_234_567), ASKER).await.unwrap();
        assert_eq!(reservation.cost(), Micros(2_000_000));
    }
    let mut lost = keeper.reserve(&ask(989_121_234_567), ASKER).await.unwrap();
    lost.sending();
    drop(lost);
    assert_eq!(left(&keeper).await, 1, "two units are left: one message with room for its second try");
}

/// Without a ledger nothing is spent: neither one that cannot be written nor one that cannot be read.
#[tokio::test]
async fn no_ledger_no_send() {
    let (desk, policy) = (Desk::new(), budget());
    let keeper = desk.open(&policy, false).unwrap();
    // A directory in the place of the file that is written beside.
    std::fs::create_dir(desk.path(".spend.ledger.tmp")).unwrap();
    assert_eq!(sent(&keeper, 989_121_234_567).await, Err(Refusal::LedgerFailed));
    std::fs::remove_dir(desk.path(".spend.ledger.tmp")).unwrap();
    assert_eq!(sent(&keeper, 989_121_234_567).await, Ok(()));
    drop(keeper);
    std::fs::write(desk.path("spend.ledger"), "{}").unwrap();
    assert!(matches!(desk.open(&policy, false), Err(LedgerFault::Malformed)));
}

/// A restart does not reopen an attack.
#[tokio::test]
async fn what_is_closed_stays_closed_over_a_restart() {
    let (desk, policy) = (Desk::new(), GuardPolicy::default());
    let keeper = desk.open(&policy, false).unwrap();
    for nth in 0..20 {
        assert_eq!(sent(&keeper, 989_351_230_000 + nth).await, Ok(()));
    }
    keeper.close().await;
    let keeper = desk.open(&policy, false).unwrap();
    assert!(matches!(sent(&keeper, 989_351_230_020).await, Err(Refusal::Closed { rule: Rule::Runs, .. })));
    keeper.verified(PhoneNumber::try_from(989_351_230_010).unwrap());
    assert_eq!(sent(&keeper, 989_351_230_010).await, Ok(()), "who has signed in passes");
    std::fs::write(desk.path("guard.state"), "no state").unwrap();
    drop(keeper);
    assert_eq!(sent(&desk.open(&policy, false).unwrap(), 989_351_230_021).await, Ok(()), "the rules begin anew");
}

#[tokio::test]
async fn nothing_to_decide_costs_nothing() {
    let (desk, mut policy) = (Desk::new(), budget());
    (policy.prices, policy.number_types.mode) = (Prices::default(), Mode::Off);
    let keeper = desk.open(&policy, false).unwrap();
    assert!(keeper.is_idle());
    assert_eq!(sent(&keeper, 989_121_234_567).await, Ok(()));
    keeper.close().await;
    assert_eq!(std::fs::read_dir(desk.home.path()).unwrap().count(), 0, "no file is made");
}

/// Random traffic over days, restarts and crashes: attacks, people who sign in, failures, outages.
async fn traffic(desk: &Desk, policy: &GuardPolicy, mut seed: u64) {
    let mut draw = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut keeper = desk.open(policy, true).unwrap();
    let mut open: Vec<Reservation> = Vec::new();
    for step in 0..4_000_u64 {
        desk.wait(draw(20_000));
        let digits = if draw(3) == 0 { 989_351_230_000 + step } else { 989_120_000_000 + draw(4_000) * 997 };
        match draw(12) {
            // In whatever order, but as sends do: each within minutes.
            7..9 if !open.is_empty() => {
                let place = usize::try_from(draw(open.len() as u64)).unwrap();
                open.swap_remove(place).settle(u8::try_from(draw(3)).unwrap());
            }
            0..9 if open.len() > 16 => open.remove(0).settle(u8::try_from(draw(3)).unwrap()),
            0..9 => open.extend(keeper.reserve(&ask(digits), ASKER).await),
            9..11 => keeper.verified(ask(989_120_000_000 + draw(4_000) * 997).number),
            _ if draw(40) == 0 => {
                open.clear();
                if draw(2) == 0 {
                    keeper.close().await;
                }
                drop(keeper);
                keeper = desk.open(policy, true).unwrap();
            }
            _ => {}
        }
    }
    open.clear();
    keeper.close().await;
}

/// The very same answers under the rules that were live, others under others.
#[tokio::test]
async fn a_replay_is_exact() {
    for seed in [1, 2, 3] {
        let (desk, mut policy) = (Desk::new(), GuardPolicy::default());
        policy.prices = Prices::new(Micros(45_100));
        policy.budget.per_day = Some(Micros(60_000_000));
        policy.conversion.mode = Mode::RecordOnly;
        traffic(&desk, &policy, seed).await;
        let report = desk.replay(&policy);
        assert_eq!(report.difference, None, "seed {seed}");
        assert!(report.asked > 1_500 && report.same_policy == report.asked, "{report:?}");
        assert!(report.refused > 100 && report.refused == report.live_refused, "{report:?}");
        assert_eq!((report.newly_refused, report.only_live_refused, report.saved), (0, 0, Micros(0)));
        assert_eq!((report.missing, report.skipped, report.states_missing, report.sealed), (0, 0, 0, 0));

        let mut stricter = policy.clone();
        stricter.number_types.blocked.insert(NumberKind::Mobile);
        let report = desk.replay(&stricter);
        assert_eq!((report.refused, report.same_policy), (report.asked, 0));
        assert!(report.live_spent > Micros(0) && report.real_people > 0);
        assert_eq!(report.saved, report.live_spent, "who is sent nothing costs nothing");

        let mut looser = policy.clone();
        looser.runs.mode = Mode::Off;
        let report = desk.replay(&looser);
        assert!(report.only_live_refused > 0 && report.hits.keys().all(|(rule, _)| *rule != Rule::Runs), "{report:?}");
    }
}

/// A journal that was tampered with, or an engine that decides otherwise, is found out.
#[tokio::test]
async fn a_difference_is_told() {
    let (desk, policy) = (Desk::new(), GuardPolicy::default());
    traffic(&desk, &policy, 4).await;
    let file = desk.places().lines().unwrap().remove(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"rule\":\"runs\"") && !text.contains("98935123"));
    std::fs::write(&file, text.replacen("\"rule\":\"runs\"", "\"rule\":null", 1)).unwrap();
    let difference = desk.replay(&policy).difference.unwrap();
    assert_eq!((difference.live.0, difference.now.0), (None, Some(Rule::Runs)));
    assert!(difference.place.contains(".jsonl line "), "{difference:?}");
    assert!(matches!(serde_json::from_str(text.lines().next().unwrap()), Ok(Line::State(_))));
}
