//! The naive model: it keeps everything that ever happened to a number and works every answer out from that list,
//! with no bound on memory and no cleverness. Written from DESIGN.md and v1.md, not from the record.
//!
//! What happened and what it comes to is here; what is asked is in `asks`, what is answered to it in `answers`. It
//! leaves out what the scripts cover by themselves: retries with a key, phone change, chosen codes, and more addresses
//! than there is room for.

use otpd::record::{Arrival, DAY, Door, HOUR, Label, MINUTE, Policy};

use super::{asks::Ask, world::policy};

/// What happened, with the time that the decision went by.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A decision was committed; everything after it and before the next one is its doing.
    Commit {
        at: u64,
    },
    /// The clock turned out to have been ahead.
    SetBack {
        to: u64,
    },
    Started {
        nonce: u64,
        door: Door,
        at: u64,
    },
    Sent {
        nonce: u64,
        address: u64,
        at: u64,
    },
    Settled {
        nonce: u64,
        send: usize,
        route: Label,
        failed: bool,
        given_back: bool,
        at: u64,
    },
    Received {
        nonce: u64,
        send: usize,
        route: Label,
        arrival: Arrival,
    },
    Compared {
        nonce: u64,
        by_number: bool,
        right: bool,
        at: u64,
    },
    /// An address answered wrongly where that is held against it.
    Struck {
        secret: Secret,
        address: u64,
        at: u64,
    },
    /// An address answered rightly where wrong ones are held against it.
    Forgiven {
        secret: Secret,
        address: u64,
    },
    /// A password is being compared from now on.
    Begun {
        nonce: u64,
        address: u64,
        at: u64,
    },
    /// It is not any more: answered, or lost.
    Over {
        nonce: u64,
    },
    PasswordRight {
        renewed: Option<u64>,
    },
    Shut {
        shut: bool,
    },
    Canceled {
        nonce: u64,
        at: u64,
    },
    /// The receipt is used, or there never was one.
    Redeemed {
        nonce: u64,
    },
    SignedIn {
        session: u64,
        user: u64,
        at: u64,
    },
    Granted {
        nonce: u64,
        until: u64,
    },
    Registered {
        nonce: u64,
        password: Option<u64>,
    },
    Refreshed {
        session: u64,
        at: u64,
    },
    Ended {
        session: u64,
    },
    Erased,
    Unlocked,
}

/// What may be answered wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    Code,
    Password,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Approved { redeemed: bool },
    Canceled,
    Superseded,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    Waiting,
    /// By whom it went.
    Settled(Label),
    Failed,
    /// Whose receipt says how far it has come.
    Received(Label, Arrival),
}

#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    pub(crate) nonce: u64,
    pub(crate) door: Door,
    pub(crate) created: u64,
    pub(crate) until: u64,
    pub(crate) by_id: u8,
    pub(crate) by_number: u8,
    pub(crate) sends: Vec<(u64, Delivered)>,
    pub(crate) end: End,
    pub(crate) ended: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) nonce: u64,
    pub(crate) send: usize,
    pub(crate) address: u64,
    pub(crate) at: u64,
    pub(crate) answered: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) nonce: u64,
    pub(crate) until: u64,
    pub(crate) generation: u32,
    pub(crate) rotated: u64,
}

/// Failures in a row, and until when the next must wait.
#[derive(Debug, Default, Clone)]
pub(crate) struct Failures {
    pub(crate) count: u32,
    pub(crate) at: u64,
    pub(crate) delayed: u64,
}

/// Wrong answers of one address in a row.
#[derive(Debug, Clone)]
pub(crate) struct Strikes {
    pub(crate) secret: Secret,
    pub(crate) address: u64,
    pub(crate) count: u8,
    pub(crate) until: u64,
}

/// A password that is being compared.
#[derive(Debug, Clone)]
pub(crate) struct Comparing {
    pub(crate) nonce: u64,
    pub(crate) address: u64,
    pub(crate) at: u64,
}

