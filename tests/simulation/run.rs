//! The run: step after step of virtual time, each a burst of requests in some weather, judged as the answers come.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use otpd::{
    phone::{Fault, Reply},
    record::{Command, Outcome, PASSWORD, PhoneNumber, Refusal},
};
use tokio::time::sleep;

use super::{
    judge::Case,
    lots::Lots,
    op::{Chore, ChoreStep, Op},
    person::{Bios, Person},
    trace::{Tally, Trace},
    weather::Settle,
    world::World,
};

/// Numbers of one run.
const PHONES: u64 = 40;
/// Hours of virtual time of one run.
const HOURS: u64 = 12;
/// After an answer that never came, or a request without one, something may still be on its way for so long.
const MUDDY_MS: u64 = 30_000;

/// One seeded run.
pub(crate) struct Sim {
    pub(crate) lots: Lots,
    pub(crate) world: World,
    pub(crate) people: Vec<Person>,
    pub(crate) bios: Bios,
    pub(crate) chores: VecDeque<Chore>,
    pub(crate) settles: Vec<Settle>,
    /// Messages that may still be heard of.
    pub(crate) unreceipted: Vec<Settle>,
    pub(crate) moment: u64,
    pub(crate) trace: Trace,
    pub(crate) tally: Tally,
    /// Numbers that much is asked of for a while.
    pub(crate) hot: Vec<usize>,
}

/// Runs one seed. `Err`: which rule was broken, when, and what came before.
pub(crate) async fn run(seed: u64) -> Result<Tally, String> {
    let mut lots = Lots::new(seed);
    let nodes = 1 + lots.index(2);
    let phone = |n| Person::new(PhoneNumber::try_from(989_120_000_000 + n).unwrap());
    let mut sim = Sim {
        lots,
        world: World::new(nodes),
        people: (0..PHONES).map(phone).collect(),
        bios: Bios::default(),
        chores: VecDeque::new(),
        settles: Vec::new(),
        unreceipted: Vec::new(),
        moment: 0,
        trace: Trace::default(),
        tally: Tally::default(),
        hot: Vec::new(),
    };
    let outcome = sim.all().await;
    let step = sim.tally.steps;
    outcome.map_err(|rule| format!("{}\nOTPD_SIM_SEED={seed} step {step}: {rule}; above, what came before", sim.trace))
}

impl Sim {
    async fn all(&mut self) -> Result<Tally, String> {
        while self.world.elapsed_ms() < HOURS * otpd::record::HOUR {
            self.tally.steps += 1;
            self.step().await?;
        }
        self.tally.phone_ms = PHONES * self.world.elapsed_ms();
        self.finish().await?;
        let ledger = self.world.ledger();
        let (living, erased) = ledger.places.count();
        self.tally.accounts = (living + erased) as u64;
        (self.tally.commits, self.tally.deletions, self.tally.rebases) =
            (ledger.commits, ledger.deletions, ledger.rebases);
        self.tally.hash = self.trace.hash();
        Ok(self.tally)
    }

    async fn step(&mut self) -> Result<(), String> {
        let gap_ms = match self.lots.weighted(&[70, 27, 3]) {
            0 => self.lots.between(1, 3_000),
            1 => self.lots.between(3_000, 30_000),
            _ => self.lots.between(60_000, 300_000),
        };
        self.world.ledger().clock_peak = self.world.latest_ms() + gap_ms;
        sleep(Duration::from_millis(gap_ms)).await;
        if self.hot.is_empty() || self.lots.chance(20) {
            self.hot = (0..3).map(|_| self.lots.index(self.people.len())).collect();
        }
        self.weather().await?;
        self.reported_moves();
        let mut ops = self.settle_some();
        for _ in 0..self.lots.between(1, 5) {
            let hot = self.lots.chance(850);
            let who = if hot { *self.lots.pick(&self.hot).unwrap() } else { self.lots.index(self.people.len()) };
            if let Some(op) = self.plan(who).await {
                ops.push(op);
            }
        }
        while let Some(chore) = self.chores.pop_front() {
            ops.extend(self.plan_chore(chore));
        }
        self.storm(&mut ops);
        let crash = self.lots.chance(40).then(|| (self.lots.below(500), self.lots.index(self.world.nodes.len())));
        if let Some((_, node)) = crash.filter(|_| self.lots.chance(700)) {
            // A slow disk, so that a batch is in progress when it comes.
            self.world.nodes[node].store.inner.slow(Duration::from_millis(self.lots.between(50, 500)), Duration::ZERO);
        }
        self.burst(ops, crash).await
    }

