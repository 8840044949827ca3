//! Prices, budgets, and what they are told by.

use super::*;
use crate::guard::{GuardEvent, Micros, NotMoney, Prices, Scope};
use crate::record::DAY;

fn micros(text: &str) -> Micros {
    text.parse().unwrap()
}

#[test]
fn money_is_exact() {
    for (text, millionths) in
        [("0", 0), ("12", 12_000_000), ("0.0451", 45_100), ("3.000001", 3_000_001), ("1.50", 1_500_000)]
    {
        assert_eq!(micros(text), Micros(millionths), "{text}");
    }
    assert_eq!(["0.0451", "12", "3.000001"].map(|text| micros(text).to_string()), ["0.0451", "12", "3.000001"]);
    for bad in ["", ".", "1.", ".5", "-1", "+1", "1,5", "1e3", "0.0000001", "1234567890123", " 1", "1.5.0", "١"] {
        assert_eq!(bad.parse::<Micros>(), Err(NotMoney), "{bad:?}");
    }
    assert_eq!(Micros(u64::MAX).plus(Micros(1)), Micros(u64::MAX));
}

#[test]
fn the_longest_prefix_has_the_price_and_the_channel_its_own() {
    let (sms, voice) = (Label::of("sms"), Label::of("voice"));
    let mut prices = Prices::new(Micros(9));
    assert!(prices.add("98", None, Micros(5)) && prices.add("98912", None, Micros(4)));
    assert!(prices.add("98", Some(voice), Micros(50)) && prices.add("1", Some(voice), Micros(70)));
    assert!(!prices.add("98", None, Micros(1)), "twice");
    for bad in ["", "+98", "98a", "1234567890123456"] {
        assert!(!prices.add(bad, None, Micros(1)), "{bad}");
    }
    let price = |digits: u64, channel: Label| prices.of(number(digits), channel).0;
    assert_eq!(price(989_121_234_567, sms), 4);
    assert_eq!(price(989_351_234_567, sms), 5);
    assert_eq!(price(989_351_234_567, voice), 50);
    assert_eq!(price(989_121_234_567, voice), 4, "the longer prefix goes first");
    assert_eq!((price(14_155_550_100, sms), price(14_155_550_100, voice)), (9, 70));
}

/// security 39: cap 10, the 11th is refused, and so on until midnight; what was not billed is free again.
#[test]
fn a_budget_of_ten_sends_ten() {
    let mut policy = quiet();
    policy.prices = Prices::new(micros("1"));
    policy.budget.per_day = Some(micros("10"));
    let mut guard = Guard::new(&policy);
    let one = |digits: u64| Ask { tries_max: 1, ..ask(digits) };
    let tickets: Vec<_> = (0..10).map(|nth| try_ask(&mut guard, &policy, &one(989_121_000_000 + nth), NOON)).collect();
    assert!(tickets.iter().all(Result::is_ok));
    let midnight = UnixMillis((NOON.0 / DAY + 1) * DAY);
    let refused = guard.ask(&policy, &one(989_121_000_010), NOON);
    assert!(matches!(refused, Verdict::Refused { rule: Rule::Budget, retry_at: Some(at), .. } if at == midnight));
    guard.settle(&policy, tickets[0].unwrap(), Settled { billed_tries: 0 }, NOON);
    assert!(try_ask(&mut guard, &policy, &one(989_121_000_011), NOON).is_ok());
    assert_eq!(try_ask(&mut guard, &policy, &one(989_121_000_012), midnight.minus(1)), Err(Rule::Budget));
    assert!(try_ask(&mut guard, &policy, &one(989_121_000_013), midnight).is_ok());
    guard.settle(&policy, tickets[1].unwrap(), Settled { billed_tries: 1 }, midnight);
    assert_eq!(guard.standing(Scope::All).spent, Micros(0), "yesterday's money is not today's");
}

#[test]
fn a_country_has_its_own_budget_and_all_have_one() {
    let mut policy = quiet();
    policy.prices = Prices::new(micros("1"));
    policy.budget.per_day = Some(micros("8"));
    policy.budget.by_country = [(country("IR"), micros("4"))].into();
    let mut guard = Guard::new(&policy);
    let mut go =
        |country: Option<Country>| try_ask(&mut guard, &policy, &Ask { country, ..ask(989_121_234_567) }, NOON).is_ok();
    let iran = Some(country("IR"));
    assert!(go(iran) && go(iran), "two tries each: 4");
    assert!(!go(iran));
    assert!(go(Some(country("US"))) && go(None));
    assert!(!go(Some(country("US"))), "8 of 8");
}

#[test]
fn thresholds_are_told_once() {
    let mut policy = quiet();
    policy.prices = Prices::new(micros("1"));
    policy.budget.by_country = [(country("IR"), micros("10"))].into();
    let mut guard = Guard::new(&policy);
    let mut seen = Vec::new();
    for nth in 0..12 {
        let sent = send(&mut guard, &policy, 989_121_234_567, NOON.plus(nth));
        // The worst case of two tries does not fit beside nine.
        assert_eq!(sent.is_ok(), nth < 9);
        seen.push(guard.take_events());
    }
    assert!(matches!(seen[7][..], [GuardEvent::BudgetThreshold { percent: 80, .. }]), "{seen:?}");
    assert!(matches!(seen[9][..], [GuardEvent::BudgetExhausted { .. }]), "{seen:?}");
    assert_eq!(seen.concat().len(), 2);
}

/// Free messages need no budget: an unpriced destination passes a spent one.
#[test]
fn what_costs_nothing_is_never_too_much() {
    let mut policy = quiet();
    policy.budget.per_day = Some(Micros(0));
    assert!(send(&mut Guard::new(&policy), &policy, 989_121_234_567, NOON).is_ok());
    policy.prices = Prices::new(Micros(1));
    assert_eq!(send(&mut Guard::new(&policy), &policy, 989_121_234_567, NOON), Err(Rule::Budget));
}

/// What a ledger says after a crash counts as spent, for the same day only.
#[test]
fn a_ledger_is_believed() {
    let mut policy = quiet();
    policy.prices = Prices::new(micros("1"));
    policy.budget.per_day = Some(micros("10"));
    let day = NOON.0 / DAY;
    for (ledger_day, left) in [(day, 4), (day - 1, 10), (day + 1, 4)] {
        let mut guard = Guard::new(&policy);
        guard.spent_at_least(ledger_day, [(Scope::All, micros("6"))], NOON);
        let sent = (0..20).filter(|nth| send(&mut guard, &policy, 989_121_234_567, NOON.plus(*nth)).is_ok()).count();
        assert_eq!(sent, left - 1, "two tries are set aside for the last");
    }
    let mut guard = Guard::new(&policy);
    let ticket = try_ask(&mut guard, &policy, &ask(989_121_234_567), NOON).unwrap();
    guard.close_open();
    assert_eq!(
        guard.standing(Scope::All).spent,
        micros("2"),
        "sends under way when a process ended are billed in full"
    );
    assert!(guard.settle(&policy, ticket, Settled { billed_tries: 1 }, NOON).is_none());
}
