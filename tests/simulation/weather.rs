//! What happens to the nodes: slow and lying stores, crashes, clock jumps, passivation, sweeps; and how sends end.

use std::{collections::BTreeMap, time::Duration};

use otpd::record::{Arrival, Command, Label, OnMatch, SendResult};

use super::{
    locks::COMPARING_MS,
    op::{Chore, Op},
    person::{Asked, Compared, Held, Person},
    run::Sim,
    seen::Seen,
    world,
};

/// A message that was handed out and whose fate has not been reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settle {
    pub(crate) who: usize,
    pub(crate) nonce: u64,
    pub(crate) delivery: u8,
}

impl Sim {
    /// Changes the weather between two bursts.
    pub(crate) async fn weather(&mut self) -> Result<(), String> {
        for node in 0..self.world.nodes.len() {
            let (lots, store) = (&mut self.lots, &self.world.nodes[node].store.inner);
            store.fail_loads(lots.chance(10));
            match lots.weighted(&[700, 60, 8, 180, 20, 20, 2]) {
                1 => store.slow(Duration::from_millis(lots.between(1, 300)), Duration::from_millis(lots.below(50))),
                2 => store.slow(Duration::from_millis(lots.between(4_000, 7_000)), Duration::ZERO),
                3 => store.slow(Duration::ZERO, Duration::ZERO),
                4 => store.refuse_next(u32::try_from(lots.between(1, 2)).unwrap()),
                5 => store.lose_reply(1),
                6 => store.fail_flush(),
                _ => {}
            }
        }
        let latest = self.world.latest_ms();
        self.world.ledger().clock_peak = latest;
        if self.lots.chance(12) {
            self.jump();
        }
        if self.lots.chance(200) {
            let node = self.lots.index(self.world.nodes.len());
            let phone = self.people[self.lots.index(self.people.len())].phone;
            self.world.nodes[node].directory.passivate(phone);
        }
        if self.lots.chance(150) {
            let node = self.lots.index(self.world.nodes.len());
            // A sweep that can't read puts itself off.
            let _put_off = self.world.nodes[node].sweeper.tick().await;
        }
        self.people.iter_mut().for_each(Person::prune);
        self.sound()
    }

    /// The store heals and the clocks agree.
    pub(crate) fn calm(&mut self) {
        for node in &self.world.nodes {
            node.store.inner.fail_loads(false);
            node.store.inner.slow(Duration::ZERO, Duration::ZERO);
            node.store.inner.refuse_next(0);
            node.store.inner.lose_reply(0);
        }
        self.leave_clock();
        self.world.clocks.iter().for_each(|clock| clock.align(&self.world.clocks[0]));
    }

    /// One clock jumps, or all do, or they are set to agree.
    fn jump(&mut self) {
        self.leave_clock();
        self.tally.clock_jumps += 1;
        let by_ms = world::jump(&mut self.lots);
        let clocks = &self.world.clocks;
        match self.lots.weighted(&[5, 3, 2]) {
            0 => clocks.iter().for_each(|clock| clock.jump(by_ms)),
            1 => clocks[self.lots.index(clocks.len())].jump(by_ms),
            _ => clocks.iter().for_each(|clock| clock.align(&clocks[0])),
        }
        self.trace.note(None, format!("clocks jump by {by_ms} ms"));
        let latest = self.world.latest_ms();
        let mut ledger = self.world.ledger();
        ledger.clock_peak = latest.max(ledger.clock_peak);
    }

    fn leave_clock(&mut self) {
        let latest = self.world.latest_ms();
        self.people.iter_mut().for_each(|person| person.saw_clock(latest));
    }

    /// A node is killed, with a batch in progress if there is one, and starts again.
    pub(crate) async fn crash(&mut self, node: usize) -> Result<(), String> {
        self.sound()?;
        let kept = self.lots.index(4);
        let cut_off = self.world.crash(node, kept).await;
        self.tally.crashes += 1;
        self.tally.cut_off += cut_off as u64;
        self.trace.note(None, format!("node {node} crashes, {kept} of {cut_off} changes kept"));
        let phones: Vec<_> = self.people.iter().map(|person| person.phone).collect();
        self.world.compare(&phones).await?;
        self.sound()
    }

    /// Numbers that an actor found in the middle of a phone change.
    pub(crate) fn reported_moves(&mut self) {
        for node in &mut self.world.nodes {
            while let Ok(change) = node.moves.try_recv() {
                if self.lots.chance(800) {
                    self.chores.push_back(Chore::begin(change, None));
                }
            }
        }
    }

    /// Reports what some sends came to; a tenth is never reported, as after a crash.
    pub(crate) fn settle_some(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        for settle in std::mem::take(&mut self.settles) {
            match self.lots.weighted(&[50, 10, 15, 5, 10, 10]) {
                0 => self.tell(settle),
                1 => ops.push(self.settle(settle, SendResult::Accepted)),
                2 => ops.push(self.settle(settle, SendResult::Failed { number_at_fault: false })),
                3 => ops.push(self.settle(settle, SendResult::Failed { number_at_fault: true })),
                4 => ops.push(self.settle(settle, SendResult::Unknown)),
                _ => {}
            }
            self.receipts_of(settle, &mut ops);
        }
        ops
    }

