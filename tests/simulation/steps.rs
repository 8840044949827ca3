//! What must hold between a record and the next one that became durable, whatever was asked in between.
//!
//! The names I1 to I13 are those of the core's invariants. Nothing here knows the command: every rule is one that no
//! command may break.

use otpd::record::{CHALLENGES_MAX, DAY, HOUR, MINUTE, SECOND};

use super::{
    ledger::{Break, Guesses, Past},
    seen::{Seen, SeenChallenge, SeenSession, SeenStage},
};

/// The guess budget of every policy of the simulation: `free` failures, then delays, then the end.
pub(crate) const GUESSES_FREE: u16 = 5;
/// Delay after the first failure beyond the free ones.
pub(crate) const GUESS_DELAY_MS: u64 = 30 * SECOND;
/// Longest delay.
pub(crate) const GUESS_DELAY_MAX_MS: u64 = 20 * MINUTE;
/// Failures after which checks by number end.
pub(crate) const GUESSES_STOP_AT: u16 = 12;

/// Wrong answers in a row that block an address, where one does.
pub(crate) const STRIKES: u8 = 3;
/// How long, and how long a wrong answer is remembered.
pub(crate) const BLOCK_MS: u64 = HOUR;

/// One step of one number: both records, and what of it is worked out once.
pub(super) struct Step<'a> {
    pub(super) before: Option<&'a Seen>,
    pub(super) after: &'a Seen,
    /// The clock was more than an hour behind: times were brought back.
    pub(super) rebased: bool,
    /// It was an unlock, by what it did to the counts.
    pub(super) unlocked: bool,
    /// A challenge that was approved in it.
    pub(super) approved: Option<u64>,
    pub(super) compared_by_id: u32,
    compared_by_number: u32,
    broken: Vec<String>,
}

/// Enters the step into the number's past and answers which rules it breaks.
pub(crate) fn check(past: &mut Past, before: Option<&Seen>, after: &Seen) -> Vec<String> {
    let rebased = before.is_some_and(|before| after.seen_at < before.seen_at);
    let mut step = Step {
        before,
        after,
        rebased,
        unlocked: false,
        approved: None,
        compared_by_id: 0,
        compared_by_number: 0,
        broken: Vec::new(),
    };
    if let Some(before) = before.filter(|_| rebased) {
        past.breaks.push(Break { wrong: before.seen_at, now: after.seen_at });
        for guesses in [&mut past.guesses, &mut past.wrong_passwords] {
            (guesses.shaken, guesses.last_at) = (true, guesses.last_at.min(after.seen_at));
        }
    }
    step.versions(past);
    step.challenges(past);
    step.unlocked = step.may_be_unlock(past);
    step.guesses(past);
    step.passwords(past);
    step.blocks();
    step.sends();
    step.sessions(past);
    past.bios.extend(after.account.iter().filter_map(|account| account.profile.bio.clone()));
    step.broken
}

