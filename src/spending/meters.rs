//! What the keeper counts.

use metrics::{Counter, Gauge, counter, gauge};

use crate::{
    guard::{Country, Guard, GuardPolicy, Rule, Scope, Settlement},
    metrics as names,
};

/// Handles of the hot path; series of countries begin with their first message.
pub(super) struct Meters {
    refused: Vec<Counter>,
    recorded: Vec<Counter>,
    prefixes_closed: Gauge,
    pub(super) ledger_failures: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        let of_rules = |name: &'static str| Rule::ALL.map(|rule| counter!(name, "rule" => rule.name())).to_vec();
        Self {
            refused: of_rules(names::GUARD_REFUSALS),
            recorded: of_rules(names::GUARD_RECORDED),
            prefixes_closed: gauge!(names::PREFIXES_CLOSED),
            ledger_failures: counter!(names::LEDGER_FAILURES),
        }
    }

    pub(super) fn refused(&self, rule: Rule) {
        increment(&self.refused, rule);
    }

    pub(super) fn recorded(&self, rules: &[Rule]) {
        rules.iter().for_each(|rule| increment(&self.recorded, *rule));
    }

    pub(super) fn closed(&self, guard: &Guard) {
        self.prefixes_closed.set(f64::from(u32::try_from(guard.prefixes_closed()).unwrap_or(u32::MAX)));
    }

    /// A send was settled: what it cost, and what is left.
    pub(super) fn settled(&self, policy: &GuardPolicy, guard: &Guard, settlement: Settlement) {
        if settlement.cost.0 > 0 {
            counter!(names::SPEND_MICROS, "country" => Country::label(settlement.country)).increment(settlement.cost.0);
        }
        self.left(policy, guard, settlement.country);
    }

    /// What is left of the budgets of all and of a country.
    pub(super) fn left(&self, policy: &GuardPolicy, guard: &Guard, country: Option<Country>) {
        for scope in std::iter::once(Scope::All).chain(country.map(Scope::Country)) {
            let Some(budget) = policy.budget.of(scope) else { continue };
            let label = scope.country().map_or("all", |country| Country::label(Some(country)));
            let left = budget.minus(guard.standing(scope).committed()).0;
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge is a float; exact up to nine thousand million units"
            )]
            gauge!(names::BUDGET_LEFT_MICROS, "country" => label).set(left as f64);
        }
    }
}

fn increment(counters: &[Counter], rule: Rule) {
    let place = Rule::ALL.iter().position(|known| *known == rule);
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.increment(1);
    }
}
