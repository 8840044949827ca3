//! What the outside knows of one number: codes it was sent, sessions it holds, keys it used, and what it was promised.
//!
//! Moments are counted, not timed: `Moment` grows by one with everything that is asked or answered, so "was answered
//! before that was asked" is a comparison. A thing whose answer never came may have happened or not, and is kept so.

use std::collections::BTreeMap;

use super::ledger::{Break, Past};
use otpd::record::{Code, Command, DAY, Outcome, PasswordHash, PhoneNumber, SessionRef};

/// A place in the order of all requests and answers.
pub(crate) type Moment = u64;

/// One number and whoever uses it.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) phone: PhoneNumber,
    pub(crate) asked: Vec<Asked>,
    pub(crate) held: Vec<Held>,
    pub(crate) grants: Vec<Granted>,
    pub(crate) compared: Vec<Compared>,
    /// Somebody has registered here, so that passwords are worth a try.
    pub(crate) registered: bool,
    pub(crate) keys: Vec<Key>,
    pub(crate) sends: Vec<Sent>,
    /// Acknowledged wrong codes by number, ever.
    pub(crate) wrong_by_number: u64,
    /// When a success may last have been: it lifts the cooldown.
    pub(crate) succeeded: Moment,
    /// Checks under way that may succeed.
    pub(crate) may_succeed: u32,
    pub(crate) opens_asked: u64,
    /// Until then (virtual ms) something of this number may still be on its way unseen.
    pub(crate) muddy_until_ms: u64,
    /// How many breaks of its time the sends have followed.
    pub(crate) breaks_followed: usize,
}

/// A challenge that was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) nonce: u64,
    pub(crate) door: usize,
    /// Known once its message was handed out.
    pub(crate) code: Option<Code>,
    pub(crate) chosen: bool,
    pub(crate) expires_at: u64,
    pub(crate) bound_to: Option<SessionRef>,
    /// Values of `attempts_remaining` that were told, each once, and when.
    pub(crate) told_remaining: BTreeMap<u8, Moment>,
    pub(crate) approved: Option<Moment>,
    /// By the number's own time.
    pub(crate) approved_at: u64,
    /// The account went since the approval, and the receipt with it.
    pub(crate) voided: Option<Moment>,
    pub(crate) redeemed: Option<Moment>,
    pub(crate) canceled: Option<Moment>,
    /// When it was first acknowledged.
    pub(crate) told: Option<Moment>,
}

/// A session that was opened, or may have been.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) nonce: u64,
    pub(crate) user_id: u64,
    /// Newest generation that was told.
    pub(crate) generation: u32,
    /// When its opening was acknowledged, if it was.
    pub(crate) opened: Option<Moment>,
    /// Requests that may have ended it and were not certainly without effect.
    pub(crate) doubts: u32,
    pub(crate) ended: Option<Moment>,
    pub(crate) expires_at: u64,
    pub(crate) asked: Moment,
    /// Its place among the number's sign-ins: ten later ones may push it out.
    pub(crate) open: u64,
    /// The latest that any clock has shown since it was asked for.
    pub(crate) clock_peak: u64,
    /// Breaks of the number's time before it was asked for.
    pub(crate) breaks: usize,
}

/// A registration grant that was given.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) nonce: u64,
    pub(crate) used: Option<Moment>,
}

/// A password that was to be compared.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) nonce: u64,
    /// When it was acknowledged, if it was.
    pub(crate) begun: Option<Moment>,
    /// What to compare with.
    pub(crate) hash: Option<PasswordHash>,
    /// When its end was acknowledged.
    pub(crate) ended: Option<Moment>,
}

/// An `Idempotency-Key` and what was asked with it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) key: [u8; 16],
    pub(crate) body: [u8; 16],
    pub(crate) door: usize,
    pub(crate) command: Command,
    /// The nonces that were drawn for it, one a try: at most one may ever be used.
    pub(crate) nonces: Vec<u64>,
    /// What was acknowledged, and when by the number's own time.
    pub(crate) kept: Option<(Outcome, u64)>,
    /// When it was acknowledged.
    pub(crate) told: Moment,
    /// Requests with this key and another body that may have been done: then that body is the key's.
    pub(crate) foreign: u32,
    /// A send with it failed, so a retry may be judged anew.
    pub(crate) send_failed: bool,
    /// When it was first used, by the clock of the node.
    pub(crate) asked_at: u64,
    /// Breaks of the number's time before it was first used.
    pub(crate) breaks: usize,
    /// Keys used later on this number: sixteen push its answer out.
    pub(crate) later: u32,
    pub(crate) clock_peak: u64,
}

/// A send that was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) nonce: u64,
    pub(crate) delivery: u8,
    pub(crate) at: u64,
    pub(crate) door: usize,
    pub(crate) address: Option<u64>,
    pub(crate) is_start: bool,
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
    /// A failure was reported that gives it back.
    pub(crate) given_back: bool,
}

/// What was written into a profile, and when. A register: what is read must be the last that was written.
#[derive(Debug, Default)]
pub(crate) struct Bios {
    pub(crate) writes: BTreeMap<u64, Vec<Write>>,
}

/// One write of a profile.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) text: String,
    pub(crate) asked: Moment,
    pub(crate) answered: Option<Moment>,
    /// It was certainly not made.
    pub(crate) failed: bool,
}

