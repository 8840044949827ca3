//! What must hold whatever the load: each rule counts how often it was looked at, because one that never was says nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A code that was good once is refused, by id and by number.
    CodeOnce,
    /// A receipt that was redeemed is refused.
    ReceiptOnce,
    /// A wrong code is refused.
    WrongRefused,
    /// Of one code no more wrong tries are looked at than the limit says.
    GuessesLimited,
    /// An accepted start is one message.
    OneMessage,
    /// A number gets no more messages than its limits say.
    SendsLimited,
    /// A token shows the profile of the number that signed in.
    RightPerson,
    /// A session that was acknowledged before a kill lives after it.
    SessionKept,
    /// A verification that was acknowledged before a kill can be checked after it.
    VerificationKept,
    /// A code that was used before a kill stays used after it.
    UsedStaysUsed,
}

impl Rule {
    const ALL: [Self; 10] = [
        Self::CodeOnce,
        Self::ReceiptOnce,
        Self::WrongRefused,
        Self::GuessesLimited,
        Self::OneMessage,
        Self::SendsLimited,
        Self::RightPerson,
        Self::SessionKept,
        Self::VerificationKept,
        Self::UsedStaysUsed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::CodeOnce => "code_once",
            Self::ReceiptOnce => "receipt_once",
            Self::WrongRefused => "wrong_refused",
            Self::GuessesLimited => "guesses_limited",
            Self::OneMessage => "one_message",
            Self::SendsLimited => "sends_limited",
            Self::RightPerson => "right_person",
            Self::SessionKept => "session_kept",
            Self::VerificationKept => "verification_kept",
            Self::UsedStaysUsed => "used_stays_used",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::CodeOnce => "no code was accepted twice",
            Self::ReceiptOnce => "no receipt was redeemed twice",
            Self::WrongRefused => "no wrong code was accepted",
            Self::GuessesLimited => "no code had more wrong tries than its limit",
            Self::OneMessage => "each accepted start was one message",
            Self::SendsLimited => "no number got more messages than its limits",
            Self::RightPerson => "each token showed the profile of its own number",
            Self::SessionKept => "no session acknowledged before a kill was lost",
            Self::VerificationKept => "no verification acknowledged before a kill was lost",
            Self::UsedStaysUsed => "no code used before a kill was accepted after it",
        }
    }
}

/// The counts of all rules.
#[derive(Debug, Default)]
pub(super) struct Invariants {
    counts: [(AtomicU64, AtomicU64); Rule::ALL.len()],
}

/// A rule and what was found.
#[derive(Debug, Clone, Serialize)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// How often it was looked at.
    pub checked: u64,
    /// How often it did not hold.
    pub broken: u64,
}

impl Invariants {
    /// Notes one look.
    pub(super) fn hold(&self, rule: Rule, holds: bool) {
        self.note(rule, 1, u64::from(!holds));
    }

    /// Notes many looks.
    pub(super) fn note(&self, rule: Rule, checked: u64, broken: u64) {
        let place = Rule::ALL.iter().position(|known| *known == rule).and_then(|at| self.counts.get(at));
        if let Some((all, bad)) = place {
            all.fetch_add(checked, Ordering::Relaxed);
            bad.fetch_add(broken, Ordering::Relaxed);
        }
    }

    /// Those that were looked at.
    pub(super) fn found(&self) -> Vec<Invariant> {
        let counted = Rule::ALL.iter().zip(&self.counts);
        let found = counted.map(|(rule, (checked, broken))| Invariant {
            name: rule.name(),
            meaning: rule.meaning(),
            checked: checked.load(Ordering::Relaxed),
            broken: broken.load(Ordering::Relaxed),
        });
        found.filter(|invariant| invariant.checked > 0).collect()
    }
}
