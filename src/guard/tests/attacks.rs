//! Pumping attacks: what gets through, and who else does.

use super::*;
use crate::record::SECOND;

/// 20,000 numbers of one range; it begins in the middle of a block on purpose.
const RANGE: std::ops::Range<u64> = 989_351_234_567..989_351_254_567;

/// A real person of the same country: each in a block of her own.
fn real(nth: u64) -> u64 {
    989_120_000_000 + nth * 10_007
}

/// A shuffle that is the same every time.
fn shuffled(mut numbers: Vec<u64>, mut seed: u64) -> Vec<u64> {
    for place in (1..numbers.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(place, usize::try_from((seed >> 33) % (place as u64 + 1)).unwrap());
    }
    numbers
}

/// What came of an attack.
struct Outcome {
    /// Attacks that were sent.
    sent: usize,
    /// Whether each was found out: refused, or recorded.
    found: Vec<bool>,
}

/// The attack, ten numbers a second, and 200 real sign-ins among it, each verified 20 s after its send.
fn attack(policy: &GuardPolicy, numbers: &[u64]) -> Outcome {
    let mut guard = Guard::new(policy);
    let mut outcome = Outcome { sent: 0, found: Vec::new() };
    let step = numbers.len() / 200;
    for (nth, digits) in numbers.iter().enumerate() {
        let now = NOON.plus(nth as u64 * 100);
        if nth % step == 0 {
            let person = real((nth / step) as u64);
            assert_eq!(send(&mut guard, policy, person, now), Ok(()), "a real sign-in during the attack");
            guard.verified(policy, number(person), now.plus(20 * SECOND));
        }
        let verdict = guard.ask(policy, &ask(*digits), now);
        match verdict {
            Verdict::Allowed { ticket, recorded, .. } => {
                guard.settle(policy, ticket, Settled { billed_tries: 1 }, now);
                outcome.sent += 1;
                outcome.found.push(!recorded.is_empty());
            }
            Verdict::Refused { .. } => outcome.found.push(true),
        }
    }
    outcome
}

/// In order, each number is a neighbour of the one before: all but the first `run_max` are refused.
#[test]
fn walking_along_a_range_ends_at_once() {
    let policy = GuardPolicy::default();
    let run_max = usize::try_from(policy.runs.run_max).unwrap();
    let up: Vec<u64> = RANGE.collect();
    let down: Vec<u64> = RANGE.rev().collect();
    let strided: Vec<u64> = RANGE.step_by(7).collect();
    for (name, numbers) in [("ascending", up), ("descending", down), ("by sevens", strided)] {
        assert_eq!(attack(&policy, &numbers).sent, run_max, "{name}");
    }
}

/// Shuffled, neighbours are rare at first. Then blocks count: 20,000 numbers lie in 3 blocks of 10,000 (velocity digits = 4),
/// each with room for 100 in ten minutes. The attack takes 2,000 s, 3 windows and a third, but after 600 s sends are mature,
/// unverified, and their prefixes closed for half an hour: so 100 for each block, and no more than once again for what was
/// sent while the first hundred came of age.
#[test]
fn a_shuffled_range_is_closed_by_its_blocks() {
    let policy = GuardPolicy::default();
    let numbers = shuffled(RANGE.collect(), 7);
    let outcome = attack(&policy, &numbers);
    assert!((100..=600).contains(&outcome.sent), "{} sent", outcome.sent);
}

/// Without `velocity` and `conversion`, runs alone find a shuffled range, too: later, when enough of it has been asked for.
#[test]
fn runs_alone_close_a_shuffled_range() {
    let mut policy = GuardPolicy::default();
    (policy.velocity.mode, policy.conversion.mode) = (Mode::Off, Mode::Off);
    let numbers = shuffled(RANGE.collect(), 7);
    let outcome = attack(&policy, &numbers);
    assert!(outcome.sent < 6_000, "{} sent", outcome.sent);
    assert!(outcome.found[12_000..].iter().all(|found| *found), "closed for good");
}

/// The same traffic: nothing is refused, and the same is found.
#[test]
fn record_only_refuses_nothing_and_finds_the_same() {
    let enforced = GuardPolicy::default();
    let mut recorded = GuardPolicy::default();
    recorded.velocity.mode = Mode::RecordOnly;
    recorded.runs.mode = Mode::RecordOnly;
    recorded.conversion.mode = Mode::RecordOnly;
    for numbers in [RANGE.collect(), RANGE.step_by(7).collect(), shuffled(RANGE.collect(), 11)] {
        let (enforced, recorded) = (attack(&enforced, &numbers), attack(&recorded, &numbers));
        assert_eq!(recorded.sent, numbers.len());
        assert!(enforced.found == recorded.found);
    }
}

