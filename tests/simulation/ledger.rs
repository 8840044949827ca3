//! Everything that ever became durable, in order: a mirror of the store, and what each number's history amounts to.
//!
//! It is told of changes by the store's connections, applies compare-and-set by itself, and holds the rules of
//! `steps` and `places` against every change. It never looks at an answer; `judge` compares those with it.

use std::collections::{BTreeMap, BTreeSet};

use otpd::{
    record::{DAY, PhoneNumber},
    store::{Change, Snapshot},
};

use super::{places::Places, seen::Seen, steps};

/// The store as it must be, and all that was.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    now: BTreeMap<PhoneNumber, Kept>,
    pasts: BTreeMap<PhoneNumber, Past>,
    pub(crate) places: Places,
    /// Leases of user ids: first and behind the last.
    leases: Vec<(u64, u64)>,
    /// Whose every password is that there ever was.
    pub(crate) passwords: BTreeMap<String, u64>,
    /// The latest time that any node's clock showed lately; nothing may be forgotten before its time by it.
    pub(crate) clock_peak: u64,
    pub(crate) broken: Vec<String>,
    pub(crate) commits: u64,
    pub(crate) deletions: u64,
    pub(crate) rebases: u64,
}

/// What the store has of a number.
#[derive(Debug)]
struct Kept {
    snapshot: Snapshot,
    seen: Seen,
}

/// What a number's history amounts to.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) versions: BTreeSet<u64>,
    pub(crate) challenges: BTreeSet<u64>,
    pub(crate) approved: BTreeSet<u64>,
    pub(crate) sent: BTreeSet<(u64, u8)>,
    /// Sessions and their newest generation.
    pub(crate) sessions: BTreeMap<u64, u32>,
    pub(crate) ended: BTreeSet<u64>,
    /// Most tries by id that a challenge showed.
    pub(crate) tries_by_id: BTreeMap<u64, u8>,
    /// Checks by number that were compared, ever.
    pub(crate) compared_by_number: u64,
    pub(crate) bios: BTreeSet<String>,
    pub(crate) guesses: Guesses,
    /// The same for passwords.
    pub(crate) wrong_passwords: Guesses,
    /// Comparisons that ever began.
    pub(crate) begun: BTreeSet<u64>,
    /// Where the number's own time broke.
    pub(crate) breaks: Vec<Break>,
    /// Unlocks and erasures that may take effect: asked for, and not known to have been judged.
    pub(crate) unlocks_asked: u32,
    pub(crate) erasures_asked: u32,
}

/// The number's times were brought back from the future, or it was forgotten altogether.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Break {
    /// The time before it, which was wrong.
    pub(crate) wrong: u64,
    /// The time after it.
    pub(crate) now: u64,
}

/// The guess budget, counted apart.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    pub(crate) failures: u16,
    pub(crate) last_at: u64,
    /// The clock was set back since: the delay is the record's to know.
    pub(crate) shaken: bool,
}

impl Ledger {
    pub(crate) fn seen(&self, phone: PhoneNumber) -> Option<&Seen> {
        self.now.get(&phone).map(|kept| &kept.seen)
    }

    pub(crate) fn snapshot(&self, phone: PhoneNumber) -> Option<&Snapshot> {
        self.now.get(&phone).map(|kept| &kept.snapshot)
    }

    pub(crate) fn past(&self, phone: PhoneNumber) -> Option<&Past> {
        self.pasts.get(&phone)
    }

    pub(crate) fn past_mut(&mut self, phone: PhoneNumber) -> &mut Past {
        self.pasts.entry(phone).or_default()
    }

    /// Would compare-and-set let it through?
    pub(crate) fn may_apply(&self, change: &Change) -> bool {
        self.snapshot(change.phone).map(|now| now.version) == change.expected
    }

    /// A change that is durable.
    pub(crate) fn apply(&mut self, change: &Change) {
        let phone = change.phone;
        if !self.may_apply(change) {
            self.found(phone, "the store let a change of another version through");
        }
        self.commits += 1;
        match &change.next {
            Some(next) => self.replace(phone, next),
            None => self.delete(phone),
        }
    }

    pub(crate) fn leased(&mut self, ids: &std::ops::Range<u64>) {
        if self.leases.iter().any(|(first, end)| ids.start < *end && *first < ids.end) {
            self.broken.push(format!("user ids {ids:?} leased twice"));
        }
        self.leases.push((ids.start, ids.end));
    }

    fn replace(&mut self, phone: PhoneNumber, next: &Snapshot) {
        let seen = match Seen::read(phone, &next.bytes) {
            Ok(seen) if seen.version == next.version => seen,
            Ok(_) => return self.found(phone, "I5 header and body name different versions"),
            Err(broken) => return self.found(phone, &broken),
        };
        let before = self.now.remove(&phone).map(|kept| kept.seen);
        let past = self.pasts.entry(phone).or_default();
        let mut broken = steps::check(past, before.as_ref(), &seen);
        self.rebases += u64::from(before.as_ref().is_some_and(|before| seen.seen_at < before.seen_at));
        broken.extend(self.places.step(phone, before.as_ref(), Some(&seen), &mut past.erasures_asked));
        let accounts = seen.account.iter().chain(seen.parcel.iter().map(|parcel| &parcel.account));
        for account in accounts {
            let Some(password) = &account.password else { continue };
            if *self.passwords.entry(password.clone()).or_insert(account.user_id) != account.user_id {
                broken.push("a password became another user's".to_owned());
            }
        }
        self.now.insert(phone, Kept { snapshot: next.clone(), seen });
        broken.into_iter().for_each(|rule| self.found(phone, &rule));
    }

    fn delete(&mut self, phone: PhoneNumber) {
        self.deletions += 1;
        let Some(kept) = self.now.remove(&phone) else { return };
        if let Some(reason) = kept.seen.still_matters(self.clock_peak) {
            self.found(phone, &format!("a record was forgotten that has {reason}"));
        }
        let past = self.pasts.entry(phone).or_default();
        past.ended.extend(kept.seen.sessions.iter().map(|session| session.nonce));
        (past.guesses, past.wrong_passwords) = Default::default();
        past.breaks.push(Break { wrong: u64::MAX, now: u64::MAX });
        let broken = self.places.step(phone, Some(&kept.seen), None, &mut past.erasures_asked);
        broken.into_iter().for_each(|rule| self.found(phone, &rule));
    }

    fn found(&mut self, phone: PhoneNumber, rule: &str) {
        self.broken.push(format!("{phone} at commit {}: {rule}", self.commits));
    }
}

impl Past {
    /// How much of a life was lost by times brought back since the first `seen` breaks.
    pub(crate) fn lost_ms(&self, seen: usize) -> u64 {
        self.breaks.iter().skip(seen).map(|it| it.wrong - it.now).sum()
    }
}

impl Guesses {
    /// Has the number forgotten its failures by `now`? Only one without an account does.
    pub(crate) fn are_forgotten(&self, has_account: bool, now: u64) -> bool {
        !has_account && now >= self.last_at + DAY
    }
}
