//! The guard's rules over simulated traffic. Time is a number here; every figure is derived beside its test.

mod attacks;
mod money;
mod prefixes;
mod properties;

use super::{Ask, Country, Guard, GuardPolicy, Mode, NumberKind, Rule, Settled, Ticket, Verdict};
use crate::record::{Label, PhoneNumber, UnixMillis};

/// Noon of a day, so that tests of an hour stay on it.
const NOON: UnixMillis =
    UnixMillis(1_790_000_000_000 / crate::record::DAY * crate::record::DAY + 12 * crate::record::HOUR);

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::try_from(digits).unwrap()
}

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn ask(digits: u64) -> Ask {
    Ask {
        number: number(digits),
        country: Some(country("IR")),
        kind: NumberKind::Mobile,
        channel: Label::of("sms"),
        parts: 1,
        tries_max: 2,
    }
}

/// A policy without the three rules of behaviour.
fn quiet() -> GuardPolicy {
    let mut policy = GuardPolicy::default();
    (policy.velocity.mode, policy.runs.mode, policy.conversion.mode) = (Mode::Off, Mode::Off, Mode::Off);
    policy
}

/// Asks; the ticket if it was allowed, else the rule.
fn try_ask(guard: &mut Guard, policy: &GuardPolicy, ask: &Ask, now: UnixMillis) -> Result<Ticket, Rule> {
    match guard.ask(policy, ask, now) {
        Verdict::Allowed { ticket, .. } => Ok(ticket),
        Verdict::Refused { rule, .. } => Err(rule),
    }
}

/// Asks and, if it was allowed, sends once.
fn send(guard: &mut Guard, policy: &GuardPolicy, digits: u64, now: UnixMillis) -> Result<(), Rule> {
    let ticket = try_ask(guard, policy, &ask(digits), now)?;
    guard.settle(policy, ticket, Settled { billed_tries: 1 }, now);
    Ok(())
}

#[test]
fn destinations_are_judged_by_country_and_kind() {
    let mut policy = quiet();
    policy.countries.allowed = [country("IR"), country("US")].into();
    let mut guard = Guard::new(&policy);
    let mut judge = |country: Option<Country>, kind: NumberKind| {
        try_ask(&mut guard, &policy, &Ask { country, kind, ..ask(989_121_234_567) }, NOON).err()
    };
    assert_eq!(judge(Some(country("IR")), NumberKind::Mobile), None);
    assert_eq!(judge(Some(country("GB")), NumberKind::Mobile), Some(Rule::Countries));
    assert_eq!(judge(None, NumberKind::Unknown), Some(Rule::Countries), "no country is on no list");
    for kind in NumberKind::ALL {
        let blocked = ["premium", "shared_cost", "toll_free", "pager", "voicemail", "uan"].contains(&kind.name());
        assert_eq!(judge(Some(country("US")), kind).is_some(), blocked, "{kind}");
        assert_eq!(NumberKind::named(kind.name()), Some(kind));
    }
}

#[test]
fn every_rule_tells_instead_of_refusing_when_it_only_records() {
    let mut policy = quiet();
    policy.countries = super::CountryRule { mode: Mode::RecordOnly, allowed: [country("US")].into() };
    policy.number_types.mode = Mode::RecordOnly;
    policy.budget.mode = Mode::RecordOnly;
    policy.budget.per_day = Some(super::Micros(1));
    policy.prices = super::Prices::new(super::Micros(5));
    let verdict = Guard::new(&policy).ask(&policy, &Ask { kind: NumberKind::Premium, ..ask(989_121_234_567) }, NOON);
    let Verdict::Allowed { recorded, cost, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(recorded, [Rule::Countries, Rule::NumberTypes, Rule::Budget]);
    assert_eq!(cost, super::Micros(10), "two tries");
}