/// A rule in force counts what another only records: it was sent, after all.
#[test]
fn a_rule_in_force_counts_what_another_only_records() {
    let mut policy = GuardPolicy::default();
    (policy.runs.mode, policy.conversion.mode) = (Mode::RecordOnly, Mode::Off);
    let sent = attack(&policy, &RANGE.take(1_000).collect::<Vec<_>>()).sent;
    // Blocks of 1,000 with room for 30: the range touches two of them.
    assert_eq!(sent, 60);
}

/// What was refused keeps marking: an attack that goes on stays closed, hours later and across blocks; when it ends, the
/// range opens by itself.
#[test]
fn an_attack_that_goes_on_stays_closed_and_opens_afterwards() {
    let mut policy = GuardPolicy::default();
    (policy.velocity.mode, policy.conversion.mode) = (Mode::Off, Mode::Off);
    let mut guard = Guard::new(&policy);
    let sent = RANGE.enumerate().filter(|(nth, digits)| {
        // One each two seconds: eleven hours, eleven windows.
        send(&mut guard, &policy, *digits, NOON.plus(*nth as u64 * 2 * SECOND)).is_ok()
    });
    assert_eq!(sent.count(), 20);
    let end = NOON.plus(20_000 * 2 * SECOND);
    assert_eq!(send(&mut guard, &policy, RANGE.end, end), Err(Rule::Runs));
    assert_eq!(send(&mut guard, &policy, RANGE.end, end.plus(policy.runs.window_ms)), Ok(()));
}

/// Numbers that proved themselves are neither counted nor refused, though their neighbours are attacked.
#[test]
fn proven_numbers_pass() {
    let policy = GuardPolicy::default();
    let mut guard = Guard::new(&policy);
    let person = RANGE.start + 5_000;
    assert_eq!(send(&mut guard, &policy, person, NOON), Ok(()));
    guard.verified(&policy, number(person), NOON);
    let hour = NOON.plus(policy.runs.window_ms);
    for (nth, digits) in RANGE.enumerate().filter(|(_, digits)| *digits != person) {
        let _refused_or_not = send(&mut guard, &policy, digits, hour.plus(nth as u64));
    }
    let later = hour.plus(30 * SECOND);
    assert!(send(&mut guard, &policy, person + 1, later).is_err());
    assert_eq!(send(&mut guard, &policy, person, later), Ok(()));
    assert!(
        send(&mut guard, &policy, person, later.plus(policy.verified_ms)).is_ok(),
        "the range is open again by then"
    );
}

/// A verified sign-in gives its count back, so a busy block of honest people never fills.
#[test]
fn honest_people_of_one_block_all_pass() {
    let policy = GuardPolicy::default();
    let mut guard = Guard::new(&policy);
    for nth in 0..1_000 {
        let (person, now) = (989_121_230_000 + nth * 7 % 1_000, NOON.plus(nth * 100));
        assert_eq!(send(&mut guard, &policy, person, now), Ok(()), "{nth}");
        guard.verified(&policy, number(person), now.plus(50));
    }
}

/// A send that certainly did not happen says nothing of its number.
#[test]
fn what_was_not_sent_is_not_counted() {
    let mut policy = GuardPolicy::default();
    policy.runs.mode = Mode::Off;
    let mut guard = Guard::new(&policy);
    for nth in 0..1_000 {
        let now = NOON.plus(nth * SECOND);
        let ticket = try_ask(&mut guard, &policy, &ask(989_121_230_000 + nth), now).unwrap();
        assert!(guard.settle(&policy, ticket, Settled { billed_tries: 0 }, now).is_some());
        assert!(guard.settle(&policy, ticket, Settled { billed_tries: 1 }, now).is_none(), "settled once");
    }
}

/// A clock that ran ahead and comes back neither revives nor freezes anything.
#[test]
fn clocks_that_jump() {
    let policy = GuardPolicy::default();
    let mut guard = Guard::new(&policy);
    for nth in 0..20 {
        assert_eq!(send(&mut guard, &policy, RANGE.start + nth, NOON), Ok(()));
    }
    assert_eq!(send(&mut guard, &policy, RANGE.start + 20, NOON.minus(60 * SECOND)), Err(Rule::Runs), "a little back");
    let year = 365 * crate::record::DAY;
    assert_eq!(send(&mut guard, &policy, real(1), NOON.plus(year)), Ok(()));
    for nth in 0..20 {
        assert_eq!(send(&mut guard, &policy, RANGE.start + nth, NOON.plus(SECOND)), Ok(()), "as if started anew");
    }
    assert_eq!(send(&mut guard, &policy, RANGE.start + 20, NOON.plus(SECOND)), Err(Rule::Runs));
    let opens = NOON.plus(SECOND + policy.runs.window_ms);
    assert_eq!(send(&mut guard, &policy, RANGE.start + 20, opens), Ok(()));
}