/// What the history comes to at one moment.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) seen: u64,
    pub(crate) challenges: Vec<Challenge>,
    pub(crate) sends: Vec<Sent>,
    /// Wrong codes by number, and wrong passwords.
    pub(crate) codes: Failures,
    pub(crate) passwords: Failures,
    pub(crate) strikes: Vec<Strikes>,
    pub(crate) comparing: Vec<Comparing>,
    pub(crate) user: Option<u64>,
    pub(crate) password: Option<u64>,
    pub(crate) shut: bool,
    pub(crate) sessions: Vec<Session>,
    pub(crate) grants: Vec<(u64, u64)>,
}

/// Everything that ever happened.
#[derive(Debug, Default)]
pub(crate) struct Model {
    history: Vec<Event>,
}

impl Model {
    /// The answer in words, after which it has happened; and whether anything was to be written.
    pub(crate) fn answer(&mut self, ask: Ask, now: u64) -> (String, bool) {
        let mut facts = Facts::default();
        for event in &self.history {
            facts.follow(event);
        }
        let held: Vec<u64> = facts.sessions.iter().map(|session| session.nonce).collect();
        let compared: Vec<u64> = facts.comparing.iter().map(|comparing| comparing.nonce).collect();
        let failed = facts.is_locked();
        let mut happened = Vec::new();
        let mut at = now.max(facts.seen);
        if now + HOUR < facts.seen {
            at = now;
            happened.push(Event::SetBack { to: now });
        }
        happened.push(Event::Commit { at });
        happened.iter().for_each(|event| facts.follow(event));
        let set_back = happened.len() > 1;
        let found = facts.lost(ask, at);
        found.iter().for_each(|event| facts.follow(event));
        let mut done = Vec::new();
        let words = facts.answer(ask, at, &mut done);
        // What is over by the clock alone is written down when it is asked to end, or a clock set back would revive it.
        match ask {
            Ask::End { session } if done.is_empty() && held.contains(&session) => done.push(Event::Ended { session }),
            Ask::Tell { nonce, .. } if done.is_empty() && compared.contains(&nonce) => done.push(Event::Over { nonce }),
            Ask::Unlock if done.is_empty() && failed => done.push(Event::Unlocked),
            _ => {}
        }
        // A comparison that nobody ended is noted with the next that begins, and with the answer that came too late.
        let noted = !done.is_empty() || (matches!(ask, Ask::Tell { .. }) && !found.is_empty());
        if noted || set_back {
            self.history.append(&mut happened);
        }
        if noted {
            self.history.extend(found.into_iter().chain(done));
        }
        (words, noted || set_back)
    }
}

impl Failures {
    fn more(&mut self, at: u64) {
        self.count += 1;
        self.at = at;
        if self.count > 5 {
            self.delayed = at + (30_000_u64 << (self.count - 6).min(20)).min(HOUR);
        }
    }

    /// A day without any, and a number without an account has none.
    fn forget(&mut self, has_account: bool, at: u64) {
        if !has_account && at >= (self.at + DAY).max(self.delayed) {
            *self = Self::default();
        }
    }

    fn set_back(&mut self, wrong: u64, to: u64) {
        self.at = self.at.min(to);
        self.delayed = if self.delayed > wrong { to + (self.delayed - wrong) } else { 0 };
    }
}

impl Facts {
    /// Is anything held against the number or an address?
    pub(crate) fn is_locked(&self) -> bool {
        self.codes.count > 0 || self.passwords.count > 0 || !self.strikes.is_empty()
    }

    /// Whoever is about to compare, or has compared, finds what was under way for a minute: it was wrong, then.
    fn lost(&self, ask: Ask, at: u64) -> Vec<Event> {
        let (Ask::Begin { via, .. } | Ask::Tell { via, .. }) = ask else { return Vec::new() };
        let mut found = Vec::new();
        for lost in self.comparing.iter().filter(|comparing| comparing.at + MINUTE <= at) {
            found.push(Event::Over { nonce: lost.nonce });
            if policy(via).block.is_some() {
                found.push(Event::Struck { secret: Secret::Password, address: lost.address, at: lost.at });
            }
        }
        if !found.is_empty() {
            found.push(Event::Commit { at });
        }
        found
    }

