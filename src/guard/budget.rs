//! Money of a UTC day: reserved before a send, settled after it, so that a budget holds with any number of sends under way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{country::Country, event::GuardEvent, money::Micros, policy::BudgetRule};
use crate::record::{DAY, UnixMillis};

/// The share of a budget at which operators are told, in percent.
const THRESHOLD_PERCENT: u8 = 80;

/// Whose money: all countries' together, or one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Every message.
    All,
    /// Those to one country.
    Country(Country),
}

impl Scope {
    /// The country; `None` for all.
    pub fn country(self) -> Option<Country> {
        match self {
            Self::All => None,
            Self::Country(country) => Some(country),
        }
    }
}

/// How a day's money stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Billed.
    pub spent: Micros,
    /// Reserved for sends under way.
    pub reserved: Micros,
    told_threshold: bool,
    told_exhausted: bool,
}

impl Standing {
    /// What must not exceed the budget.
    pub fn committed(&self) -> Micros {
        self.spent.plus(self.reserved)
    }
}

/// The day and its money. One entry per country: at most 26 × 26.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Budget {
    /// Days since 1970.
    pub(super) day: u64,
    standings: BTreeMap<Scope, Standing>,
}

fn scopes(country: Option<Country>) -> impl Iterator<Item = Scope> {
    std::iter::once(Scope::All).chain(country.map(Scope::Country))
}

impl BudgetRule {
    /// The budget of a scope, if it has one.
    pub fn of(&self, scope: Scope) -> Option<Micros> {
        match scope {
            Scope::All => self.per_day,
            Scope::Country(country) => self.by_country.get(&country).copied(),
        }
    }
}

impl Budget {
    /// Begins the day of this time if it is a later one.
    pub(super) fn advance(&mut self, now: UnixMillis) {
        let day = now.0 / DAY;
        if day > self.day {
            *self = Self { day, standings: BTreeMap::new() };
        }
    }

    /// The clock was wrong before: what was spent stays spent, on the day that it is.
    pub(super) fn restart(&mut self, now: UnixMillis) {
        self.day = now.0 / DAY;
    }

    /// How a scope stands today.
    pub(super) fn standing(&self, scope: Scope) -> Standing {
        self.standings.get(&scope).copied().unwrap_or_default()
    }

    /// All that was spent or reserved today.
    pub(super) fn standings(&self) -> impl Iterator<Item = (Scope, Standing)> {
        self.standings.iter().map(|(scope, standing)| (*scope, *standing))
    }

    /// When the money does not reach for `cost`: when the next day begins.
    pub(super) fn short(
        &mut self,
        rule: &BudgetRule,
        country: Option<Country>,
        cost: Micros,
        events: &mut Vec<GuardEvent>,
    ) -> Option<UnixMillis> {
        let mut until = None;
        for scope in scopes(country) {
            let Some(budget) = rule.of(scope) else { continue };
            if cost == Micros(0) || self.standing(scope).committed().plus(cost) <= budget {
                continue;
            }
            let next_day = UnixMillis(self.day.saturating_add(1).saturating_mul(DAY));
            until = Some(next_day);
            let standing = self.standings.entry(scope).or_default();
            if !standing.told_exhausted {
                standing.told_exhausted = true;
                let (country, spent) = (scope.country(), standing.committed());
                events.push(GuardEvent::BudgetExhausted { country, spent, budget, until: next_day });
            }
        }
        until
    }

    /// Sets `cost` aside.
    pub(super) fn reserve(&mut self, country: Option<Country>, cost: Micros) {
        for scope in scopes(country).filter(|_| cost > Micros(0)) {
            let standing = self.standings.entry(scope).or_default();
            standing.reserved = standing.reserved.plus(cost);
        }
    }

    /// Turns what was set aside on `day` into what was billed. Of another day than today nothing is left to correct.
    pub(super) fn settle(
        &mut self,
        rule: &BudgetRule,
        (day, country): (u64, Option<Country>),
        (reserved, billed): (Micros, Micros),
        events: &mut Vec<GuardEvent>,
    ) {
        if day != self.day || reserved == Micros(0) {
            return;
        }
        for scope in scopes(country) {
            let standing = self.standings.entry(scope).or_default();
            standing.reserved = standing.reserved.minus(reserved);
            standing.spent = standing.spent.plus(billed);
            let Some(budget) = rule.of(scope) else { continue };
            let reaches = |percent: u8| standing.spent.reaches(u64::from(percent), budget);
            let (spent, country) = (standing.spent, scope.country());
            let (threshold, whole) = (reaches(THRESHOLD_PERCENT), reaches(100));
            if threshold && !std::mem::replace(&mut standing.told_threshold, true) {
                events.push(GuardEvent::BudgetThreshold { country, percent: THRESHOLD_PERCENT, spent, budget });
            }
            if whole && !std::mem::replace(&mut standing.told_exhausted, true) {
                let until = UnixMillis(self.day.saturating_add(1).saturating_mul(DAY));
                events.push(GuardEvent::BudgetExhausted { country, spent, budget, until });
            }
        }
    }

    /// Takes for spent what was promised on this day, as far as less is known: by a ledger that survived a crash.
    pub(super) fn at_least(&mut self, scope: Scope, spent: Micros) {
        let standing = self.standings.entry(scope).or_default();
        standing.spent = standing.spent.max(spent.minus(standing.reserved));
    }

    /// What was reserved by a process that is gone counts as spent.
    pub(super) fn close_reservations(&mut self) {
        for standing in self.standings.values_mut() {
            standing.spent = standing.committed();
            standing.reserved = Micros(0);
        }
    }
}
