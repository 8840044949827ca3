//! What all workers of a run share, and the run itself: prepare, drive, prove, report.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    CONNECTIONS_MAX, COUNT_MAX, DURATION_MAX, KillAt, LoadError, OnSecond, OwnServer, Pace, Plan, RATE_MAX,
    SESSIONS_MAX, Scenario, Second, Speaks, Stage,
    dice::Dice,
    gate::Gate,
    hot::Hot,
    invariant::{Invariants, Rule},
    ledger::{Fact, Ledger},
    measure::{Came, Kind, Measure},
    pace::Schedule,
    process::Sample,
    report::{Kill, Report},
    sessions::{Session, Sessions},
    worker::Worker,
};

/// Unexpected answers told apart.
const UNEXPECTED_KINDS_MAX: usize = 20;
/// How long signing people in before a run may take.
const PREPARE_MAX: Duration = Duration::from_secs(600);
/// Pause between two looks whether it is time to kill.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A run: its plan and everything that came of it so far.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) stage: Stage,
    pub(super) schedule: Schedule,
    pub(super) measure: Measure,
    pub(super) invariants: Invariants,
    pub(super) ledger: Ledger,
    pub(super) sessions: Sessions,
    pub(super) gate: Gate,
    hot: Vec<Arc<Hot>>,
    /// Measured operations that were done, whole and in time; whole; begun too late; given up.
    pub(super) counts: Counts,
    unexpected: Mutex<BTreeMap<String, u64>>,
}

/// Operations.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Whole and ended within the measured time.
    pub(super) in_time: AtomicU64,
    /// Whole.
    pub(super) whole: AtomicU64,
    /// Ended before their end.
    pub(super) given_up: AtomicU64,
    /// Begun after they were due.
    pub(super) late: AtomicU64,
    /// All that ended, the warm-up's too.
    ended: AtomicU64,
}

/// Runs a scenario and reports.
///
/// # Errors
/// The plan is out of range, the stage lacks what it needs, nobody could be signed in before it, or the own server does
/// not come back after a kill. What the server answers is no error but a part of the report.
pub async fn drive(plan: &Plan, stage: &Stage) -> Result<Report, LoadError> {
    plan.check(stage)?;
    let sessions = prepare(plan, stage).await?;
    let run = Arc::new(Run::new(plan.clone(), stage.clone(), sessions));
    let (messages, over_limit) = run.inbox_counts();
    let over = CancellationToken::new();
    let ticking = tokio::spawn(tick(Arc::clone(&run), over.clone()));
    let killing = tokio::spawn(kill_in_time(Arc::clone(&run), over.clone()));
    run.work().await;
    over.cancel();
    let ended = Instant::now();
    let (seconds, begun) = ticking.await.map_err(|_| LoadError::new("counting the seconds failed"))?;
    let kills = killing.await.map_err(|_| LoadError::new("killing the server failed"))??;
    let used = run.usage_since(begun).await;
    run.count_unstarted();
    run.judge_messages(messages, over_limit);
    if let Some(last) = kills.last() {
        for session in run.sessions.drain() {
            run.ledger.keep(Fact::Session(session));
        }
        run.ledger.prove(&run, last.at).await;
    }
    Ok(Report::of(&run, ended, seconds, used, &kills))
}