    fn struck(&mut self, secret: Secret, address: u64, at: u64) {
        let until = at + HOUR;
        match self.strikes.iter_mut().find(|it| (it.secret, it.address) == (secret, address)) {
            Some(known) => (known.count, known.until) = (known.count + 1, known.until.max(until)),
            None => self.strikes.push(Strikes { secret, address, count: 1, until }),
        }
    }

    fn challenge(&mut self, nonce: u64) -> Option<&mut Challenge> {
        self.challenges.iter_mut().find(|challenge| challenge.nonce == nonce)
    }

    fn follow(&mut self, event: &Event) {
        match *event {
            Event::Commit { at } => self.forget(at),
            Event::SetBack { to } => self.set_back(to),
            Event::Started { nonce, door, at } => self.started(nonce, door, at),
            Event::Sent { nonce, address, at } => {
                let Some(challenge) = self.challenge(nonce) else { return };
                challenge.sends.push((at, Delivered::Waiting));
                let send = challenge.sends.len() - 1;
                self.sends.push(Sent { nonce, send, address, at, answered: false });
            }
            Event::Settled { nonce, send, route, failed, given_back, at } => {
                self.came_to((nonce, send), if failed { Delivered::Failed } else { Delivered::Settled(route) });
                self.settled((nonce, send), given_back, at);
            }
            Event::Received { nonce, send, route, arrival } => {
                self.came_to((nonce, send), Delivered::Received(route, arrival));
            }
            Event::Compared { nonce, by_number, right, at } => self.compared(nonce, by_number, right, at),
            Event::Canceled { nonce, at } => {
                let Some(challenge) = self.challenge(nonce) else { return };
                (challenge.end, challenge.ended) = (End::Canceled, at);
            }
            Event::Redeemed { nonce } => self.redeemed(nonce),
            Event::SignedIn { session, user, at } => {
                if self.user.is_none() {
                    self.comparing.clear();
                }
                self.user = self.user.or(Some(user));
                let until = at + Policy::default().session_life_ms;
                self.sessions.push(Session { nonce: session, until, generation: 0, rotated: at });
                let surplus = self.sessions.len().saturating_sub(10);
                self.sessions.drain(..surplus);
            }
            Event::Granted { nonce, until } => {
                self.grants.push((nonce, until));
                let surplus = self.grants.len().saturating_sub(4);
                self.grants.drain(..surplus);
            }
            Event::Registered { nonce, password } => {
                self.grants.retain(|(grant, _)| *grant != nonce);
                self.password = password;
            }
            Event::Struck { secret, address, at } => self.struck(secret, address, at),
            Event::Forgiven { secret, address } => {
                self.strikes.retain(|it| (it.secret, it.address) != (secret, address) || it.count >= 3);
            }
            Event::Begun { nonce, address, at } => {
                self.passwords.more(at);
                self.comparing.push(Comparing { nonce, address, at });
            }
            Event::Over { nonce } => self.comparing.retain(|comparing| comparing.nonce != nonce),
            Event::PasswordRight { renewed } => {
                self.passwords = Failures::default();
                self.password = renewed.or(self.password);
            }
            Event::Shut { shut } => self.shut = shut,
            Event::Refreshed { session, at } => {
                for session in self.sessions.iter_mut().filter(|open| open.nonce == session) {
                    (session.generation, session.rotated) = (session.generation + 1, at);
                }
            }
            Event::Ended { session } => self.sessions.retain(|open| open.nonce != session),
            Event::Erased => self.erased(),
            Event::Unlocked => {
                (self.codes, self.passwords) = Default::default();
                self.strikes.clear();
            }
        }
    }

    fn came_to(&mut self, (nonce, send): (u64, usize), delivered: Delivered) {
        let Some(challenge) = self.challenge(nonce) else { return };
        challenge.sends[send].1 = delivered;
    }

    fn redeemed(&mut self, nonce: u64) {
        let Some(challenge) = self.challenge(nonce) else { return };
        challenge.end = End::Approved { redeemed: true };
    }