impl Person {
    pub(crate) fn new(phone: PhoneNumber) -> Self {
        Self {
            phone,
            asked: Vec::new(),
            held: Vec::new(),
            grants: Vec::new(),
            compared: Vec::new(),
            registered: false,
            keys: Vec::new(),
            sends: Vec::new(),
            wrong_by_number: 0,
            succeeded: 0,
            may_succeed: 0,
            opens_asked: 0,
            muddy_until_ms: 0,
            breaks_followed: 0,
        }
    }

    /// A check that might have succeeded has been answered, or will never be.
    pub(crate) fn checked(&mut self, moment: Moment, answered: bool) {
        self.may_succeed -= 1;
        // What was never answered may be done a little later still.
        self.succeeded = if answered { moment } else { moment + 500 };
    }

    pub(crate) fn asked(&self, nonce: u64) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.nonce == nonce)
    }

    pub(crate) fn asked_mut(&mut self, nonce: u64) -> Option<&mut Asked> {
        self.asked.iter_mut().find(|asked| asked.nonce == nonce)
    }

    pub(crate) fn compared_mut(&mut self, nonce: u64) -> Option<&mut Compared> {
        self.compared.iter_mut().find(|compared| compared.nonce == nonce)
    }

    pub(crate) fn held(&self, nonce: u64) -> Option<&Held> {
        self.held.iter().find(|held| held.nonce == nonce)
    }

    pub(crate) fn held_mut(&mut self, nonce: u64) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.nonce == nonce)
    }

    /// A clock is about to leave `latest`: what that clock may have done meanwhile stays thinkable.
    pub(crate) fn saw_clock(&mut self, latest: u64) {
        let held = self.held.iter_mut().map(|it| &mut it.clock_peak);
        let keys = self.keys.iter_mut().map(|it| &mut it.clock_peak);
        for peak in held.chain(keys) {
            *peak = latest.max(*peak);
        }
    }

    /// Times of the number were brought back: sends whose day was over by the wrong time are forgotten, and those that
    /// seem to be of the future are of that time now.
    pub(crate) fn follow(&mut self, breaks: &[Break]) {
        for it in breaks.iter().skip(self.breaks_followed) {
            self.sends.retain(|sent| it.wrong < sent.at.saturating_add(DAY));
            self.sends.iter_mut().for_each(|sent| sent.at = sent.at.min(it.now));
        }
        self.breaks_followed = breaks.len();
    }

    /// Forgets what is too old to matter, so that the lists stay short.
    pub(crate) fn prune(&mut self) {
        trim(&mut self.asked, 24);
        trim(&mut self.held, 60);
        trim(&mut self.grants, 8);
        trim(&mut self.compared, 24);
        trim(&mut self.keys, 24);
        trim(&mut self.sends, 60);
    }
}

fn trim<T>(list: &mut Vec<T>, most: usize) {
    let excess = list.len().saturating_sub(most);
    list.drain(..excess);
}

impl Held {
    /// May it have ended for a reason that needs no request of its own?
    pub(crate) fn may_be_over(&self, person: &Person, past: &Past, latest: u64) -> bool {
        let latest = self.clock_peak.max(latest) + past.lost_ms(self.breaks);
        self.doubts > 0 || latest >= self.expires_at || person.opens_asked >= self.open + 10
    }
}

impl Key {
    /// May its answer be kept no longer?
    pub(crate) fn may_be_gone(&self, past: Option<&Past>, latest: u64) -> bool {
        let kept_at = self.kept.as_ref().map_or(self.asked_at, |(_, at)| *at);
        let breaks = past.map(|past| past.breaks.iter().skip(self.breaks)).into_iter().flatten();
        let kept_at = breaks.map(|it| it.now).fold(kept_at, u64::min);
        self.send_failed || self.later >= 16 || self.clock_peak.max(latest) >= kept_at + DAY
    }
}

impl Bios {
    pub(crate) fn ask(&mut self, user_id: u64, text: String, asked: Moment) {
        let write = Write { text, asked, answered: None, failed: false };
        self.writes.entry(user_id).or_default().push(write);
    }

    /// What came of a write: acknowledged, or certainly not made.
    pub(crate) fn settle(&mut self, user_id: u64, text: &str, answered: Moment, made: bool) {
        let writes = self.writes.entry(user_id).or_default();
        if let Some(write) = writes.iter_mut().find(|write| write.text == text) {
            if made {
                write.answered = Some(answered);
            } else {
                write.failed = true;
            }
        }
    }

    /// Could a read asked for at `asked` find `text`? Not if the write failed, and not if another one was asked for
    /// after this one was acknowledged, and acknowledged before the read was asked for.
    pub(crate) fn may_be(&self, user_id: u64, text: Option<&str>, asked: Moment) -> bool {
        let writes = self.writes.get(&user_id).map(Vec::as_slice).unwrap_or_default();
        let written = match text {
            None => Some(0),
            Some(text) => match writes.iter().find(|write| write.text == text) {
                None => return false,
                Some(write) if write.failed => return false,
                Some(write) => write.answered,
            },
        };
        let Some(written) = written else { return true };
        !writes.iter().any(|other| other.asked > written && other.answered.is_some_and(|answered| answered < asked))
    }
}
