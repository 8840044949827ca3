//! The guard: one question before a send, one answer after it, and one when its code was typed.
//!
//! ```text
//! ask ── refused ──> nothing is sent; the number stays marked
//!  └── allowed ──> Ticket ── settle(0) ──> it was not sent: money and count come back
//!                        └── settle(n) ──> n tries were billed
//! verified(number) ──> its counts come back, and it passes for a while
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    budget::{Budget, Scope, Standing},
    conversion::Conversion,
    country::Country,
    event::GuardEvent,
    kind::NumberKind,
    money::Micros,
    policy::{GuardPolicy, Mode, Rule},
    recent::Recent,
    runs::Runs,
    send_log::{Fate, SendLog},
    velocity::Velocity,
};
use crate::record::{CLOCK_BEHIND_MAX_MS, Label, Millis, PhoneNumber, UnixMillis};

/// A message that somebody wants sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// To whom.
    pub number: PhoneNumber,
    /// Her country, if its plan is known.
    pub country: Option<Country>,
    /// What kind of line it is.
    pub kind: NumberKind,
    /// By what.
    pub channel: Label,
    /// Parts that the text is billed as, at least 1.
    pub parts: u8,
    /// How often it may be tried, and billed, at most.
    pub tries_max: u8,
}

/// Names an ask, refused ones too; rises by one with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// The answer to an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be sent.
    Allowed {
        /// For [`Guard::settle`].
        ticket: Ticket,
        /// What was reserved: the price of every try.
        cost: Micros,
        /// The `record_only` rules that would have refused it.
        recorded: Vec<Rule>,
    },
    /// It must not be sent.
    Refused {
        /// As the journal names it.
        ticket: Ticket,
        /// By which rule.
        rule: Rule,
        /// When the rule may let it pass; `None`: not as long as the settings are what they are.
        retry_at: Option<UnixMillis>,
        /// The `record_only` rules that would have refused it as well.
        recorded: Vec<Rule>,
    },
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Tries that were billed. 0: certainly nothing was sent. A try with an unknown outcome counts as billed.
    pub billed_tries: u8,
}

/// What a settled send cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Whose.
    pub country: Option<Country>,
    /// What was billed.
    pub cost: Micros,
}

/// A send under way.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Open {
    day: u64,
    country: Option<Country>,
    /// Of one try.
    price: Micros,
    tries_max: u8,
    /// Its place in the log, if it has one.
    entry: Option<u64>,
}

/// All that the rules remember.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Guard {
    /// The latest time seen.
    latest: UnixMillis,
    next_ticket: u64,
    open: BTreeMap<u64, Open>,
    budget: Budget,
    log: SendLog,
    velocity: Velocity,
    runs: Runs,
    conversion: Conversion,
    verified: Recent,
    #[serde(skip)]
    events: Vec<GuardEvent>,
}

/// What the rules found.
#[derive(Default)]
struct Findings {
    refused: Option<(Rule, Option<UnixMillis>)>,
    recorded: Vec<Rule>,
}

impl Findings {
    fn note(&mut self, mode: Mode, rule: Rule, retry_at: Option<UnixMillis>) {
        match mode {
            Mode::Enforce => {
                self.refused.get_or_insert((rule, retry_at));
            }
            Mode::RecordOnly => self.recorded.push(rule),
            Mode::Off => {}
        }
    }
}

impl Guard {
    /// A guard that knows nothing yet.
    pub fn new(policy: &GuardPolicy) -> Self {
        let mut guard = Self::default();
        guard.fit(policy);
        guard
    }

    /// Takes up a state that was kept, perhaps under other figures: what was counted for others is counted anew.
    #[must_use]
    pub fn taken_up(mut self, policy: &GuardPolicy) -> Self {
        self.fit(policy);
        self
    }

    /// As after the end of a process: sends that were under way count as billed in full, because nobody will settle them.
    pub fn close_open(&mut self) {
        self.open.clear();
        self.budget.close_reservations();
    }

