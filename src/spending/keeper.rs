//! The keeper: asks the guard under one lock, and does what the guard must not know of.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Ledger, LedgerFault, Reservation, meters::Meters, state_file};
use crate::{
    clock::Clock,
    entropy::Entropy,
    guard::{
        Ask, Country, Guard, GuardEvent, GuardPolicy, Micros, Mode, Rule, Scope, Settled, Ticket, Verdict, snapshot,
    },
    journal::{AskedLine, Journal, Line, StateLine, Stated, state_digest},
    record::{Keyring, PhoneNumber, UnixMillis},
};

/// A block of a budget that is leased at once, in percent of it.
const LEASE_PERCENT: u64 = 1;

/// Told of what the guard noticed, one after the other, outside the lock. Must not block.
pub type OnEvent = Box<dyn Fn(GuardEvent) + Send + Sync>;

/// Where things are, and how often they are written.
#[derive(Debug, Clone)]
pub struct KeeperSettings {
    /// `spend.ledger`.
    pub ledger: PathBuf,
    /// `guard.state`.
    pub state: PathBuf,
    /// Between two writings of the state.
    pub state_every: Duration,
    /// Messages really leave the machine; told in the journal, because `auto` means it.
    pub sends: bool,
}

/// What a keeper works with.
pub struct KeeperParts {
    /// The figures.
    pub policy: GuardPolicy,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes sealed numbers of one person look different.
    pub entropy: Arc<dyn Entropy>,
    /// Seals numbers.
    pub keys: Arc<Keyring>,
    /// `None`: nothing is written down.
    pub journal: Option<Journal>,
    /// Who wants to know.
    pub on_event: OnEvent,
}

/// Who asks, for the journal.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The API's name.
    pub dialect: &'a str,
    /// The client.
    pub address: IpAddr,
}

/// Why a message must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The country or kind of number gets none, as the settings are.
    NotPermitted(Rule),
    /// Too many messages to numbers like this were asked for and not used.
    Closed {
        /// Which rule found it.
        rule: Rule,
        /// When it may be open again.
        retry_at: UnixMillis,
    },
    /// The day's money is spent.
    BudgetSpent {
        /// When the next day begins.
        retry_at: UnixMillis,
    },
    /// The ledger cannot be written, so nothing may be spent.
    LedgerFailed,
}

/// The keeper. Clones are one and the same.
#[derive(Clone)]
pub struct Keeper {
    inner: Arc<Inner>,
}

struct Inner {
    parts: KeeperParts,
    settings: KeeperSettings,
    policy_digest: String,
    /// No rule could say no and nothing is written down.
    is_idle: bool,
    core: Mutex<Core>,
    ledger: Arc<tokio::sync::Mutex<Ledger>>,
    meters: Meters,
}

struct Core {
    guard: Guard,
    /// What is leased on the ledger's day, and known to be durable.
    leased: (u64, BTreeMap<Scope, Micros>),
    is_changed: bool,
    is_closed: bool,
}

impl Keeper {
    /// Takes up what was kept. Metrics are bound now: install the recorder first.
    ///
    /// # Errors
    /// The ledger cannot be read. A state that cannot be read is told, and the rules begin anew: budgets stand in the ledger.
    pub fn open(parts: KeeperParts, settings: KeeperSettings) -> Result<Self, LedgerFault> {
        let ledger = Ledger::open(settings.ledger.clone())?;
        let now = parts.clock.now();
        let mut guard = kept(&settings).unwrap_or_default();
        guard.close_open();
        let mut guard = guard.taken_up(&parts.policy);
        let (day, leased) = ledger.leased();
        guard.spent_at_least(day, leased.clone(), now);
        let is_idle = parts.policy.is_idle() && parts.journal.is_none();
        let core = Core { guard, leased: (day, leased), is_changed: false, is_closed: false };
        let inner = Inner {
            policy_digest: state_digest(&parts.policy),
            is_idle,
            meters: Meters::new(),
            ledger: Arc::new(tokio::sync::Mutex::new(ledger)),
            core: Mutex::new(core),
            parts,
            settings,
        };
        let keeper = Self { inner: Arc::new(inner) };
        keeper.tell_state(&keeper.core(), now, true);
        for country in std::iter::once(None).chain(keeper.policy().budget.by_country.keys().copied().map(Some)) {
            keeper.inner.meters.left(keeper.policy(), &keeper.core().guard, country);
        }
        Ok(keeper)
    }

    /// The figures.
    pub fn policy(&self) -> &GuardPolicy {
        &self.inner.parts.policy
    }

    /// True if nobody needs to ask: then a destination need not be looked up either.
    pub fn is_idle(&self) -> bool {
        self.inner.is_idle
    }

    /// May this message be sent? Sets its money aside, durably.
    ///
    /// # Errors
    /// It must not be sent.
    pub async fn reserve(&self, ask: &Ask, from: Asker<'_>) -> Result<Reservation, Refusal> {
        if self.inner.is_idle {
            return Ok(Reservation::free());
        }
        let (reservation, lease) = self.ask(ask, from)?;
        if let Some((day, wants)) = lease
            && let Err(error) = self.lease(day, wants).await
        {
            self.inner.meters.ledger_failures.increment(1);
            tracing::error!(%error, "nothing can be spent");
            // The reservation is dropped, and gives its money back.
            return Err(Refusal::LedgerFailed);
        }
        Ok(reservation)
    }

