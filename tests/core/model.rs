//! The naive model: it keeps everything that ever happened to a number and works every answer out from that list,
//! with no bound on memory and no cleverness. Written from DESIGN.md and v1.md, not from the record.
//!
//! What happened and what it comes to is here; what is answered to it is in `answers`. It leaves out what the scripts
//! cover by themselves: retries with a key, phone change, chosen codes.

use otpd::record::{DAY, Door, HOUR, Policy, Sender};

use super::world::policy;

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
        failed: bool,
        given_back: bool,
        at: u64,
    },
    Compared {
        nonce: u64,
        by_number: bool,
        right: bool,
        at: u64,
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

/// What is asked; a `right` code is the one of the challenge that the check is against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Start { nonce: u64, door: Door, sender: Sender },
    Resend { nonce: u64, sender: Sender },
    Settle { nonce: u64, send: usize, result: Settled },
    CheckById { nonce: u64, typed: Typed, wanted: Wanted },
    CheckByNumber { door: Door, typed: Typed, wanted: Wanted },
    Cancel { nonce: u64 },
    Read { nonce: u64 },
    Redeem { nonce: u64, session: u64, user: u64 },
    Register { nonce: u64, session: u64, user: u64 },
    Refresh { session: u64, generation: u32 },
    Authenticate { session: u64 },
    End { session: u64 },
    Erase { session: u64 },
    Unlock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typed {
    Right,
    Wrong,
    Short,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    Approval,
    Session { session: u64, user: u64 },
    Grant { nonce: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Accepted,
    Failed,
    Dead,
    Unknown,
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
    Settled,
    Failed,
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

/// What the history comes to at one moment.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) seen: u64,
    pub(crate) challenges: Vec<Challenge>,
    pub(crate) sends: Vec<Sent>,
    /// Failures by number in a row, and until when the next must wait.
    pub(crate) failures: u32,
    pub(crate) failed: u64,
    pub(crate) delayed: u64,
    pub(crate) user: Option<u64>,
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
        let failed = facts.failures > 0;
        let mut happened = Vec::new();
        let mut at = now.max(facts.seen);
        if now + HOUR < facts.seen {
            at = now;
            happened.push(Event::SetBack { to: now });
        }
        happened.push(Event::Commit { at });
        for event in &happened {
            facts.follow(event);
        }
        let before = happened.len();
        let words = facts.answer(ask, at, &mut happened);
        // What is over by the clock alone is written down when it is asked to end, or a clock set back would revive it.
        match ask {
            Ask::End { session } if happened.len() == before && held.contains(&session) => {
                happened.push(Event::Ended { session });
            }
            Ask::Unlock if happened.len() == before && failed => happened.push(Event::Unlocked),
            _ => {}
        }
        let written = happened.len() > before || before > 1;
        if written {
            self.history.append(&mut happened);
        }
        (words, written)
    }
}

impl Facts {
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
            Event::Settled { nonce, send, failed, given_back, at } => {
                let Some(challenge) = self.challenge(nonce) else { return };
                challenge.sends[send].1 = if failed { Delivered::Failed } else { Delivered::Settled };
                let none_left = challenge.sends.iter().all(|(_, delivered)| *delivered == Delivered::Failed);
                if none_left && challenge.end == End::Open {
                    (challenge.end, challenge.ended) = (End::Failed, at);
                }
                self.sends.retain(|sent| !given_back || (sent.nonce, sent.send) != (nonce, send));
            }
            Event::Compared { nonce, by_number, right, at } => self.compared(nonce, by_number, right, at),
            Event::Canceled { nonce, at } => {
                let Some(challenge) = self.challenge(nonce) else { return };
                (challenge.end, challenge.ended) = (End::Canceled, at);
            }
            Event::Redeemed { nonce } => {
                let Some(challenge) = self.challenge(nonce) else { return };
                challenge.end = End::Approved { redeemed: true };
            }
            Event::SignedIn { session, user, at } => {
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
            Event::Registered { nonce } => self.grants.retain(|(grant, _)| *grant != nonce),
            Event::Refreshed { session, at } => {
                for session in self.sessions.iter_mut().filter(|open| open.nonce == session) {
                    (session.generation, session.rotated) = (session.generation + 1, at);
                }
            }
            Event::Ended { session } => self.sessions.retain(|open| open.nonce != session),
            Event::Erased => {
                (self.user, self.sessions, self.grants) = (None, Vec::new(), Vec::new());
                self.void_receipts();
            }
            Event::Unlocked => (self.failures, self.delayed) = (0, 0),
        }
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
            self.failures += 1;
            self.failed = at;
            if self.failures > 5 {
                let delay = (30_000_u64 << (self.failures - 6).min(20)).min(HOUR);
                self.delayed = at + delay;
            }
        }
        let Some(challenge) = self.challenge(nonce) else { return };
        *(if by_number { &mut challenge.by_number } else { &mut challenge.by_id }) += 1;
        if right {
            (challenge.end, challenge.ended) = (End::Approved { redeemed: false }, at);
            (self.failures, self.delayed) = (0, 0);
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
        if self.user.is_none() && at >= (self.failed + DAY).max(self.delayed) {
            (self.failures, self.delayed) = (0, 0);
        }
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
        self.failed = self.failed.min(to);
        self.delayed = if self.delayed > wrong { to + (self.delayed - wrong) } else { 0 };
        self.sessions.retain(|session| session.until > wrong);
        for session in &mut self.sessions {
            session.until = to + (session.until - wrong);
            session.rotated = to.saturating_sub(wrong - session.rotated);
        }
    }
}