    /// Sometimes one request is made by many at once, at all nodes.
    fn storm(&mut self, ops: &mut Vec<Op>) {
        if !self.lots.chance(60) {
            return;
        }
        let Some(op) = ops.pop().filter(|op| op.key.is_none() && op.chore.is_none() && is_repeatable(&op.command))
        else {
            return;
        };
        for _ in 0..self.lots.between(3, 8) {
            self.moment += 1;
            let node = self.lots.index(self.world.nodes.len());
            let mut command = op.command.clone();
            if let Command::BeginPassword { nonce, .. } = &mut command {
                *nonce = self.lots.draw();
            }
            ops.push(Op { node, asked: self.moment, command, chore: None, ..op });
        }
    }

    /// Asks all at once and judges the answers as they come; a crash may cut some off.
    pub(crate) async fn burst(&mut self, mut ops: Vec<Op>, mut crash: Option<(u64, usize)>) -> Result<(), String> {
        {
            // Longer than any burst lasts.
            let mut ledger = self.world.ledger();
            ledger.clock_peak = ledger.clock_peak.max(self.world.latest_ms() + MUDDY_MS);
        }
        self.announce(&mut ops);
        let mut touched: Vec<PhoneNumber> = ops.iter().map(|op| self.people[op.who].phone).collect();
        let mut flying: FuturesUnordered<_> = ops.into_iter().map(|op| self.fly(op)).collect();
        let mut crash_timer = Box::pin(sleep(Duration::from_millis(crash.map_or(0, |(after_ms, _)| after_ms))));
        loop {
            tokio::select! {
                biased;
                landed = flying.next() => match landed {
                    Some((op, answer)) => self.land(op, &answer).await?,
                    None => break,
                },
                () = &mut crash_timer, if crash.is_some() => {
                    if let Some((_, node)) = crash.take() {
                        self.crash(node).await?;
                    }
                }
            }
            self.sound()?;
        }
        if let Some((_, node)) = crash {
            self.crash(node).await?;
        }
        for node in 0..self.world.nodes.len() {
            if self.world.nodes[node].fatal.is_cancelled() {
                self.crash(node).await?;
            }
        }
        touched.dedup();
        self.world.compare(&touched).await?;
        self.sound()
    }

    fn fly(&self, op: Op) -> impl Future<Output = (Op, Result<Reply, Fault>)> + use<> {
        let node = &self.world.nodes[op.node];
        let (directory, life) = (node.directory.clone(), node.life.clone());
        let (phone, policy) = (self.people[op.who].phone, self.world.policies[op.door].1.clone());
        let request = Self::request(&op, &self.people);
        async move {
            if op.delay_ms > 0 {
                sleep(Duration::from_millis(op.delay_ms)).await;
            }
            let answer = tokio::select! {
                biased;
                () = life.cancelled() => Err(Fault::Unknown),
                answer = directory.ask(phone, policy, request.into()) => answer,
            };
            (op, answer)
        }
    }

    /// An answer has come.
    async fn land(&mut self, op: Op, answer: &Result<Reply, Fault>) -> Result<(), String> {
        self.moment += 1;
        self.note(&op, answer);
        if op.may_match {
            let answered = !matches!(answer, Err(Fault::Unknown));
            self.people[op.who].checked(self.moment, answered);
        }
        let latest = self.world.latest_ms();
        let ledger = self.world.ledger.clone();
        {
            let mut ledger = ledger.lock().unwrap();
            if answer.is_ok() && op.alone.is_some() {
                // Judged, and nobody else is there: what it may have allowed, it allows no more.
                let past = ledger.past_mut(self.people[op.who].phone);
                (past.unlocks_asked, past.erasures_asked) = (0, 0);
            }
            let mut case = Case {
                op: &op,
                person: &mut self.people[op.who],
                bios: &mut self.bios,
                ledger: &ledger,
                policies: &self.world.policies,
                moment: self.moment,
                latest,
            };
            case.judge(answer)?;
        }
        if matches!(answer, Err(Fault::Unknown)) {
            self.tally.unknown += 1;
            self.people[op.who].muddy_until_ms = self.world.elapsed_ms() + MUDDY_MS;
        }
        self.follow(op, answer).await;
        Ok(())
    }

