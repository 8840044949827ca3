//! What happened, as one hash to compare two runs by, and the last lines to read after a failure.

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hasher as _},
};

/// Lines that are kept.
const KEPT: usize = 4_000;
/// Lines that are shown: of the number that was asked last, and of what happened to the nodes.
const SHOWN: usize = 30;

/// The history of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: DefaultHasher,
    /// Lines with the number they are about, if it is one.
    lines: VecDeque<(Option<usize>, String)>,
}

impl Trace {
    pub(crate) fn note(&mut self, who: Option<usize>, line: String) {
        self.hash.write(line.as_bytes());
        if self.lines.len() >= KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back((who, line));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.lines.iter().rev().find_map(|(who, _)| *who);
        let about = |(who, _): &&(Option<usize>, String)| who.is_none() || *who == last;
        let mut shown: Vec<_> = self.lines.iter().rev().filter(about).take(SHOWN).collect();
        shown.reverse();
        shown.into_iter().try_for_each(|(_, line)| writeln!(f, "  {line}"))
    }
}

/// What a run came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) requests: u64,
    pub(crate) unknown: u64,
    pub(crate) approved: u64,
    /// Sign-ins by password, wrong ones, refusals of blocked addresses, of busy numbers and of shut accounts.
    pub(crate) by_password: u64,
    pub(crate) wrong_passwords: u64,
    pub(crate) blocked: u64,
    pub(crate) busy: u64,
    pub(crate) shut_out: u64,
    pub(crate) moved: u64,
    pub(crate) crashes: u64,
    /// Changes that were under way in a crash.
    pub(crate) cut_off: u64,
    pub(crate) clock_jumps: u64,
    pub(crate) commits: u64,
    pub(crate) deletions: u64,
    pub(crate) rebases: u64,
    pub(crate) accounts: u64,
    /// Virtual milliseconds times numbers; clock jumps do not count.
    pub(crate) phone_ms: u64,
    pub(crate) hash: u64,
}

impl Tally {
    pub(crate) fn phone_hours(&self) -> u64 {
        self.phone_ms / otpd::record::HOUR
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.requests += other.requests;
        self.unknown += other.unknown;
        self.approved += other.approved;
        self.by_password += other.by_password;
        self.wrong_passwords += other.wrong_passwords;
        self.blocked += other.blocked;
        self.busy += other.busy;
        self.shut_out += other.shut_out;
        self.moved += other.moved;
        self.crashes += other.crashes;
        self.cut_off += other.cut_off;
        self.clock_jumps += other.clock_jumps;
        self.commits += other.commits;
        self.deletions += other.deletions;
        self.rebases += other.rebases;
        self.accounts += other.accounts;
        self.phone_ms += other.phone_ms;
        self.hash ^= other.hash;
    }
}