/// Signs people in for scenarios that need some.
async fn prepare(plan: &Plan, stage: &Stage) -> Result<Sessions, LoadError> {
    if !plan.scenario.needs_sessions() {
        return Ok(Sessions::default());
    }
    if stage.target.speaks == Speaks::Limit {
        let sessions = Sessions::default();
        sessions.put(Session::new(0, "token", ""));
        return Ok(sessions);
    }
    let wanted = plan.sessions.max(plan.connections);
    let plan = Plan {
        scenario: Scenario::Login,
        pace: Pace::Closed,
        connections: plan.connections.min(64),
        warm_up: Duration::ZERO,
        duration: PREPARE_MAX,
        count: Some(wanted as u64),
        kills: Vec::new(),
        ..plan.clone()
    };
    let stage = Stage { on_second: None, ..stage.clone() };
    let run = Arc::new(Run::new(plan, stage, Sessions::default()));
    let mut tasks = JoinSet::new();
    for nth in 0..run.plan.connections {
        let mut worker = Worker::new(Arc::clone(&run), nth);
        tasks.spawn(async move {
            while worker.run.schedule.claim().is_some() {
                if let Ok(session) = worker.sign_in(false).await {
                    worker.run.sessions.put(session);
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    if run.sessions.len() < wanted {
        let why = run.unexpected_answers().into_iter().next().map(|(what, _)| format!(" ({what})")).unwrap_or_default();
        return Err(LoadError::new(format!(
            "of {wanted} people who should be signed in before it, {} could be{why}",
            run.sessions.len()
        )));
    }
    let sessions = Sessions::default();
    run.sessions.drain().into_iter().for_each(|session| sessions.put(session));
    Ok(sessions)
}

impl Run {
    fn new(plan: Plan, stage: Stage, sessions: Sessions) -> Self {
        let begins = Instant::now();
        let schedule = Schedule::new(plan.pace, plan.seed, begins, (plan.warm_up, plan.duration), plan.count);
        let is_pressed = matches!(plan.scenario, Scenario::SameNumber | Scenario::Mixed);
        let hot_numbers = if is_pressed { plan.hot_numbers.max(1) } else { 0 };
        if let Some(inbox) = stage.codes.inbox() {
            inbox.watch(plan.figures.sends);
        }
        Self {
            measure: Measure::new(schedule.measured_from, schedule.ends),
            schedule,
            invariants: Invariants::default(),
            ledger: Ledger::new(!plan.kills.is_empty(), plan.seed),
            sessions,
            gate: Gate::new(),
            hot: (0..hot_numbers).map(|_| Arc::new(Hot::new(stage.numbers.draw()))).collect(),
            counts: Counts::default(),
            unexpected: Mutex::default(),
            plan,
            stage,
        }
    }

    async fn work(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        for nth in 0..self.plan.connections {
            tasks.spawn(Worker::new(Arc::clone(self), nth).work());
        }
        while tasks.join_next().await.is_some() {}
    }

    /// An operation has begun that counts from `from`.
    pub(super) fn begun(&self, from: Instant, late: bool) {
        if late && from >= self.schedule.measured_from {
            self.counts.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An operation has ended.
    pub(super) fn done(&self, from: Instant, whole: bool) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        if from < self.schedule.measured_from {
            return;
        }
        let place = if whole { &self.counts.whole } else { &self.counts.given_up };
        place.fetch_add(1, Ordering::Relaxed);
        if whole && Instant::now() <= self.schedule.ends {
            self.counts.in_time.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes an answer that should not have come. Neither a number nor a code may stand in it.
    pub(super) fn unexpected(&self, what: String) {
        let mut unexpected = self.unexpected.lock().unwrap_or_else(PoisonError::into_inner);
        let what = if unexpected.len() < UNEXPECTED_KINDS_MAX { what } else { "others".to_owned() };
        *unexpected.entry(what).or_default() += 1;
    }

    /// What came unexpected, and how often.
    pub(super) fn unexpected_answers(&self) -> BTreeMap<String, u64> {
        self.unexpected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of the numbers that all are at.
    pub(super) fn hot(&self, dice: &mut Dice) -> Arc<Hot> {
        let at = usize::try_from(dice.below(self.hot.len() as u64)).unwrap_or_default();
        self.hot.get(at).cloned().unwrap_or_else(|| Arc::new(Hot::new(self.stage.numbers.draw())))
    }

    fn inbox_counts(&self) -> (u64, u64) {
        self.stage.codes.inbox().map(|inbox| (inbox.messages(), inbox.over_limit())).unwrap_or_default()
    }

    /// Holds what came to the inbox against the limits, and against what was acknowledged.
    fn judge_messages(&self, messages_before: u64, over_limit_before: u64) {
        let Some(inbox) = self.stage.codes.inbox() else { return };
        let (messages, over_limit) = self.inbox_counts();
        self.invariants.note(Rule::SendsLimited, messages - messages_before, over_limit - over_limit_before);
        for hot in &self.hot {
            let (accepted, too_many) = hot.messages(inbox.count(hot.number));
            self.invariants.note(Rule::OneMessage, accepted, too_many);
        }
    }

    /// What never began waited at least until now: it counts as that slow.
    fn count_unstarted(&self) {
        for due in self.schedule.unstarted() {
            self.measure.count(0, Kind::Flow, due, Came::NeverBegun);
        }
    }

    async fn sample(&self) -> Option<Sample> {
        match &self.stage.server {
            Some(server) => server.sample().await,
            None => None,
        }
    }

    async fn usage_since(&self, begun: Option<Sample>) -> Option<(Duration, Sample)> {
        let (begun, now) = (begun?, self.sample().await?);
        Some((now.cpu.saturating_sub(begun.cpu), now))
    }
}

/// Tells of each second; at the end all of the measured ones, and what the server had used when the measuring began.
async fn tick(run: Arc<Run>, over: CancellationToken) -> (Vec<Second>, Option<Sample>) {
    let (mut seconds, mut looked, mut begun) = (Vec::new(), false, None);
    let tell: Option<OnSecond> = run.stage.on_second.clone();
    let part = Duration::from_nanos(u64::from(run.plan.warm_up.subsec_nanos()));
    let first = run.schedule.measured_from - run.plan.warm_up + part;
    let mut beats = interval_at(first + Duration::from_secs(1), Duration::from_secs(1));
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let ended = tokio::select! {
            biased;
            // Of its own and not with a beat: they need not meet.
            () = sleep_until(run.schedule.measured_from), if !looked => {
                (looked, begun) = (true, run.sample().await);
                continue;
            }
            () = over.cancelled() => true,
            _ = beats.tick() => false,
        };
        let second = run.measure.second();
        if let Some(tell) = tell.as_ref().filter(|_| !ended) {
            tell(&second);
        }
        if second.at_s >= 0 && !ended {
            seconds.push(second);
        }
        if ended {
            return (seconds, begun);
        }
    }
}

/// Kills the server when it is time, and starts it again.
async fn kill_in_time(run: Arc<Run>, over: CancellationToken) -> Result<Vec<Kill>, LoadError> {
    let mut kills = Vec::new();
    let Some(server) = run.stage.server.clone() else { return Ok(kills) };
    for moment in &run.plan.kills {
        tokio::select! {
            () = over.cancelled() => break,
            () = comes(&run, *moment) => {}
        }
        let killed = kill(&run, &server).await;
        if killed.is_err() {
            // Nobody will come through the gate: the run is over.
            run.gate.open();
        }
        kills.push(killed?);
    }
    Ok(kills)
}

async fn comes(run: &Run, moment: KillAt) {
    match moment {
        KillAt::Time(after) => sleep_until(run.schedule.measured_from + after).await,
        KillAt::Operations(count) => {
            while run.counts.ended.load(Ordering::Relaxed) < count {
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

async fn kill(run: &Run, server: &OwnServer) -> Result<Kill, LoadError> {
    run.gate.close();
    let at = server.kill().await;
    server.revive().await?;
    run.gate.open();
    let at_s = at.saturating_duration_since(run.schedule.measured_from).as_secs_f64();
    Ok(Kill { at, at_s, ready_ms: at.elapsed().as_secs_f64() * 1000.0 })
}

impl Plan {
    fn check(&self, stage: &Stage) -> Result<(), LoadError> {
        let refuse = |text: String| Err(LoadError::new(text));
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return refuse(format!("connections: must be 1 to {CONNECTIONS_MAX}"));
        }
        if self.duration.is_zero() || self.duration > DURATION_MAX || self.warm_up > DURATION_MAX {
            return refuse("duration, warm-up: must be at most one hour, and the duration above 0".to_owned());
        }
        if self.count.is_some_and(|count| count == 0 || count > COUNT_MAX) {
            return refuse(format!("count: must be 1 to {COUNT_MAX}"));
        }
        if self.sessions > SESSIONS_MAX {
            return refuse(format!("sessions: must be at most {SESSIONS_MAX}"));
        }
        if let Pace::Open { rate, .. } = self.pace
            && !(rate > 0.0 && rate <= RATE_MAX)
        {
            return refuse(format!("rate: must be above 0 and at most {RATE_MAX} per second"));
        }
        if !self.kills.is_empty() && stage.server.is_none() {
            return refuse("only a server of our own can be killed".to_owned());
        }
        self.scenario.check(stage.target.speaks, &stage.codes)
    }
}
