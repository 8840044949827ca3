//! What the server has acknowledged, number by number; plain data and the rules by which facts follow from others.

use std::{ops::Range, time::Instant};

use super::{
    api::{Answer, Outcome, Stop, claims},
    doubt::Doubt,
    scene::Scene,
};

/// Wrong checks that end a code.
pub(crate) const ATTEMPTS: u8 = 5;
/// Wrong codes by number without a wait; the one after these locks the number for longer than the test lasts.
pub(crate) const GUESSES_FREE: u8 = 2;
/// Starts per number, below what a record keeps (10), so that nothing is forgotten for want of room.
pub(crate) const STARTS_MAX: usize = 8;
/// Sign-ins per number, below the most sessions (10).
pub(crate) const SIGN_INS_MAX: usize = 8;
/// Receipts live 60 s; they are used well before, so that a restart fits between.
pub(crate) const RECEIPT_USED_WITHIN_S: u64 = 20;
/// A retired refresh token repeats its successor for 60 s (`token.refresh_grace_s`); asked well before.
pub(crate) const GRACE_USED_WITHIN_S: u64 = 45;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn range(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let len = of.len() as u64;
        (len > 0).then(|| of[self.range(0..len) as usize])
    }
}

/// How a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Approved,
    Canceled,
}

/// A verification whose start was acknowledged.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) id: String,
    pub(crate) code: String,
    pub(crate) stage: Stage,
    /// Wrong checks by id, and by number.
    pub(crate) spent: u8,
    pub(crate) spent_by_number: u8,
    pub(crate) receipt: Option<Receipt>,
    /// A phone change: no sign-in with it, and none of the checks by number see it.
    pub(crate) is_move: bool,
}

/// A receipt that was handed out.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) token: String,
    pub(crate) at: Instant,
    pub(crate) redeemed: bool,
}

impl Verification {
    pub(crate) fn new(id: String, code: String) -> Self {
        let stage = Stage::Pending;
        Self { id, code, stage, spent: 0, spent_by_number: 0, receipt: None, is_move: false }
    }

    /// Could its code be right now?
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Pending && self.spent < ATTEMPTS
    }

    /// The code with its last digit changed: of the right form, and wrong.
    pub(crate) fn wrong_code(&self) -> String {
        let (head, last) = self.code.split_at(self.code.len() - 1);
        format!("{head}{}", (last.parse::<u8>().unwrap() + 1) % 10)
    }

    pub(crate) fn approved(&mut self, answer: &Answer) {
        self.stage = Stage::Approved;
        self.receipt = Some(Receipt { token: answer.text("receipt"), at: Instant::now(), redeemed: false });
    }

    /// Has it a receipt that can still be redeemed?
    pub(crate) fn is_redeemable(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| !receipt.redeemed && receipt.is_young())
    }
}

impl Receipt {
    pub(crate) fn is_young(&self) -> bool {
        self.at.elapsed().as_secs() < RECEIPT_USED_WITHIN_S
    }
}

/// A session whose tokens were handed out.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) sid: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// The refresh token before, and when it was retired.
    pub(crate) previous: Option<(String, Instant)>,
    /// A token older than that.
    pub(crate) older: Option<String>,
    pub(crate) alive: bool,
}

impl Session {
    pub(crate) fn new(answer: &Answer) -> Self {
        let access = answer.text("access_token");
        let sid = claims(&access)["sid"].as_str().unwrap_or_default().to_owned();
        Self { sid, access, refresh: answer.text("refresh_token"), previous: None, older: None, alive: true }
    }

    pub(crate) fn rotated(&mut self, answer: &Answer) {
        let retired = std::mem::replace(&mut self.refresh, answer.text("refresh_token"));
        self.older =
            self.previous.replace((retired, Instant::now())).map(|(token, _)| token).or_else(|| self.older.take());
        self.access = answer.text("access_token");
    }
}

/// Whose number it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Not known if the sign-in that made it was never answered.
    pub(crate) user_id: Option<u64>,
    pub(crate) name: Option<String>,
}