impl Step<'_> {
    pub(super) fn rule(&mut self, holds: bool, rule: &str) {
        if !holds {
            self.broken.push(rule.to_owned());
        }
    }

    fn versions(&mut self, past: &mut Past) {
        let steps = self.before.is_none_or(|before| self.after.version == before.version + 1);
        self.rule(steps, "I5 the version steps by one");
        self.rule(past.versions.insert(self.after.version), "a version of a deleted record came back");
        let too_little = self.before.is_some_and(|before| self.rebased && before.seen_at <= self.after.seen_at + HOUR);
        self.rule(!too_little, "I8 time seen never goes back, but for a clock more than an hour behind");
    }

    fn challenges(&mut self, past: &mut Past) {
        let before = self.before.map(|before| before.challenges.as_slice()).unwrap_or_default();
        for old in before {
            match self.after.challenge(old.nonce) {
                Some(new) => self.challenge(past, old, new),
                None => {
                    let over = self.after.seen_at >= old.created_at.min(self.after.seen_at) + DAY;
                    self.rule(over || before.len() >= CHALLENGES_MAX, "I10 a challenge was forgotten within its day");
                }
            }
        }
        for new in &self.after.challenges {
            if !before.iter().any(|old| old.nonce == new.nonce) {
                let fresh = new.stage == SeenStage::Pending && new.attempts_by_id + new.attempts_by_number == 0;
                self.rule(fresh && new.deliveries.len() == 1, "a challenge begins pending, untried, with one send");
                self.rule(past.challenges.insert(new.nonce), "I3 a challenge that was gone came back");
            }
            past.sent.extend(new.deliveries.iter().map(|delivery| (new.nonce, delivery.number)));
            past.tries_by_id.insert(new.nonce, new.attempts_by_id);
        }
        self.rule(self.compared_by_id + self.compared_by_number <= 1, "a step compares once");
    }

    fn challenge(&mut self, past: &mut Past, old: &SeenChallenge, new: &SeenChallenge) {
        let by_id = new.attempts_by_id.checked_sub(old.attempts_by_id);
        let by_number = new.attempts_by_number.checked_sub(old.attempts_by_number);
        self.rule(by_id.is_some() && by_number.is_some(), "I1 tries are never given back");
        let compared = u32::from(by_id.unwrap_or(0)) + u32::from(by_number.unwrap_or(0));
        self.compared_by_id += u32::from(by_id.unwrap_or(0));
        self.compared_by_number += u32::from(by_number.unwrap_or(0));
        let within = new.attempts_by_id <= new.attempts_max && new.attempts_by_number <= new.attempts_max;
        self.rule(within, "I1 tries within the budget");
        self.rule(new.expires_at <= old.expires_at, "I8 no life is prolonged");
        self.rule(may_become(old.stage, new.stage), "I3 what has ended stays ended");
        let sends_stay = old
            .deliveries
            .iter()
            .zip(&new.deliveries)
            .all(|(old, new)| old.number == new.number && old.may_become(new));
        self.rule(sends_stay && new.deliveries.len() >= old.deliveries.len(), "a send goes forward, and an end stays");
        if new.is_approved() && !old.is_approved() {
            self.rule(self.approved.is_none(), "I4 one match a step");
            self.rule(past.approved.insert(new.nonce), "I3 a code was approved twice");
            self.rule(compared == 1, "I1 the try is counted, a right one too");
            self.rule(self.after.seen_at < old.expires_at, "I8 a code was approved after its time");
            self.approved = Some(new.nonce);
        }
    }

    /// Everything that is counted is gone, something was, and somebody has asked for that.
    fn may_be_unlock(&self, past: &Past) -> bool {
        let counted =
            |seen: &Seen| seen.guesses.failures > 0 || seen.passwords.guesses.failures > 0 || !seen.blocks.is_empty();
        let was_counted = self.before.is_some_and(counted) && self.approved.is_none();
        past.unlocks_asked > 0 && was_counted && !counted(self.after)
    }

    fn guesses(&mut self, past: &mut Past) {
        let (has_account, now) = (self.before.is_some_and(|before| before.account.is_some()), self.after.seen_at);
        if past.guesses.are_forgotten(has_account, now) {
            past.guesses = Guesses::default();
        }
        if self.compared_by_number > 0 {
            past.compared_by_number += u64::from(self.compared_by_number);
            self.rule(past.guesses.failures < GUESSES_STOP_AT, "a check by number was compared after the last one");
            let waited = past.guesses.shaken || now >= past.guesses.last_at + delay(past.guesses.failures);
            self.rule(waited, "I7 a check by number was compared within its delay");
            past.guesses =
                Guesses { failures: past.guesses.failures.saturating_add(1), last_at: now, shaken: self.rebased };
        }
        let found = self.after.guesses.failures;
        if self.approved.is_some() || self.unlocked {
            past.guesses = Guesses::default();
        }
        // A clock that ran ahead and back can make the day of forgetting pass in the record's time alone.
        let forgotten = found == 0 && past.guesses.shaken && !has_account;
        self.rule(found == past.guesses.failures || forgotten, "the guess budget is neither refunded nor overdrawn");
        past.guesses.failures = found;
    }

    fn sends(&mut self) {
        let before = self.before.map(|before| before.sends.sends.as_slice()).unwrap_or_default();
        let now = self.after.seen_at;
        for old in before {
            let at = if self.rebased { old.at.min(now) } else { old.at };
            let new = self.after.sends.sends.iter().find(|sent| same(old, sent));
            match new {
                Some(new) => {
                    let lifted = new.answered && !old.answered;
                    self.rule(new.at == at, "I6 sends stay where they were");
                    self.rule(!lifted || self.approved.is_some(), "I6 only a success lifts the cooldown");
                }
                None => {
                    let challenge = self.after.challenge(old.challenge);
                    let given_back = challenge.is_some_and(|challenge| challenge.has_failed(old.delivery));
                    self.rule(given_back || now >= at + DAY, "I6 only a failed send is given back");
                }
            }
        }
        for new in self.after.sends.sends.iter().filter(|new| !before.iter().any(|old| same(old, new))) {
            self.rule(new.at == now, "I6 a send is entered at its time");
        }
    }

    fn sessions(&mut self, past: &mut Past) {
        let before = self.before.map(|before| before.sessions.as_slice()).unwrap_or_default();
        for old in before {
            match self.after.session(old.nonce) {
                Some(new) => {
                    let steps = new.generation == old.generation || new.generation == old.generation + 1;
                    self.rule(steps, "a refresh chain steps by one");
                    past.sessions.insert(new.nonce, new.generation);
                }
                None => {
                    past.ended.insert(old.nonce);
                }
            }
        }
        let is_new = |new: &&SeenSession| !before.iter().any(|old| old.nonce == new.nonce);
        let opened: Vec<&SeenSession> = self.after.sessions.iter().filter(is_new).collect();
        self.rule(opened.len() <= 1, "a step opens one session");
        for new in opened {
            self.rule(past.sessions.insert(new.nonce, new.generation).is_none(), "a session that ended came back");
            self.rule(new.generation == 0, "a refresh chain begins at its first link");
        }
    }
}

fn same(one: &super::seen::SeenSent, other: &super::seen::SeenSent) -> bool {
    (one.challenge, one.delivery) == (other.challenge, other.delivery)
}

/// The stages a challenge may go through. A rebase may move the times of what has ended, and burn a receipt.
fn may_become(old: SeenStage, new: SeenStage) -> bool {
    match (old, new) {
        (SeenStage::Pending, _)
        | (SeenStage::Canceled { .. }, SeenStage::Canceled { .. })
        | (SeenStage::Superseded { .. }, SeenStage::Superseded { .. })
        | (SeenStage::Failed { .. }, SeenStage::Failed { .. }) => true,
        (SeenStage::Approved { redeemed: old, at: before }, SeenStage::Approved { redeemed: new, at: after }) => {
            (new || !old) && after <= before
        }
        _ => false,
    }
}

/// The delay that `failures` in a row have brought.
pub(crate) fn delay(failures: u16) -> u64 {
    match failures.checked_sub(GUESSES_FREE + 1) {
        None => 0,
        Some(beyond) => (GUESS_DELAY_MS << beyond.min(20)).min(GUESS_DELAY_MAX_MS),
    }
}
