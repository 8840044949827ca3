//! Prefixes whose codes are not used: they close, and open by themselves.

use super::*;
use crate::{
    guard::{ConversionRule, GuardEvent},
    record::{HOUR, MINUTE},
};

/// The `nth` number of the prefix, too far from the others for a run.
fn of_prefix(nth: u64) -> u64 {
    989_121_230_000 + nth * 100
}

fn only_conversion() -> GuardPolicy {
    let mut policy = quiet();
    policy.conversion.mode = Mode::Enforce;
    policy
}

/// A prefix with `sends` sends of which `verified` were verified, at the time when all are mature.
fn used(policy: &GuardPolicy, sends: u64, verified: u64) -> (Guard, UnixMillis) {
    let mut guard = Guard::new(policy);
    for nth in 0..sends {
        assert_eq!(send(&mut guard, policy, of_prefix(nth), NOON), Ok(()));
    }
    for nth in 0..verified {
        guard.verified(policy, number(of_prefix(nth)), NOON.plus(MINUTE));
    }
    (guard, NOON.plus(policy.conversion.mature_ms))
}

#[test]
fn only_a_mature_sample_closes() {
    let policy = only_conversion();
    let ConversionRule { mature_ms, .. } = policy.conversion;
    // 20 sends are the least sample; 90 % may stay unverified.
    for (sends, verified, closes) in [(19, 0, false), (20, 0, true), (20, 1, true), (20, 2, false), (40, 3, true)] {
        let (mut guard, mature) = used(&policy, sends, verified);
        assert_eq!(send(&mut guard, &policy, of_prefix(98), mature.minus(1)), Ok(()), "not yet mature");
        let result = send(&mut guard, &policy, of_prefix(99), mature);
        assert_eq!(result.is_err(), closes, "{verified} of {sends}");
        assert_eq!(send(&mut guard, &policy, of_prefix(99) + 10_000, mature), Ok(()), "the next prefix is open");
    }
    let (mut guard, mature) = used(&policy, 30, 0);
    guard.verified(&policy, number(of_prefix(0)), mature);
    guard.verified(&policy, number(of_prefix(1)), mature);
    guard.verified(&policy, number(of_prefix(2)), mature.plus(mature_ms));
    assert_eq!(send(&mut guard, &policy, of_prefix(99), mature.plus(mature_ms)), Ok(()), "late codes count");
}

/// Closed for half an hour, a trial of five that fails, closed for an hour, a trial in which one is verified: open.
#[test]
fn it_opens_by_itself_and_bad_trials_double_the_time() {
    let policy = only_conversion();
    let ConversionRule { close_ms, mature_ms, trial_sends, .. } = policy.conversion;
    let (mut guard, closed_at) = used(&policy, 20, 0);
    assert_eq!(send(&mut guard, &policy, of_prefix(50), closed_at), Err(Rule::Conversion));
    let opens = closed_at.plus(close_ms);
    assert_eq!(send(&mut guard, &policy, of_prefix(50), opens.minus(1)), Err(Rule::Conversion));
    for nth in 0..u64::from(trial_sends) {
        assert_eq!(send(&mut guard, &policy, of_prefix(50 + nth), opens), Ok(()), "trial {nth}");
    }
    assert_eq!(send(&mut guard, &policy, of_prefix(60), opens), Err(Rule::Conversion), "the trial is used up");
    let judged = opens.plus(mature_ms);
    assert_eq!(send(&mut guard, &policy, of_prefix(60), judged), Err(Rule::Conversion));
    let again = judged.plus(2 * close_ms);
    assert_eq!(send(&mut guard, &policy, of_prefix(60), again.minus(1)), Err(Rule::Conversion), "twice as long");
    assert_eq!(send(&mut guard, &policy, of_prefix(61), again), Ok(()));
    guard.verified(&policy, number(of_prefix(61)), again.plus(MINUTE));
    for nth in 0..19 {
        assert_eq!(send(&mut guard, &policy, of_prefix(70 + nth), again.plus(2 * MINUTE)), Ok(()), "open");
    }
    let seen: Vec<&str> = guard.take_events().iter().map(GuardEvent::name).collect();
    assert_eq!(seen, ["prefix.closed", "prefix.closed", "prefix.reopened"]);
    assert_eq!(guard.prefixes_closed(), 0);
}

#[test]
fn the_time_closed_is_capped() {
    let policy = only_conversion();
    let ConversionRule { close_max_ms, mature_ms, trial_sends, .. } = policy.conversion;
    let (mut guard, mut now) = used(&policy, 20, 0);
    let mut nth = 20;
    for _ in 0..40 {
        let Verdict::Refused { retry_at: Some(until), .. } = guard.ask(&policy, &ask(of_prefix(99)), now) else {
            panic!("open at {now:?}");
        };
        assert!(until.since(now) <= close_max_ms);
        for _ in 0..trial_sends {
            assert_eq!(send(&mut guard, &policy, of_prefix(nth % 90), until), Ok(()));
            nth += 1;
        }
        now = until.plus(mature_ms);
    }
}

/// A provider that sends nothing closes no prefix: what was not sent is no sample.
#[test]
fn failed_sends_close_nothing() {
    let policy = only_conversion();
    let mut guard = Guard::new(&policy);
    for nth in 0..300 {
        let now = NOON.plus(nth * HOUR / 100);
        let ticket = try_ask(&mut guard, &policy, &ask(of_prefix(nth % 90)), now).unwrap();
        guard.settle(&policy, ticket, Settled { billed_tries: 0 }, now);
    }
}

/// As many prefixes as are remembered; the one that would open first makes room.
#[test]
fn closures_are_bounded() {
    let mut policy = only_conversion();
    policy.limits.closed_max = 3;
    policy.conversion.sample_min = 1;
    let mut guard = Guard::new(&policy);
    for prefix in 0..10 {
        assert_eq!(send(&mut guard, &policy, of_prefix(0) + prefix * 10_000, NOON.plus(prefix)), Ok(()));
    }
    let mature = NOON.plus(policy.conversion.mature_ms + 10);
    for prefix in 0..10 {
        let result = send(&mut guard, &policy, of_prefix(1) + prefix * 10_000, mature.plus(prefix));
        assert_eq!(result, Err(Rule::Conversion));
        assert!(guard.prefixes_closed() <= 3);
    }
}