    /// A code to this number was typed.
    pub fn verified(&self, number: PhoneNumber) {
        if self.inner.is_idle {
            return;
        }
        let (core, now) = (&mut *self.core(), self.now());
        core.guard.verified(self.policy(), number, now);
        core.is_changed = true;
        self.write_down(core, now, || {
            let sealed = self.seal(number);
            Line::Verified { at: now, number: sealed, masked: number.masked() }
        });
    }

    /// Writes the state every so often until `stop`; spawn it beside the server.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.inner.settings.state_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let keeper = self.clone();
            let saved = tokio::task::spawn_blocking(move || keeper.save()).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(kind = %error.kind(), "guard.state cannot be written");
            }
        }
    }

    /// The last words: state, exact ledger, journal. Call it when no send is under way; later asks are refused.
    pub async fn close(&self) {
        self.core().is_closed = true;
        let ledger = Arc::clone(&self.inner.ledger).lock_owned().await;
        let keeper = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let mut ledger = ledger;
            keeper.last_words(&mut ledger);
        });
        if closed.await.is_err() {
            tracing::error!("the guard's state could not be kept");
        }
    }

    pub(super) fn settle(&self, ticket: Ticket, billed_tries: u8) {
        let events = {
            let (core, now) = (&mut *self.core(), self.now());
            let settlement = core.guard.settle(self.policy(), ticket, Settled { billed_tries }, now);
            let Some(settlement) = settlement else { return };
            core.is_changed = true;
            self.inner.meters.settled(self.policy(), &core.guard, settlement);
            let cost = settlement.cost.0;
            self.write_down(core, now, || Line::Settled { at: now, ticket, billed_tries, cost });
            core.guard.take_events()
        };
        self.tell(events);
    }

    /// The guard's answer, written down; with what must be leased before it holds.
    fn ask(&self, ask: &Ask, from: Asker<'_>) -> Result<(Reservation, Option<Wanted>), Refusal> {
        let (answer, events) = {
            let (core, now) = (&mut *self.core(), self.now());
            if core.is_closed {
                return Err(Refusal::LedgerFailed);
            }
            let verdict = core.guard.ask(self.policy(), ask, now);
            core.is_changed = true;
            self.write_down(core, now, || Line::Asked(Box::new(self.asked(ask, from, &verdict, now))));
            self.inner.meters.closed(&core.guard);
            (self.answer(core, ask, verdict), core.guard.take_events())
        };
        self.tell(events);
        answer
    }

    fn answer(&self, core: &Core, ask: &Ask, verdict: Verdict) -> Result<(Reservation, Option<Wanted>), Refusal> {
        match verdict {
            Verdict::Allowed { ticket, cost, recorded } => {
                self.inner.meters.recorded(&recorded);
                let wanted = self.wanted(core, ask.country, cost);
                Ok((Reservation::new(self.clone(), ticket, cost, ask.tries_max), wanted))
            }
            Verdict::Refused { rule, retry_at, recorded, .. } => {
                self.inner.meters.recorded(&recorded);
                self.inner.meters.refused(rule);
                Err(match (rule, retry_at) {
                    (Rule::Budget, Some(retry_at)) => Refusal::BudgetSpent { retry_at },
                    (Rule::Velocity | Rule::Runs | Rule::Conversion, Some(retry_at)) => {
                        Refusal::Closed { rule, retry_at }
                    }
                    (rule, _) => Refusal::NotPermitted(rule),
                })
            }
        }
    }

    /// The leases that are missing for what is committed now. On a day without a ledger those of all budgets.
    fn wanted(&self, core: &Core, country: Option<Country>, cost: Micros) -> Option<Wanted> {
        let (rule, day) = (&self.policy().budget, core.guard.day());
        if rule.mode != Mode::Enforce || cost == Micros(0) {
            return None;
        }
        let is_new_day = core.leased.0 != day;
        let touched = |scope: Scope| is_new_day || scope == Scope::All || scope.country() == country;
        let missing = core.guard.standings().filter(|(scope, _)| touched(*scope)).filter_map(|(scope, standing)| {
            let (budget, committed) = (rule.of(scope)?, standing.committed());
            let leased = if is_new_day { None } else { core.leased.1.get(&scope).copied() };
            let block = Micros(budget.0 / 100 * LEASE_PERCENT).max(cost);
            (committed > leased.unwrap_or_default()).then(|| (scope, committed, committed.plus(block).min(budget)))
        });
        let wants: Vec<_> = missing.collect();
        (!wants.is_empty()).then_some((day, wants))
    }

    /// Makes leases durable. Who waits behind another's writing is often covered by it.
    pub(super) async fn lease(&self, day: u64, wants: Vec<(Scope, Micros, Micros)>) -> Result<(), LedgerFault> {
        let ledger = Arc::clone(&self.inner.ledger).lock_owned().await;
        let needed: Vec<_> = wants.iter().map(|(scope, needed, _)| (*scope, *needed)).collect();
        let blocks: Vec<_> = wants.iter().map(|(scope, _, block)| (*scope, *block)).collect();
        let keeper = self.clone();
        // Once begun it is finished, whoever stops waiting.
        let raised = tokio::task::spawn_blocking(move || {
            let mut ledger = ledger;
            // A day that has ended meanwhile needs no lease, and must not take the place of the new one's.
            if keeper.core().guard.day() == day && !ledger.covers(day, &needed) {
                ledger.raise(day, &blocks)?;
            }
            keeper.core().leased = ledger.leased();
            Ok(())
        });
        raised.await.unwrap_or_else(|_| Err(LedgerFault::Io(io::ErrorKind::Other.into())))
    }

    /// Writes `guard.state` if anything has changed.
    fn save(&self) -> io::Result<()> {
        let bytes = {
            let core = &mut *self.core();
            if !std::mem::take(&mut core.is_changed) {
                return Ok(());
            }
            snapshot::encode(&core.guard)
        };
        let written = state_file::replace(&self.inner.settings.state, &bytes);
        if written.is_err() {
            self.core().is_changed = true;
        }
        written
    }

    fn last_words(&self, ledger: &mut Ledger) {
        if let Err(error) = self.save() {
            tracing::error!(kind = %error.kind(), "guard.state cannot be written");
        }
        let (day, spent) = {
            let guard = &self.core().guard;
            let budgets = guard.standings().filter(|(scope, _)| self.policy().budget.of(*scope).is_some());
            let spent: BTreeMap<_, _> = budgets.map(|(scope, standing)| (scope, standing.committed())).collect();
            (guard.day(), spent)
        };
        let is_new = !spent.is_empty() && ledger.leased() != (day, spent.clone());
        if is_new && let Err(error) = ledger.set(day, spent) {
            tracing::error!(%error, "the next start counts more as spent than was");
        }
        if let Some(journal) = &self.inner.parts.journal {
            journal.close();
        }
    }

    fn asked(&self, ask: &Ask, from: Asker<'_>, verdict: &Verdict, now: UnixMillis) -> AskedLine {
        let (ticket, rule, recorded, cost) = match verdict {
            Verdict::Allowed { ticket, cost, recorded } => (*ticket, None, recorded, cost.0),
            Verdict::Refused { ticket, rule, recorded, .. } => (*ticket, Some(*rule), recorded, 0),
        };
        AskedLine {
            at: now,
            ticket,
            request: from.request_id.to_owned(),
            dialect: from.dialect.to_owned(),
            channel: ask.channel,
            country: ask.country,
            kind: ask.kind,
            parts: ask.parts,
            tries_max: ask.tries_max,
            number: self.seal(ask.number),
            masked: ask.number.masked(),
            ip: from.address,
            rule,
            recorded: recorded.clone(),
            cost,
        }
    }

    fn seal(&self, number: PhoneNumber) -> String {
        Line::seal(&self.inner.parts.keys, number, self.inner.parts.entropy.draw())
    }

    /// Into the journal, in the order of decisions: the caller holds the lock.
    fn write_down(&self, core: &Core, now: UnixMillis, line: impl FnOnce() -> Line) {
        let Some(journal) = &self.inner.parts.journal else { return };
        journal.append(line());
        if journal.wants_state(now) {
            self.tell_state(core, now, false);
        }
    }

    fn tell_state(&self, core: &Core, now: UnixMillis, start: bool) {
        let Some(journal) = &self.inner.parts.journal else { return };
        let (policy, sends) = (self.inner.policy_digest.clone(), self.inner.settings.sends);
        let line = StateLine { at: now, file: String::new(), sha256: String::new(), policy, sends, start };
        journal.append_state(Stated { line, bytes: snapshot::encode(&core.guard) });
    }

    fn tell(&self, events: Vec<GuardEvent>) {
        for event in events {
            tracing::info!(target: "audit", event = event.name(), detail = ?event);
            (self.inner.parts.on_event)(event);
        }
    }

    fn now(&self) -> UnixMillis {
        self.inner.parts.clock.now()
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock leaves counts that are at worst a little off, and money set aside.
        self.inner.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The day, and per budget what must be leased at least, and what should be.
type Wanted = (u64, Vec<(Scope, Micros, Micros)>);

/// The state that was kept; none if there is none that can be read.
fn kept(settings: &KeeperSettings) -> Option<Guard> {
    match state_file::read(&settings.state) {
        Ok(None) => None,
        Ok(Some(bytes)) => snapshot::decode(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "guard.state: the rules begin anew"))
            .ok(),
        Err(error) => {
            tracing::warn!(kind = %error.kind(), "guard.state cannot be read: the rules begin anew");
            None
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("idle", &self.inner.is_idle).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeeperParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeeperParts").field("policy", &self.policy).finish_non_exhaustive()
    }
}