    /// May this message be sent?
    pub fn ask(&mut self, policy: &GuardPolicy, ask: &Ask, now: UnixMillis) -> Verdict {
        let now = self.advance(policy, now);
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.saturating_add(1);
        let mut found = Findings::default();
        destination(policy, ask, &mut found);
        if found.refused.is_none() {
            self.behaviour(policy, ask, now, &mut found);
        }
        let price = policy.prices.of(ask.number, ask.channel).times(u64::from(ask.parts));
        let cost = price.times(u64::from(ask.tries_max));
        if found.refused.is_none() && policy.budget.mode.looks() {
            let short = self.budget.short(&policy.budget, ask.country, cost, &mut self.events);
            if short.is_some() {
                found.note(policy.budget.mode, Rule::Budget, short);
            }
        }
        let Findings { refused, recorded } = found;
        if let Some((rule, retry_at)) = refused {
            return Verdict::Refused { ticket, rule, retry_at, recorded };
        }
        self.budget.reserve(ask.country, cost);
        let entry = self.enter(policy, ask.number, now, !recorded.is_empty());
        let open = Open { day: self.budget.day, country: ask.country, price, tries_max: ask.tries_max, entry };
        self.open.insert(ticket.0, open);
        while self.open.len() > policy.limits.open_max {
            if let Some((_, oldest)) = self.open.pop_first() {
                self.bill(policy, &oldest, oldest.tries_max);
            }
        }
        Verdict::Allowed { ticket, cost, recorded }
    }

    /// What became of a send; `None` if it was settled before.
    pub fn settle(
        &mut self,
        policy: &GuardPolicy,
        ticket: Ticket,
        settled: Settled,
        now: UnixMillis,
    ) -> Option<Settlement> {
        self.advance(policy, now);
        let open = self.open.remove(&ticket.0)?;
        if let Some(index) = open.entry.filter(|_| settled.billed_tries == 0) {
            self.give_back(index, Fate::Void);
        }
        Some(self.bill(policy, &open, settled.billed_tries))
    }

    /// A code to this number was typed, by whoever has it.
    pub fn verified(&mut self, policy: &GuardPolicy, number: PhoneNumber, now: UnixMillis) {
        let now = self.advance(policy, now);
        let number = number.as_u64();
        for index in self.log.unverified_of(number) {
            self.give_back(index, Fate::Verified);
        }
        self.runs.marks.take_out(number);
        if policy.velocity.mode.looks() || policy.runs.mode.looks() || policy.conversion.mode.looks() {
            self.verified.put(number, now, policy.limits.verified_max);
        }
    }

    /// What happened since the last call that somebody may want to act on.
    pub fn take_events(&mut self) -> Vec<GuardEvent> {
        std::mem::take(&mut self.events)
    }

    /// The day whose money is counted, in days since 1970.
    pub fn day(&self) -> u64 {
        self.budget.day
    }

    /// How a day's money stands.
    pub fn standing(&self, scope: Scope) -> Standing {
        self.budget.standing(scope)
    }

    /// All money of the day.
    pub fn standings(&self) -> impl Iterator<Item = (Scope, Standing)> {
        self.budget.standings()
    }

    /// Takes money of `day` for spent that this state may not know of: what a ledger says after a crash. Money of a day
    /// to come is today's: the clock was ahead.
    pub fn spent_at_least(&mut self, day: u64, spent: impl IntoIterator<Item = (Scope, Micros)>, now: UnixMillis) {
        self.budget.advance(now);
        if day >= self.budget.day {
            spent.into_iter().for_each(|(scope, spent)| self.budget.at_least(scope, spent));
        }
    }

    /// Prefixes that are closed or on trial.
    pub fn prefixes_closed(&self) -> usize {
        self.conversion.closed()
    }

    /// Sends, marks and verified numbers remembered, and sends under way: what the limits hold for.
    pub fn sizes(&self) -> [usize; 4] {
        [self.log.len(), self.runs.marks.len(), self.verified.len(), self.open.len()]
    }

    fn fit(&mut self, policy: &GuardPolicy) {
        self.velocity.fit(&policy.velocity, &self.log);
        self.conversion.fit(&policy.conversion, &self.log);
        if !policy.runs.mode.looks() {
            self.runs = Runs::default();
        }
    }