    /// What an answer leads to: a send to report, a phone change to go on with.
    async fn follow(&mut self, op: Op, answer: &Result<Reply, Fault>) {
        if let Ok(reply) = answer {
            match &reply.outcome {
                Outcome::Issued(_) => {
                    let draft = reply.draft.as_ref();
                    let settle = |draft: &otpd::record::Draft| Settle {
                        who: op.who,
                        nonce: draft.nonce,
                        delivery: draft.delivery,
                    };
                    self.settles.extend(draft.map(settle));
                }
                Outcome::Approved { .. } => self.tally.approved += 1,
                Outcome::SignedIn(session) if session.door.purpose == PASSWORD && !reply.replayed => {
                    self.tally.by_password += u64::from(matches!(op.command, Command::EndPassword { .. }));
                }
                Outcome::Refused(Refusal::AddressBlocked { .. }) => self.tally.blocked += 1,
                Outcome::Refused(Refusal::PasswordBusy) => self.tally.busy += 1,
                Outcome::Refused(Refusal::WrongPassword { .. }) => self.tally.wrong_passwords += 1,
                Outcome::Refused(Refusal::Inactive) => self.tally.shut_out += 1,
                Outcome::Claimed { from, .. } => {
                    if let Command::Check { session: Some(session), .. } = &op.command {
                        let to = self.people[op.who].phone;
                        let change = otpd::record::Move { from: *from, to, session: session.nonce };
                        self.begin_chore(change, op.node).await;
                    }
                }
                Outcome::Refused(Refusal::MoveUnfinished(change)) if self.lots.chance(500) => {
                    self.chores.push_back(Chore::begin(*change, None));
                }
                _ => {}
            }
        }
        if let Some(chore) = op.chore {
            self.advance(chore, answer);
        }
    }

    /// The next step of a phone change; whoever drives it may be interrupted after each.
    fn advance(&mut self, mut chore: Chore, answer: &Result<Reply, Fault>) {
        let Ok(reply) = answer else { return };
        let step = match (&chore.step, &reply.outcome) {
            (ChoreStep::Release, Outcome::Released(account)) => ChoreStep::Adopt(account.clone()),
            (ChoreStep::Release, _) => ChoreStep::DropClaim,
            (ChoreStep::Adopt(account), _) => ChoreStep::DropParcel(account.user_id),
            (ChoreStep::DropParcel(_), _) => {
                self.tally.moved += 1;
                return;
            }
            (ChoreStep::DropClaim, _) => return,
        };
        if !self.lots.chance(250) {
            chore.step = step;
            self.chores.push_back(chore);
        }
    }

    /// Nothing is broken in the store's history, and no actor has failed.
    pub(crate) fn sound(&self) -> Result<(), String> {
        if let Some(broken) = self.world.ledger().broken.first() {
            return Err(broken.clone());
        }
        if self.world.failed_actors() > 0 {
            return Err("an actor failed".to_owned());
        }
        Ok(())
    }

    fn note(&mut self, op: &Op, answer: &Result<Reply, Fault>) {
        self.tally.requests += 1;
        let told = match answer {
            Ok(reply) => {
                format!("{} {:?}{}", reply.now.0, reply.outcome, if reply.replayed { " replayed" } else { "" })
            }
            Err(fault) => format!("{fault:?}"),
        };
        let (ms, node, who) = (self.world.elapsed_ms(), op.node, op.who);
        let line = format!("{ms} node {node} number {who} #{}: {:?} -> {told}", op.asked, op.command);
        self.trace.note(Some(who), line);
    }

    /// Heals everything, brings every phone change to its end, and asks after everything that was promised.
    async fn finish(&mut self) -> Result<(), String> {
        self.calm();
        self.world.ledger().clock_peak = self.world.latest_ms() + 2 * otpd::record::MINUTE;
        sleep(Duration::from_mins(2)).await;
        self.chores.clear();
        for _ in 0..100 {
            let unfinished = self.people.iter().find_map(|person| {
                let ledger = self.world.ledger();
                ledger.seen(person.phone).and_then(|seen| seen.change(person.phone))
            });
            let Some(change) = unfinished else { return self.ask_after_everything().await };
            self.chores.push_back(Chore::begin(change, None));
            while let Some(chore) = self.chores.pop_front() {
                let op = self.plan_chore(chore);
                self.burst(op.into_iter().collect(), None).await?;
            }
        }
        Err("a phone change does not come to its end".to_owned())
    }

    async fn ask_after_everything(&mut self) -> Result<(), String> {
        let phones: Vec<PhoneNumber> = self.people.iter().map(|person| person.phone).collect();
        self.world.compare(&phones).await?;
        for who in 0..self.people.len() {
            let person = &self.people[who];
            let sessions = person.held.iter().map(|held| Command::Authenticate { session: held.nonce });
            let challenges = person.asked.iter().map(|asked| Command::Read { nonce: asked.nonce });
            let commands: Vec<Command> = sessions.chain(challenges).collect();
            for command in commands {
                let op = self.plain(who, command);
                self.burst(vec![op], None).await?;
            }
        }
        Ok(())
    }
}

/// Made many times at once, it is the same request of many.
fn is_repeatable(command: &Command) -> bool {
    matches!(
        command,
        Command::Check { on_match: otpd::record::OnMatch::Approve, .. }
            | Command::Resend { .. }
            | Command::Refresh { .. }
            | Command::Redeem { .. }
            | Command::Register { .. }
            | Command::BeginPassword { .. }
            | Command::EndPassword { .. }
            | Command::Read { .. }
            | Command::Authenticate { .. }
            | Command::EndSession { .. }
    )
}