    fn settled(&mut self, (nonce, send): (u64, usize), given_back: bool, at: u64) {
        let Some(challenge) = self.challenge(nonce) else { return };
        let none_left = challenge.sends.iter().all(|(_, delivered)| *delivered == Delivered::Failed);
        if none_left && challenge.end == End::Open {
            (challenge.end, challenge.ended) = (End::Failed, at);
        }
        self.sends.retain(|sent| !given_back || (sent.nonce, sent.send) != (nonce, send));
    }

    fn erased(&mut self) {
        (self.user, self.sessions, self.grants) = (None, Vec::new(), Vec::new());
        (self.password, self.shut, self.comparing) = (None, false, Vec::new());
        self.void_receipts();
    }

    fn void_receipts(&mut self) {
        for challenge in &mut self.challenges {
            if matches!(challenge.end, End::Approved { .. }) {
                challenge.end = End::Approved { redeemed: true };
            }
        }
    }

    fn started(&mut self, nonce: u64, door: Door, at: u64) {
        let policy = policy(door.dialect);
        for earlier in &mut self.challenges {
            if policy.supersedes && earlier.door == door && earlier.end == End::Open {
                (earlier.end, earlier.ended) = (End::Superseded, at);
            }
        }
        while self.challenges.len() >= 10 {
            let is_live = |challenge: &Challenge| challenge.end == End::Open && at < challenge.until;
            let finished = self.challenges.iter().filter(|challenge| !is_live(challenge)).min_by_key(|c| c.ended);
            let leaves = finished.or_else(|| self.challenges.iter().min_by_key(|challenge| challenge.until));
            let leaves = leaves.unwrap().nonce;
            self.challenges.retain(|challenge| challenge.nonce != leaves);
        }
        let until = at + policy.code_life_ms;
        self.challenges.push(Challenge {
            nonce,
            door,
            created: at,
            until,
            by_id: 0,
            by_number: 0,
            sends: Vec::new(),
            end: End::Open,
            ended: until,
        });
    }

    fn compared(&mut self, nonce: u64, by_number: bool, right: bool, at: u64) {
        if by_number {
            self.codes.more(at);
        }
        let Some(challenge) = self.challenge(nonce) else { return };
        *(if by_number { &mut challenge.by_number } else { &mut challenge.by_id }) += 1;
        if right {
            (challenge.end, challenge.ended) = (End::Approved { redeemed: false }, at);
            self.codes = Failures::default();
            if !by_number {
                self.passwords = Failures::default();
            }
            self.sends.iter_mut().for_each(|sent| sent.answered = true);
        }
    }

    /// A day after its end nobody knows of a challenge; after a day without failures an account-less number has none.
    fn forget(&mut self, at: u64) {
        self.seen = at;
        self.challenges.retain(|challenge| at < challenge.ended + DAY);
        self.sends.retain(|sent| at < sent.at + DAY);
        self.sessions.retain(|session| at < session.until);
        self.grants.retain(|(_, until)| at < *until);
        self.strikes.retain(|strikes| at < strikes.until);
        self.comparing.retain(|comparing| at < comparing.at + DAY);
        self.codes.forget(self.user.is_some(), at);
        self.passwords.forget(self.user.is_some(), at);
    }

    /// Nothing stays in the future: what was open is over, limits restart, sessions keep what they had left.
    fn set_back(&mut self, to: u64) {
        let wrong = self.seen;
        for challenge in &mut self.challenges {
            challenge.created = challenge.created.min(to);
            challenge.until = challenge.until.min(to);
            challenge.ended = challenge.ended.min(to);
            challenge.sends.iter_mut().for_each(|(at, _)| *at = (*at).min(to));
        }
        self.void_receipts();
        self.grants.clear();
        self.sends.iter_mut().for_each(|sent| sent.at = sent.at.min(to));
        self.codes.set_back(wrong, to);
        self.passwords.set_back(wrong, to);
        self.strikes.iter_mut().for_each(|it| it.until = to + it.until.saturating_sub(wrong));
        self.comparing.iter_mut().for_each(|it| it.at = it.at.min(to));
        self.sessions.retain(|session| session.until > wrong);
        for session in &mut self.sessions {
            session.until = to + (session.until - wrong);
            session.rotated = to.saturating_sub(wrong - session.rotated);
        }
    }
}
