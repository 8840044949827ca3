//! Counters of what the use cases come to. Labels come from closed sets; the handles of the hot path are kept.

use std::collections::HashMap;

use metrics::{Counter, counter};

use crate::{
    metrics as names,
    phone::Fault,
    record::{LOGIN, Label, Outcome, PHONE_CHANGE, Refusal, SIGNUP, SendLimit},
};

/// Handles by their labels, registered once.
#[derive(Debug)]
pub(super) struct Meters {
    issued: HashMap<(&'static str, &'static str), Counter>,
    checks: HashMap<(&'static str, &'static str), Counter>,
    refusals: HashMap<(&'static str, &'static str), Counter>,
    tokens: HashMap<&'static str, Counter>,
}

impl Meters {
    /// Handles for these dialects.
    pub(super) fn new(dialects: &[&'static str]) -> Self {
        let family = |name: &'static str, label: &'static str, values: &'static [&'static str]| {
            let pairs = dialects.iter().flat_map(move |dialect| values.iter().map(move |value| (*dialect, *value)));
            pairs.map(move |(dialect, value)| ((dialect, value), counter!(name, "dialect" => dialect, label => value)))
        };
        let issued = dialects.iter().flat_map(|dialect| names::PURPOSES.iter().map(move |p| (*dialect, *p)));
        Self {
            issued: issued
                .map(|(dialect, purpose)| {
                    let labels = [("dialect", dialect), ("purpose", purpose), ("channel", "sms")];
                    ((dialect, purpose), counter!(names::CODES_ISSUED, &labels))
                })
                .collect(),
            checks: family(names::CODE_CHECKS, "outcome", names::CHECK_OUTCOMES).collect(),
            refusals: family(names::REFUSALS, "reason", names::REFUSAL_REASONS).collect(),
            tokens: names::TOKEN_KINDS
                .iter()
                .map(|kind| (*kind, counter!(names::TOKENS_ISSUED, "kind" => *kind)))
                .collect(),
        }
    }
}

impl Meters {
    pub(super) fn issued(&self, dialect: &'static str, purpose: Label) {
        if let Some(counter) = self.issued.get(&(dialect, purpose_label(purpose))) {
            counter.increment(1);
        }
    }

    pub(super) fn check(&self, dialect: &'static str, outcome: &Outcome) {
        if let Some(counter) = self.checks.get(&(dialect, check_label(outcome))) {
            counter.increment(1);
        }
    }

    pub(super) fn refusal(&self, dialect: &'static str, refusal: &Refusal) {
        if let Some(reason) = refusal_label(refusal) {
            self.refused(dialect, reason);
        }
    }

    pub(super) fn fault(&self, dialect: &'static str, fault: Fault) {
        let reason = match fault {
            Fault::Overloaded { .. } => "overloaded",
            Fault::Busy => "inflight",
            Fault::Draining => "draining",
            Fault::StorageRefused | Fault::Unreadable => "storage",
            Fault::Quarantined { .. } => "quarantine",
            // It may have been done: no refusal.
            Fault::Unknown => return,
        };
        self.refused(dialect, reason);
    }

    pub(super) fn refused(&self, dialect: &'static str, reason: &'static str) {
        if let Some(counter) = self.refusals.get(&(dialect, reason)) {
            counter.increment(1);
        }
    }

    pub(super) fn token(&self, kind: &'static str) {
        if let Some(counter) = self.tokens.get(kind) {
            counter.increment(1);
        }
    }
}

fn purpose_label(purpose: Label) -> &'static str {
    match purpose {
        LOGIN => "login",
        SIGNUP => "signup",
        PHONE_CHANGE => "phone_change",
        _ if purpose.as_str() == "registration" => "registration",
        _ => "other",
    }
}

fn check_label(outcome: &Outcome) -> &'static str {
    let Outcome::Refused(refusal) = outcome else { return "approved" };
    match refusal {
        Refusal::WrongCode { .. } | Refusal::StruckOut { .. } | Refusal::WrongPassword { .. } => "incorrect",
        Refusal::AttemptsExhausted { .. } => "exhausted",
        Refusal::Expired => "expired",
        Refusal::AlreadyApproved => "already_approved",
        Refusal::UnknownChallenge | Refusal::NothingPending => "not_found",
        Refusal::GuessDelayed { .. } => "delayed",
        Refusal::AddressBlocked { .. } => "blocked",
        Refusal::GuessStopped { .. } => "stopped",
        _ => "closed",
    }
}

/// The reason of a refusal by a rule; a plain wrong answer is none.
fn refusal_label(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::SendLimited { limit: SendLimit::Cooldown | SendLimit::Resends, .. } => "cooldown",
        Refusal::SendLimited { limit: SendLimit::Window, .. } => "send_window",
        Refusal::SendLimited { limit: SendLimit::Day | SendLimit::Address, .. } => "send_day",
        Refusal::GuessDelayed { .. } => "guess_delay",
        Refusal::GuessStopped { .. } => "guess_stop",
        Refusal::AddressBlocked { .. } => "blocked",
        Refusal::PasswordBusy => "inflight",
        Refusal::IdempotencyMismatch | Refusal::IdempotencyInFlight { .. } => "idempotency",
        _ => return None,
    })
}
