//! What the server has acknowledged, kept outside it, and asked for again after a kill.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::{
    connection::Asked, dice::Dice, invariant::Rule, measure::Came, run::Run, sessions::Session, worker::Worker,
};

/// Facts of one kind that are kept; of more an even sample.
const FACTS_MAX: usize = 200_000;
/// Connections that facts are asked for by.
const CONNECTIONS: usize = 32;
/// How much sooner than its end a code or token is taken as gone.
const LIFE_SLACK: Duration = Duration::from_secs(15);

/// Something that was acknowledged.
#[derive(Debug, Clone)]
pub(super) enum Fact {
    /// A session: its access token is good, and its refresh token is the newest.
    Session(Session),
    /// A verification that nobody has checked yet.
    Open(Verification),
    /// One whose code was used.
    Used(Verification),
}

/// A verification and its code.
#[derive(Debug, Clone)]
pub(super) struct Verification {
    id: Box<str>,
    code: Box<str>,
    acknowledged: Instant,
}

impl Fact {
    pub(super) fn open(id: Box<str>, code: Box<str>) -> Self {
        Self::Open(Verification { id, code, acknowledged: Instant::now() })
    }

    pub(super) fn used(id: Box<str>, code: Box<str>) -> Self {
        Self::Used(Verification { id, code, acknowledged: Instant::now() })
    }

    fn acknowledged(&self) -> Instant {
        match self {
            Self::Session(session) => session.acknowledged,
            Self::Open(of) | Self::Used(of) => of.acknowledged,
        }
    }
}

/// All facts of a run, if it has kills.
#[derive(Debug)]
pub(super) struct Ledger {
    is_kept: bool,
    facts: Mutex<Facts>,
}

#[derive(Debug)]
struct Facts {
    dice: Dice,
    sessions: Sample,
    open: Sample,
    used: Sample,
}

/// An even sample (reservoir) of what was put in.
#[derive(Debug, Default)]
struct Sample {
    kept: Vec<Fact>,
    seen: u64,
}

impl Sample {
    fn put(&mut self, fact: Fact, dice: &mut Dice) {
        self.seen += 1;
        if self.kept.len() < FACTS_MAX {
            self.kept.push(fact);
        } else if let Some(place) = usize::try_from(dice.below(self.seen)).ok().and_then(|at| self.kept.get_mut(at)) {
            *place = fact;
        }
    }
}

impl Ledger {
    pub(super) fn new(is_kept: bool, seed: u64) -> Self {
        let dice = Dice::new(seed, 0x1ED6E5);
        let facts = Facts { dice, sessions: Sample::default(), open: Sample::default(), used: Sample::default() };
        Self { is_kept, facts: Mutex::new(facts) }
    }

    /// Whether anybody will ask.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, fact: Fact) {
        let mut facts = self.facts();
        let Facts { dice, sessions, open, used } = &mut *facts;
        let sample = match &fact {
            Fact::Session(_) => sessions,
            Fact::Open(_) => open,
            Fact::Used(_) => used,
        };
        sample.put(fact, dice);
    }

    /// Asks for everything that was acknowledged before the last kill and has not run out since.
    pub(super) async fn prove(&self, run: &Arc<Run>, killed: Instant) {
        let facts: Vec<Fact> = {
            let mut facts = self.facts();
            let Facts { sessions, open, used, .. } = &mut *facts;
            let all = [sessions, open, used].into_iter().flat_map(|sample| std::mem::take(&mut sample.kept));
            all.filter(|fact| fact.acknowledged() < killed).collect()
        };
        let (facts, next) = (Arc::new(facts), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for nth in 0..CONNECTIONS.min(facts.len()) {
            let mut worker = Worker::new(Arc::clone(run), nth);
            let (facts, next) = (Arc::clone(&facts), Arc::clone(&next));
            tasks.spawn(async move {
                while let Some(fact) = facts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    worker.prove(fact).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Worker {
    async fn prove(&mut self, fact: &Fact) {
        let figures = self.run.plan.figures;
        let lives = |life: Duration| fact.acknowledged().elapsed() + LIFE_SLACK < life;
        match fact {
            Fact::Session(session) => {
                let access = self.speech.me(&session.access);
                let access = if lives(figures.access_life) { self.puts(access, &[200]).await } else { Some(true) };
                let refreshed = self.puts(self.speech.refresh(&session.refresh), &[200]).await;
                self.found(Rule::SessionKept, access.zip(refreshed).map(|(access, refreshed)| access && refreshed));
            }
            Fact::Open(of) if lives(figures.code_life) => {
                let kept = self.puts(self.speech.check(&of.id, &of.code), &[200]).await;
                self.found(Rule::VerificationKept, kept);
            }
            Fact::Open(_) => {}
            Fact::Used(of) => {
                let refused = self.puts(self.speech.check(&of.id, &of.code), &[400, 404, 409, 410, 429]).await;
                self.found(Rule::UsedStaysUsed, refused);
            }
        }
    }

    /// Whether the answer is one of these; `None`: there was no room for the question, or no answer.
    async fn puts(&mut self, request: Asked, expected: &[u16]) -> Option<bool> {
        match self.inquire(request).await {
            Came::Status(status) if expected.contains(&status) => Some(true),
            Came::Status(429 | 503) => None,
            Came::Status(_) => Some(false),
            Came::Broken | Came::Killed | Came::NeverBegun => {
                self.run.unexpected("asking after a kill: no answer".to_owned());
                None
            }
        }
    }

    fn found(&self, rule: Rule, holds: Option<bool>) {
        if let Some(holds) = holds {
            self.run.invariants.hold(rule, holds);
        }
    }
}
