//! Feeds a journal through the guard under other figures, and compares.
//!
//! The same questions in the same order at the same times. Under the figures that were live every answer must come out
//! as it did; under others the answers differ, and what follows from them is taken as it was: a message that was sent
//! and would have been refused is never verified, one that was refused and would have been sent is billed once and
//! never verified, because nobody knows better.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{AskedLine, Line, StateLine, state_digest};
use crate::{
    guard::{Ask, Country, Guard, GuardPolicy, Micros, Rule, Settled, Ticket, Verdict},
    record::{HOUR, Keyring, PhoneNumber, UnixMillis},
};

/// An ask belongs to a sign-in that follows within this time: the longest life of a code is an hour.
const SIGN_IN_MS: u64 = HOUR;

/// Reads the state that a line names; `None` if it is gone or another one.
pub type States<'a> = &'a dyn Fn(&StateLine) -> Option<Guard>;

/// What a rule would do, for one country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// Messages it refuses.
    pub refused: u64,
    /// Messages it would refuse if it did not only record.
    pub recorded: u64,
    /// How many of the refused were sent and then verified: real people.
    pub real_people: u64,
    /// What those refused had cost.
    pub saved: Micros,
}

/// The first answer that should be the same and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where it stands, as the caller names lines.
    pub place: String,
    /// Who refused then; `None`: allowed.
    pub live: (Option<Rule>, Vec<Rule>),
    /// Who refuses now.
    pub now: (Option<Rule>, Vec<Rule>),
}

/// What a replay came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Messages asked for.
    pub asked: u64,
    /// Refused then.
    pub live_refused: u64,
    /// Refused now.
    pub refused: u64,
    /// Refused then, allowed now.
    pub only_live_refused: u64,
    /// Allowed then, refused now.
    pub newly_refused: u64,
    /// What was billed then.
    pub live_spent: Micros,
    /// What the newly refused had cost.
    pub saved: Micros,
    /// Newly refused that were verified then.
    pub real_people: u64,
    /// By rule and country.
    pub hits: BTreeMap<(Rule, Option<Country>), Hits>,
    /// Answers given under these very figures.
    pub same_policy: u64,
    /// The first of them that comes out otherwise.
    pub difference: Option<Difference>,
    /// Lines that are missing in the journal.
    pub missing: u64,
    /// Lines before the first state: nothing can be said of them.
    pub skipped: u64,
    /// States that are gone: from there on the replay goes on with its own.
    pub states_missing: u64,
    /// Numbers that no key opens.
    pub sealed: u64,
}

/// One ask, until it is settled and nobody can verify it any more.
struct Past {
    at: UnixMillis,
    /// What our guard calls it: after a restart that forgot some, the live one counts otherwise.
    ours: Ticket,
    number: PhoneNumber,
    country: Option<Country>,
    live_allowed: bool,
    /// Who refuses it now.
    refused_by: Option<Rule>,
    verified: bool,
}

/// A replay under way.
pub struct Replay<'a> {
    policy: &'a GuardPolicy,
    digest: String,
    keys: &'a Keyring,
    states: States<'a>,
    guard: Option<Guard>,
    /// The live figures of the lines that come are ours, and the state is the live one.
    is_same: bool,
    /// By the live ticket, of the present process.
    past: BTreeMap<Ticket, Past>,
    by_number: BTreeMap<PhoneNumber, BTreeSet<Ticket>>,
    report: Report,
}

impl<'a> Replay<'a> {
    /// A replay under these figures.
    pub fn new(policy: &'a GuardPolicy, keys: &'a Keyring, states: States<'a>) -> Self {
        let (past, by_number) = (BTreeMap::new(), BTreeMap::new());
        let digest = state_digest(policy);
        Self { policy, digest, keys, states, guard: None, is_same: false, past, by_number, report: Report::default() }
    }

    /// Takes the next line; `place` names it if its answer differs.
    pub fn take(&mut self, line: &Line, place: &dyn Fn() -> String) {
        match line {
            Line::State(line) => self.state(line),
            Line::Gap { lines, .. } => {
                self.report.missing += lines;
                // Until the state that follows.
                self.is_same = false;
            }
            Line::Asked(line) => match (self.guard.take(), Line::open(self.keys, &line.number)) {
                (Some(mut guard), Some(number)) => {
                    self.asked(&mut guard, line, number, place);
                    self.guard = Some(guard);
                }
                (guard, number) => {
                    self.guard = guard;
                    self.cannot(number);
                }
            },
            Line::Settled { at, ticket, billed_tries, cost } => {
                self.settled(*at, *ticket, *billed_tries, Micros(*cost))
            }
            Line::Verified { at, number, .. } => match Line::open(self.keys, number) {
                Some(number) if self.guard.is_some() => self.verified(*at, number),
                number => self.cannot(number),
            },
        }
    }

    /// What it came to.
    pub fn finish(self) -> Report {
        self.report
    }

    /// A line of which nothing can be said.
    fn cannot(&mut self, number: Option<PhoneNumber>) {
        self.report.skipped += u64::from(number.is_some());
        self.report.sealed += u64::from(number.is_none());
        self.is_same &= number.is_some();
    }