    /// Brings every rule to this time; the time that counts. A clock that jumps back revives nothing, and one that ran far
    /// ahead once does not freeze the rules: then the windows start again from now, and what is closed or spent stays so.
    fn advance(&mut self, policy: &GuardPolicy, now: UnixMillis) -> UnixMillis {
        if self.latest.since(now) > CLOCK_BEHIND_MAX_MS {
            self.budget.restart(now);
            self.conversion.restart(self.latest, now);
            self.runs.marks.restart(now);
            self.verified.restart(now);
            while self.log.len() > 0 {
                self.forget_oldest();
            }
            self.latest = now;
        }
        self.latest = self.latest.max(now);
        let now = self.latest;
        self.budget.advance(now);
        self.velocity.advance(&self.log, now);
        self.conversion.advance(&self.log, now);
        let kept_ms: Millis = policy.log_ms();
        while self.log.oldest().is_some_and(|entry| now.since(entry.at) >= kept_ms) {
            self.forget_oldest();
        }
        self.runs.marks.advance(policy.runs.window_ms, now);
        self.verified.advance(policy.verified_ms, now);
        now
    }

    /// The rules that look at what the number and its neighbours did.
    fn behaviour(&mut self, policy: &GuardPolicy, ask: &Ask, now: UnixMillis, found: &mut Findings) {
        let number = ask.number.as_u64();
        if self.verified.has(number, policy.verified_ms, now) {
            return;
        }
        if policy.runs.mode.looks() {
            self.runs.marks.put(number, now, policy.limits.marks_max);
        }
        let (velocity, runs, conversion) = (&policy.velocity, &policy.runs, &policy.conversion);
        if velocity.mode.looks()
            && let Some(retry_at) = self.velocity.full(velocity, number, now)
        {
            found.note(velocity.mode, Rule::Velocity, Some(retry_at));
        }
        if runs.mode.looks() && self.runs.too_long(runs, number, now) {
            found.note(runs.mode, Rule::Runs, Some(now.plus(runs.window_ms)));
        }
        if conversion.mode.looks() {
            let (place, closed_max) = ((self.log.next(), now), policy.limits.closed_max);
            let closed = self.conversion.closed_until(conversion, number, place, closed_max, &mut self.events);
            if closed.is_some() {
                found.note(conversion.mode, Rule::Conversion, closed);
            }
        }
    }

    /// Enters a send in the log, if any rule reads it and the number has not proved itself.
    fn enter(&mut self, policy: &GuardPolicy, number: PhoneNumber, now: UnixMillis, shadow: bool) -> Option<u64> {
        let number = number.as_u64();
        if policy.log_ms() == 0 || self.verified.has(number, policy.verified_ms, now) {
            return None;
        }
        let index = self.log.push(number, now, shadow);
        if let Some(entry) = self.log.get(index) {
            self.velocity.add(entry);
            self.conversion.add(entry);
        }
        while self.log.len() > policy.limits.sends_max {
            self.forget_oldest();
        }
        Some(index)
    }

    fn forget_oldest(&mut self) {
        self.velocity.forget_oldest(&self.log);
        self.conversion.forget_oldest(&self.log);
        self.log.pop();
    }

    fn give_back(&mut self, index: u64, fate: Fate) {
        let Some(before) = self.log.get(index).copied().filter(|entry| entry.fate == Fate::Unverified) else { return };
        self.velocity.give_back(index, &before);
        self.conversion.settle(index, &before, fate);
        self.log.settle(index, fate);
    }

    fn bill(&mut self, policy: &GuardPolicy, open: &Open, billed_tries: u8) -> Settlement {
        let tries = billed_tries.min(open.tries_max);
        let (reserved, cost) = (open.price.times(u64::from(open.tries_max)), open.price.times(u64::from(tries)));
        self.budget.settle(&policy.budget, (open.day, open.country), (reserved, cost), &mut self.events);
        Settlement { country: open.country, cost }
    }
}

/// The rules that look at the destination alone.
fn destination(policy: &GuardPolicy, ask: &Ask, found: &mut Findings) {
    let allowed = &policy.countries.allowed;
    if !allowed.is_empty() && !ask.country.is_some_and(|country| allowed.contains(&country)) {
        found.note(policy.countries.mode, Rule::Countries, None);
    }
    if policy.number_types.blocked.contains(&ask.kind) {
        found.note(policy.number_types.mode, Rule::NumberTypes, None);
    }
}
