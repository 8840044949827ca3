//! The one function that decides.
//!
//! [`decide()`] takes the record as it is, brings it to the present, looks for a kept answer, applies the command,
//! and says whether anything changed. The commands' own rules are in the files beside: `send` (start, resend,
//! what a send came to), `check` (codes), `password` (the same for passwords), `session` (sign-ins), `account` (profile,
//! erasure, phone change).

mod account;
mod check;
mod password;
mod send;
mod session;

use super::{
    command::{Command, IdempotencyKey, Request},
    idempotency::{ANSWERS_MAX, KeptAnswer},
    invariants,
    outcome::{Decision, Draft, Outcome, Refusal, Verified},
    passwords::Comparing,
    policy::Policy,
    seal::Keyring,
    state::{Claim, Record},
    time::UnixMillis,
};

/// What a decision goes by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The figures of the door that asks.
    pub policy: &'a Policy,
    /// The keys that codes and ids are derived from.
    pub keys: &'a Keyring,
}

/// What a command did to the record in hand.
struct Step {
    outcome: Outcome,
    /// False: the record in hand is thrown away, nothing is written.
    changed: bool,
    draft: Option<Draft>,
    replayed: bool,
    /// The challenge whose code was right.
    verified: Option<Verified>,
}

impl Step {
    fn changed(outcome: Outcome) -> Self {
        Self { changed: true, ..Self::unchanged(outcome) }
    }

    fn unchanged(outcome: Outcome) -> Self {
        Self { outcome, changed: false, draft: None, replayed: false, verified: None }
    }

    fn refused(refusal: Refusal) -> Self {
        Self::unchanged(Outcome::Refused(refusal))
    }

    fn sending(outcome: Outcome, draft: Draft) -> Self {
        Self { changed: true, draft: Some(draft), ..Self::unchanged(outcome) }
    }
}

/// Decides what `request` does to `record` at `now`. Pure and total: the same arguments give the same decision,
/// and a "no" is an outcome.
pub fn decide(rules: Rules<'_>, record: &Record, request: &Request, now: UnixMillis) -> Decision {
    let (mut after, now) = record.at(now);
    let lapsed = record.lapsed(now);
    let recalled = request.idempotency.and_then(|key| recall(rules, &mut after, key, &request.command, now));
    let step = recalled.unwrap_or_else(|| {
        let step = apply(rules, record, &mut after, &request.command, now);
        keep(&mut after, request.idempotency, &step, now);
        step
    });
    let quota = after.sends.quota(rules.policy, now);
    // Limits that restart from now are written down even with a refusal, or each refusal would restart them again.
    let next = if step.changed { Some(after) } else { record.is_ahead_of(now).then(|| record.at(now).0) };
    let next = next.map(|mut after| {
        // A new record starts at the time in µs, so that deleting and re-creating never repeats a version.
        after.version = match record.version {
            0 => now.0.saturating_mul(1_000).max(1),
            version => version.saturating_add(1),
        };
        after.fit(now);
        after
    });
    let lapsed = if next.is_some() { lapsed } else { 0 };
    let Step { outcome, draft, replayed, verified, .. } = step;
    let decision = Decision { next, outcome, draft, replayed, lapsed, verified, quota };
    debug_assert_eq!(invariants::check_step(rules.policy, record, request, &decision, now), Ok(()));
    decision
}