/// A number and what was acknowledged of it. One request at a time, except where a race is meant.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) phone: String,
    pub(crate) verifications: Vec<Verification>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) account: Option<Account>,
    /// Consecutive wrong codes by number.
    pub(crate) guesses: u8,
    pub(crate) starts: usize,
    pub(crate) sign_ins: usize,
    /// What was under way when the server died.
    pub(crate) doubt: Option<Doubt>,
    /// A start was never answered: which one is the newest is not known any more.
    pub(crate) blind: bool,
    /// A session may be open whose tokens nobody got.
    pub(crate) unseen_session: bool,
    /// Something was acknowledged since it was last proved.
    pub(crate) unproved: bool,
    /// No more load for it.
    pub(crate) retired: bool,
    /// It cannot be found out any more what became of a request: nothing is claimed about the number.
    pub(crate) forsaken: bool,
}

impl Person {
    pub(crate) fn new(phone: String) -> Self {
        Self {
            phone,
            verifications: Vec::new(),
            sessions: Vec::new(),
            account: None,
            guesses: 0,
            starts: 0,
            sign_ins: 0,
            doubt: None,
            blind: false,
            unseen_session: false,
            unproved: false,
            retired: false,
            forsaken: false,
        }
    }

    /// The server has acknowledged one more fact.
    pub(crate) fn fact(&mut self, scene: &Scene) {
        self.doubt = None;
        self.unproved = true;
        scene.acknowledged();
    }

    pub(crate) fn may_start(&self) -> bool {
        self.starts < STARTS_MAX && !self.blind
    }

    pub(crate) fn may_sign_in(&self) -> bool {
        self.sign_ins < SIGN_INS_MAX
    }

    /// Some session that was not ended.
    pub(crate) fn alive(&self) -> Option<&Session> {
        self.sessions.iter().find(|session| session.alive)
    }

    /// The verification that a check by number is held against, if it is certain which one that is.
    pub(crate) fn newest(&self) -> Option<usize> {
        let standing = |of: &Verification| !of.is_move && of.stage != Stage::Canceled;
        (!self.blind).then(|| self.verifications.iter().rposition(standing)).flatten()
    }

    /// Takes a successful sign-in down: the account it made or must be of.
    pub(crate) fn signed_in(&mut self, scene: &Scene, answer: &Answer) -> Outcome<()> {
        let session = Session::new(answer);
        let user_id = claims(&session.access)["user_id"].as_u64();
        let is_new = answer.body["is_new_user"].as_bool();
        if is_new != Some(self.account.is_none()) {
            return answer.broken(&format!("{}: is_new_user, and the account is {:?}", self.phone, self.account));
        }
        self.sign_ins += 1;
        self.sessions.push(session);
        self.is_user(scene, user_id)
    }

    /// The account is this user's. An id that is new to this number must be new to all.
    pub(crate) fn is_user(&mut self, scene: &Scene, user_id: Option<u64>) -> Outcome<()> {
        let account = self.account.get_or_insert(Account { user_id: None, name: None });
        match (account.user_id, user_id) {
            (Some(known), Some(told)) if known == told => Ok(()),
            (None, Some(told)) => {
                account.user_id = Some(told);
                scene.born(told, &self.phone)
            }
            (known, told) => Err(Stop::Broken(format!("{}: user {known:?} became {told:?}", self.phone))),
        }
    }

    /// The account has gone, erased or moved: with it every session and receipt.
    pub(crate) fn departed(&mut self) -> Option<Account> {
        self.sessions.iter_mut().for_each(|session| session.alive = false);
        self.verifications.iter_mut().filter_map(|of| of.receipt.as_mut()).for_each(|receipt| receipt.redeemed = true);
        self.unseen_session = false;
        self.account.take()
    }
}

/// One of the people at work, with the numbers that are hers alone.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) rng: Rng,
    pub(crate) people: Vec<Person>,
}

impl Worker {
    pub(crate) fn new(index: usize, seed: u64) -> Self {
        Self { index, rng: Rng(seed), people: Vec::new() }
    }

    /// A number nobody has had.
    pub(crate) fn new_person(&mut self) -> usize {
        let phone = format!("+9891{:03}{:05}", self.index, self.people.len());
        self.people.push(Person::new(phone));
        self.people.len() - 1
    }

    /// A key or a value nobody has had.
    pub(crate) fn fresh_word(&mut self) -> String {
        format!("w{}-{:016x}", self.index, self.rng.next())
    }

    /// Everything has to be proved once more.
    pub(crate) fn doubt_everything(&mut self) {
        self.people.iter_mut().for_each(|person| person.unproved = true);
    }
}