    /// Under the live figures the live state is taken up, which is what makes the replay exact; under others our own
    /// goes on, or every restart would bring back what the live figures let happen.
    fn state(&mut self, line: &StateLine) {
        let is_ours = line.policy == self.digest;
        if line.start {
            self.past.clear();
            self.by_number.clear();
        }
        if is_ours && self.is_same && !line.start {
            return;
        }
        if is_ours || self.guard.is_none() {
            let state = (self.states)(line);
            self.report.states_missing += u64::from(state.is_none());
            self.is_same = is_ours && state.is_some();
            match (state, &self.guard) {
                (Some(state), _) => self.guard = Some(state.taken_up(self.policy)),
                (None, Some(_)) => {}
                (None, None) => self.guard = Some(Guard::new(self.policy)),
            }
        } else {
            self.is_same = false;
            if let Some(guard) = self.guard.as_mut().filter(|_| line.start) {
                guard.close_open();
            }
        }
    }

    fn asked(&mut self, guard: &mut Guard, line: &AskedLine, number: PhoneNumber, place: &dyn Fn() -> String) {
        let AskedLine { at, country, kind, channel, parts, tries_max, .. } = *line;
        let verdict = guard.ask(self.policy, &Ask { number, country, kind, channel, parts, tries_max }, at);
        let (ticket, refused_by, recorded) = match verdict {
            Verdict::Allowed { ticket, recorded, .. } => (ticket, None, recorded),
            Verdict::Refused { ticket, rule, recorded, .. } => (ticket, Some(rule), recorded),
        };
        let report = &mut self.report;
        report.asked += 1;
        report.live_refused += u64::from(line.rule.is_some());
        report.refused += u64::from(refused_by.is_some());
        report.only_live_refused += u64::from(line.rule.is_some() && refused_by.is_none());
        report.newly_refused += u64::from(line.rule.is_none() && refused_by.is_some());
        if let Some(rule) = refused_by {
            report.hits.entry((rule, country)).or_default().refused += 1;
        }
        for rule in &recorded {
            report.hits.entry((*rule, country)).or_default().recorded += 1;
        }
        if self.is_same {
            report.same_policy += 1;
            let (live, now) = ((line.rule, line.recorded.clone()), (refused_by, recorded));
            // Tickets rise in step unless lines are missing.
            if report.difference.is_none() && (live != now || ticket != line.ticket) {
                report.difference = Some(Difference { place: place(), live, now });
            }
        }
        let live_allowed = line.rule.is_none();
        if !live_allowed && refused_by.is_none() {
            guard.settle(self.policy, ticket, Settled { billed_tries: 1 }, at);
        }
        let past = Past { at, ours: ticket, number, country, live_allowed, refused_by, verified: false };
        self.remember(line.ticket, past);
    }

    fn remember(&mut self, live: Ticket, past: Past) {
        self.by_number.entry(past.number).or_default().insert(live);
        let now = past.at;
        self.past.insert(live, past);
        // By age, which is the order of tickets.
        while let Some(oldest) = self.past.first_entry().filter(|oldest| now.since(oldest.get().at) > SIGN_IN_MS) {
            let (ticket, old) = oldest.remove_entry();
            if let Some(tickets) = self.by_number.get_mut(&old.number) {
                tickets.remove(&ticket);
                if tickets.is_empty() {
                    self.by_number.remove(&old.number);
                }
            }
        }
    }

    fn settled(&mut self, at: UnixMillis, ticket: Ticket, billed_tries: u8, cost: Micros) {
        self.report.live_spent = self.report.live_spent.plus(cost);
        let ours = match self.past.get(&ticket) {
            Some(Past { refused_by: Some(rule), country, .. }) => {
                let hits = self.report.hits.entry((*rule, *country)).or_default();
                hits.saved = hits.saved.plus(cost);
                self.report.saved = self.report.saved.plus(cost);
                return;
            }
            Some(past) => past.ours,
            // Asked for before the journal begins.
            None if self.is_same => ticket,
            None => return,
        };
        if let Some(guard) = &mut self.guard {
            guard.settle(self.policy, ours, Settled { billed_tries }, at);
        }
    }

    fn verified(&mut self, at: UnixMillis, number: PhoneNumber) {
        let tickets = self.by_number.get(&number).cloned().unwrap_or_default();
        let (mut sent, mut still_sent) = (0_u32, 0_u32);
        for ticket in tickets {
            let Some(past) = self.past.get_mut(&ticket).filter(|past| past.live_allowed && !past.verified) else {
                continue;
            };
            past.verified = true;
            sent += 1;
            match past.refused_by {
                None => still_sent += 1,
                Some(rule) => {
                    self.report.hits.entry((rule, past.country)).or_default().real_people += 1;
                    self.report.real_people += 1;
                }
            }
        }
        // Nobody types a code that she was not sent.
        if (sent == 0 || still_sent > 0)
            && let Some(guard) = &mut self.guard
        {
            guard.verified(self.policy, number, at);
        }
    }
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("report", &self.report).finish_non_exhaustive()
    }
}