    /// Receipts of a send: none, one or some, in any order, twice, late, and of another message now and then.
    fn receipts_of(&mut self, settle: Settle, ops: &mut Vec<Op>) {
        for _ in 0..self.lots.weighted(&[50, 25, 15, 10]) {
            let late = if self.lots.chance(200) { self.unreceipted.pop() } else { None };
            let Settle { who, nonce, delivery } = late.unwrap_or(settle);
            let nonce = if self.lots.chance(30) { nonce ^ 1 } else { nonce };
            let route = if self.lots.chance(900) { Label::of("sim") } else { Label::of("other") };
            let arrival = *self.lots.pick(&[Arrival::Sent, Arrival::Delivered, Arrival::Undelivered]).unwrap();
            for _ in 0..self.lots.weighted(&[0, 80, 20]) {
                ops.push(self.plain(who, Command::Receipt { nonce, delivery, route, arrival }));
            }
        }
        if self.unreceipted.len() < 64 {
            self.unreceipted.push(settle);
        }
    }

    fn settle(&mut self, settle: Settle, result: SendResult) -> Op {
        let Settle { who, nonce, delivery } = settle;
        self.plain(who, Command::Settle { nonce, delivery, route: Label::of("sim"), channel: Label::of("sms"), result })
    }

    /// A good result is told, not asked: nobody waits for it.
    fn tell(&mut self, settle: Settle) {
        let op = self.settle(settle, SendResult::Accepted);
        let request = op.command.into();
        let person = &mut self.people[settle.who];
        person.muddy_until_ms = self.world.elapsed_ms() + 15_000;
        self.world.nodes[op.node].directory.tell(person.phone, self.world.policies[0].1.clone(), request);
    }

    /// Enters what is about to be asked: from now on it may happen.
    pub(crate) fn announce(&mut self, ops: &mut [Op]) {
        let mut together: BTreeMap<usize, u32> = BTreeMap::new();
        for op in ops.iter() {
            *together.entry(op.who).or_default() += 1;
        }
        let now = self.world.elapsed_ms();
        for op in ops {
            let person = &mut self.people[op.who];
            let mut ledger = self.world.ledger.lock().unwrap();
            let seen = ledger.seen(person.phone);
            op.seen_at = seen.map_or(0, |seen| seen.seen_at);
            let alone = together.get(&op.who) == Some(&1) && now >= person.muddy_until_ms;
            op.alone = alone.then(|| seen.map(|seen| seen.version));
            op.was_shut = seen.filter(|_| alone).map(Seen::is_shut);
            op.comparable_until = match &op.command {
                Command::EndPassword { nonce, .. } => seen
                    .filter(|seen| alone && seen.has_password())
                    .and_then(|seen| seen.comparing(*nonce).map(|comparing| comparing.at + COMPARING_MS)),
                _ => None,
            };
            let past = ledger.past_mut(person.phone);
            past.unlocks_asked += u32::from(matches!(op.command, Command::Unlock));
            past.erasures_asked += u32::from(matches!(op.command, Command::Erase { .. }));
            op.breaks = past.breaks.len();
            drop(ledger);
            if let Command::UpdateProfile { session, patch } = &op.command
                && let (Some(held), Some(Some(text))) = (person.held(*session), &patch.bio)
            {
                self.bios.ask(held.user_id, text.clone(), op.asked);
            }
            person.asks(op);
        }
    }
}

impl Person {
    /// What may happen from now on because of this request.
    fn asks(&mut self, op: &mut Op) {
        match &op.command {
            Command::Start(start) => self.asked.push(Asked::new(start, op.door)),
            Command::Check { on_match: OnMatch::SignIn(sign_in), .. }
            | Command::Redeem { sign_in, .. }
            | Command::Register { sign_in, .. }
            | Command::EndPassword { right: Some(sign_in), .. }
            | Command::Adopt { sign_in: Some(sign_in), .. }
                if self.held(sign_in.session).is_none() =>
            {
                self.opens_asked += 1;
                self.held.push(Held::new(sign_in, op.asked, self.opens_asked, op.breaks));
            }
            Command::BeginPassword { nonce, .. } => {
                self.compared.push(Compared { nonce: *nonce, begun: None, hash: None, ended: None });
            }
            Command::Refresh { session, .. } | Command::EndSession { session, .. } => {
                self.held_mut(*session).into_iter().for_each(|held| held.doubts += 1);
            }
            Command::Erase { .. } | Command::Release { .. } => {
                self.held.iter_mut().for_each(|held| held.doubts += 1);
            }
            Command::Settle { nonce, delivery, result: result @ SendResult::Failed { .. }, .. } => {
                self.fails(*nonce, *delivery, *result);
            }
            _ => {}
        }
        if let Command::Check { code, .. } = &op.command {
            let may_match = |asked: &Asked| asked.code.as_ref().is_none_or(|known| known.matches(code));
            op.may_match = self.asked.iter().any(may_match);
            self.may_succeed += u32::from(op.may_match);
        }
        if op.key.is_some() {
            for key in &mut self.keys {
                if Some(key.key) != op.key {
                    key.later += 1;
                } else if op.other_body {
                    key.foreign += 1;
                } else {
                    key.nonces.extend(op.nonce());
                }
            }
        }
    }

    fn fails(&mut self, nonce: u64, delivery: u8, result: SendResult) {
        let gives_back = result == SendResult::Failed { number_at_fault: false };
        for sent in self.sends.iter_mut().filter(|sent| (sent.nonce, sent.delivery) == (nonce, delivery)) {
            sent.given_back |= gives_back;
        }
        let of_key = |command: &Command| matches!(command, Command::Resend { nonce: of, .. } if *of == nonce);
        for key in self.keys.iter_mut().filter(|key| key.nonces.contains(&nonce) || of_key(&key.command)) {
            key.send_failed = true;
        }
    }
}
