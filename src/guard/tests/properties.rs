//! What must hold after any traffic.

use proptest::prelude::*;

use super::*;
use crate::guard::{Micros, Prices, Scope};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Ask { digits: u64, parts: u8, tries_max: u8, country: bool },
    Settle { which: usize, billed_tries: u8 },
    Verified { digits: u64 },
    Wait { ms: u64 },
    BackJump { ms: u64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let digits = 989_121_230_000..989_121_230_300_u64;
    prop_oneof![
        8 => (digits.clone(), 1..4_u8, 1..4_u8, any::<bool>())
            .prop_map(|(digits, parts, tries_max, country)| Step::Ask { digits, parts, tries_max, country }),
        6 => (0..64_usize, 0..5_u8).prop_map(|(which, billed_tries)| Step::Settle { which, billed_tries }),
        3 => digits.prop_map(|digits| Step::Verified { digits }),
        3 => (0..400_000_u64).prop_map(|ms| Step::Wait { ms }),
        1 => (0..9_000_000_u64).prop_map(|ms| Step::BackJump { ms }),
        1 => Just(Step::Restart),
    ]
}

fn tight() -> GuardPolicy {
    let mut policy = GuardPolicy { prices: Prices::new(Micros(7)), ..GuardPolicy::default() };
    policy.budget.per_day = Some(Micros(1_000));
    policy.budget.by_country = [(country("IR"), Micros(600))].into();
    policy.velocity.levels[0].max = 60;
    policy.runs.run_max = 40;
    policy.conversion.sample_min = 5;
    policy.limits =
        crate::guard::GuardLimits { sends_max: 40, marks_max: 30, verified_max: 20, closed_max: 2, open_max: 16 };
    policy
}

fn after_crash(guard: &Guard, policy: &GuardPolicy) -> Guard {
    let bytes = bincode::serde::encode_to_vec(guard, bincode::config::standard()).unwrap();
    let (mut again, _): (Guard, usize) =
        bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
    again.close_open();
    again.taken_up(policy)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No budget is ever exceeded, what is remembered stays within its limits, and a state that was written and read
    /// decides as the one that was not.
    #[test]
    fn budgets_and_limits_hold(steps in prop::collection::vec(step(), 1..300)) {
        let policy = tight();
        let (mut guard, mut now, mut tickets) = (Guard::new(&policy), NOON, Vec::new());
        let mut billed = Micros(0);
        for step in steps {
            match step {
                Step::Ask { digits, parts, tries_max, country: of_iran } => {
                    let country = of_iran.then(|| country("IR"));
                    let ask = Ask { parts, tries_max, country, ..ask(digits) };
                    let mut twin = after_crash(&guard, &policy);
                    let twin_says = twin.ask(&policy, &ask, now);
                    let verdict = guard.ask(&policy, &ask, now);
                    // Sends under way count in full in both.
                    prop_assert_eq!(&twin_says, &verdict);
                    if let Verdict::Allowed { ticket, .. } = verdict { tickets.push(ticket) }
                }
                Step::Settle { which, billed_tries } if !tickets.is_empty() => {
                    let ticket = tickets.swap_remove(which % tickets.len());
                    if let Some(settlement) = guard.settle(&policy, ticket, Settled { billed_tries }, now) {
                        billed = billed.plus(settlement.cost);
                    }
                }
                Step::Settle { .. } => {}
                Step::Verified { digits } => guard.verified(&policy, number(digits), now),
                Step::Wait { ms } => now = now.plus(ms),
                Step::BackJump { ms } => now = now.minus(ms),
                Step::Restart => guard = after_crash(&guard, &policy),
            }
            prop_assert!(guard.standing(Scope::All).committed() <= Micros(1_000));
            prop_assert!(guard.standing(Scope::Country(country("IR"))).committed() <= Micros(600));
            let limits = policy.limits;
            let most = [limits.sends_max, limits.marks_max, limits.verified_max, limits.open_max];
            prop_assert!(guard.sizes().iter().zip(most).all(|(size, most)| *size <= most), "{:?}", guard.sizes());
            prop_assert!(guard.prefixes_closed() <= limits.closed_max);
        }
    }

    /// With a thousand sends under way in any order, the money billed stays within the budget.
    #[test]
    fn interleaved_sends_never_exceed(order in prop::collection::vec((any::<bool>(), 0..1_000_usize, 0..3_u8), 1_000)) {
        let mut policy = quiet();
        policy.prices = Prices::new(Micros(3));
        policy.budget.per_day = Some(Micros(900));
        let (mut guard, mut open, mut billed) = (Guard::new(&policy), Vec::new(), Micros(0));
        for (asks, which, billed_tries) in order {
            if asks || open.is_empty() {
                open.extend(try_ask(&mut guard, &policy, &ask(989_121_234_567), NOON));
            } else {
                let ticket = open.swap_remove(which % open.len());
                let settlement = guard.settle(&policy, ticket, Settled { billed_tries }, NOON).unwrap();
                billed = billed.plus(settlement.cost);
            }
            prop_assert!(guard.standing(Scope::All).committed() <= Micros(900));
        }
        prop_assert_eq!(guard.standing(Scope::All).spent, billed);
    }
}