fn apply(rules: Rules<'_>, before: &Record, after: &mut Record, command: &Command, now: UnixMillis) -> Step {
    match command {
        Command::Start(start) => send::start(rules, after, start, now),
        Command::Resend { nonce, sender, channel, chosen } => {
            let how = send::How { sender: *sender, channel: *channel, chosen: chosen.as_ref() };
            send::resend(rules, after, *nonce, how, now)
        }
        Command::Advance { nonce, past, code } => send::advance(rules, after, (*nonce, *past), code, now),
        Command::Settle { nonce, delivery, route, channel, result } => {
            send::settle(after, (*nonce, *delivery), (*route, *channel), *result, now)
        }
        Command::Receipt { nonce, delivery, route, arrival } => {
            send::receipt(after, (*nonce, *delivery), *route, *arrival)
        }
        Command::Check { target, code, on_match, session, address } => {
            let check =
                check::Check { target: *target, code, on_match: *on_match, session: *session, address: *address };
            check::check(rules, after, check, now)
        }
        Command::Cancel { nonce } => check::cancel(rules, after, *nonce, now),
        Command::Read { nonce } => check::read(rules, after, *nonce, now),
        Command::Redeem { nonce, sign_in } => session::redeem(rules, after, *nonce, *sign_in, now),
        Command::Register { nonce, profile, password, sign_in } => {
            let person = session::Registrant { profile, password: password.as_ref() };
            session::register(rules, after, *nonce, person, *sign_in, now)
        }
        Command::ReadGrant { nonce } => session::read_grant(after, *nonce),
        Command::Identify => account::identify(after),
        Command::BeginPassword { nonce, address, reveal } => {
            password::begin(rules, after, Comparing { nonce: *nonce, address: *address, at: now }, *reveal)
        }
        Command::EndPassword { nonce, door, right, renewed } => {
            let verdict = password::Verdict { nonce: *nonce, right: *right, renewed: renewed.as_ref() };
            password::end(rules, before, after, *door, verdict, now)
        }
        Command::SetActive { active } => account::set_active(after, *active, now),
        Command::Refresh { session, generation, rotate } => {
            session::refresh(rules, after, *session, *generation, *rotate, now)
        }
        Command::Authenticate { session } => session::authenticate(after, *session),
        Command::EndSession { by, session } => session::end(before, after, *by, *session),
        Command::Export { session } => account::export(rules, after, *session, now),
        Command::UpdateProfile { session, patch } => account::update(after, *session, patch, now),
        Command::Erase { session } => account::erase(after, *session),
        Command::Unlock => account::unlock(before, after),
        Command::Release { to, session } => account::release(before, after, *to, *session),
        Command::Adopt { from, session, account, sign_in } => {
            let claim = Claim { from: *from, session: *session };
            account::adopt(rules, after, claim, account, *sign_in, now)
        }
        Command::DropParcel { to, user_id } => account::drop_parcel(after, *to, *user_id),
        Command::DropClaim { from, session } => account::drop_claim(after, Claim { from: *from, session: *session }),
    }
}

/// Answers a retry from what was kept. A first send that got lost (no result within the deadline: the process
/// ended in between) is made once more.
fn recall(
    rules: Rules<'_>,
    after: &mut Record,
    key: IdempotencyKey,
    command: &Command,
    now: UnixMillis,
) -> Option<Step> {
    let kept = after.answers.iter().find(|answer| answer.key == key.key)?;
    if kept.body != key.body {
        return Some(Step::refused(Refusal::IdempotencyMismatch));
    }
    let mut outcome = kept.outcome.clone();
    // A replay signs tokens afresh, and for a shut account nobody gets any.
    if kept.session().is_some() && after.account.as_ref().is_some_and(|account| !account.active) {
        return Some(Step::refused(Refusal::Inactive));
    }
    // Who only asks what was kept has no message to make up for.
    if let Outcome::Issued(view) = &outcome
        && !matches!(command, Command::Read { .. })
        && let Some(step) = send::recall(rules, after, view, command, now)
    {
        return Some(step);
    }
    if let Some(view) = outcome.view_mut()
        && let Some(challenge) = after.challenge(view.nonce)
    {
        view.metadata = challenge.metadata.to_vec();
    }
    Some(Step { replayed: true, ..Step::unchanged(outcome) })
}

/// Keeps the outcome of a change for a day. Refusals are not kept: a retry after one is judged anew.
fn keep(after: &mut Record, key: Option<IdempotencyKey>, step: &Step, now: UnixMillis) {
    let Some(key) = key.filter(|_| step.changed && KeptAnswer::keeps(&step.outcome)) else { return };
    if after.answers.len() >= ANSWERS_MAX {
        after.answers.remove(0);
    }
    after.answers.push(KeptAnswer::new(key, step.outcome.clone(), now));
}
