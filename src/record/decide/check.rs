//! Checking codes. The attempt is counted before the comparison, in the same step.

use crate::record::{
    blocks::Asked,
    challenge::{Challenge, Stage},
    code::Code,
    command::{OnMatch, Target},
    grant::{GRANTS_MAX, Grant},
    outcome::{Outcome, Refusal, Verified},
    session::SessionRef,
    state::{Claim, Record},
    time::UnixMillis,
};

use super::{
    Rules, Step,
    send::view,
    session::{may_open, open_if_active},
};

/// A check, as the command has it.
#[derive(Clone, Copy)]
pub(super) struct Check<'a> {
    pub(super) target: Target,
    pub(super) code: &'a Code,
    pub(super) on_match: OnMatch,
    pub(super) session: Option<SessionRef>,
    pub(super) address: u64,
}

pub(super) fn check(rules: Rules<'_>, after: &mut Record, check: Check<'_>, now: UnixMillis) -> Step {
    match judge(rules, after, &check, now) {
        Ok(nonce) => compare(rules, after, &check, nonce, now),
        Err(refusal) => Step::refused(refusal),
    }
}

/// Everything that can be said without a comparison. Nothing is spent here.
fn judge(rules: Rules<'_>, record: &Record, check: &Check<'_>, now: UnixMillis) -> Result<u64, Refusal> {
    // First of all: who is blocked is told so, whatever has become of the code.
    if rules.policy.block.is_some() {
        record.blocks.may_answer(Asked::Code, check.address)?;
    }
    let challenge = find(record, check.target)?;
    match challenge.stage {
        Stage::Approved { .. } => return Err(Refusal::AlreadyApproved),
        Stage::Canceled { .. } | Stage::Superseded { .. } | Stage::Failed { .. } => return Err(Refusal::Closed),
        Stage::Pending if now >= challenge.expires_at => return Err(Refusal::Expired),
        Stage::Pending => {}
    }
    if challenge.bound_to.is_some() {
        // A session moves its account here once: it has ended then, and a second code of its that is still about must not
        // fetch an account that has been erased since.
        let bound_to = challenge.bound_to;
        let claimed = |other: &&Challenge| other.bound_to == bound_to && matches!(other.stage, Stage::Approved { .. });
        if challenge.bound_to != check.session || record.challenges.iter().any(|other| claimed(&other)) {
            return Err(Refusal::SessionNeeded);
        }
        if let Some(unfinished) = record.unfinished_move() {
            return Err(Refusal::MoveUnfinished(unfinished));
        }
    }
    let signs_in = !matches!(check.on_match, OnMatch::Approve);
    if signs_in && challenge.bound_to.is_none() {
        may_open(record)?;
        let for_sign_in = challenge.door.may_sign_in() || matches!(check.on_match, OnMatch::Grant { .. });
        if !for_sign_in {
            return Err(Refusal::NotForSignIn);
        }
    }
    let spent = match check.target {
        Target::Id(_) => challenge.attempts_by_id,
        Target::Newest(_) => {
            record.guesses.may_check(&rules.policy.guesses, record.account.is_some(), now)?;
            challenge.attempts_by_number
        }
    };
    if spent >= challenge.attempts_max {
        return Err(Refusal::AttemptsExhausted { expires_at: challenge.expires_at });
    }
    if check.code.digits() != challenge.digits {
        return Err(Refusal::CodeFormat);
    }
    Ok(challenge.nonce)
}

/// By id: that one. By number: the newest of the door that was not taken back, so that a stranger who starts and
/// cancels one does not hide the owner's.
fn find(record: &Record, target: Target) -> Result<&Challenge, Refusal> {
    match target {
        Target::Id(nonce) => record.challenge(nonce).ok_or(Refusal::UnknownChallenge),
        Target::Newest(door) => {
            let of_door = || record.challenges.iter().rev().filter(|challenge| challenge.door == door);
            let stands = |challenge: &&Challenge| matches!(challenge.stage, Stage::Pending | Stage::Approved { .. });
            of_door().find(stands).or_else(|| of_door().next()).ok_or(Refusal::NothingPending)
        }
    }
}

/// Counts, then compares, then counts the success.
fn compare(rules: Rules<'_>, after: &mut Record, check: &Check<'_>, nonce: u64, now: UnixMillis) -> Step {
    let phone = after.phone;
    let by_number = matches!(check.target, Target::Newest(_));
    if by_number {
        after.guesses.count(&rules.policy.guesses, now);
    }
    let Some(challenge) = after.challenge_mut(nonce) else { return Step::refused(Refusal::UnknownChallenge) };
    let spent = if by_number { &mut challenge.attempts_by_number } else { &mut challenge.attempts_by_id };
    *spent = spent.saturating_add(1);
    let attempts_remaining = challenge.attempts_max.saturating_sub(*spent);
    if !challenge.matches(rules.keys, phone, check.code) {
        let expires_at = challenge.expires_at;
        let block = rules.policy.block.as_ref();
        let struck_out = block.and_then(|policy| after.blocks.strike(policy, Asked::Code, check.address, now));
        let wrong = Refusal::WrongCode { attempts_remaining, expires_at };
        return Step::changed(Outcome::Refused(struck_out.map_or(wrong, |until| Refusal::StruckOut { until })));
    }
    // Only a plain approval leaves a receipt to redeem; everything else is had at once.
    let bound_to = challenge.bound_to;
    let redeemed = bound_to.is_some() || !matches!(check.on_match, OnMatch::Approve);
    challenge.stage = Stage::Approved { at: now, redeemed };
    let door = challenge.door;
    let verified = Some(Verified {
        nonce,
        key: challenge.key,
        after_ms: now.since(challenge.created_at),
        deliveries: challenge.deliveries.clone(),
    });
    after.guesses.clear();
    if !by_number {
        // Only who was sent it could know the id: what strangers did wrong with the password is hers to forget.
        after.passwords.guesses.clear();
    }
    if rules.policy.block.is_some() {
        after.blocks.forgive(Asked::Code, check.address);
    }
    after.sends.succeeded();
    if let Some(session) = bound_to {
        return Step { verified, ..claim(rules, after, session, nonce, now) };
    }
    let outcome = match check.on_match {
        OnMatch::Approve => approved(rules, after, nonce, now),
        OnMatch::SignIn(sign_in) => open_if_active(rules, after, door, sign_in, now),
        OnMatch::Grant { nonce, life_ms } => {
            let grant = Grant { nonce, key: rules.keys.current(), door, expires_at: now.plus(life_ms) };
            give(after, grant)
        }
    };
    Step { verified, ..Step::changed(outcome) }
}

fn approved(rules: Rules<'_>, after: &Record, nonce: u64, now: UnixMillis) -> Outcome {
    match view(rules.policy, after, nonce, now) {
        Some(view) => Outcome::Approved { view, is_new_user: after.account.is_none(), at: now },
        None => Outcome::Refused(Refusal::UnknownChallenge),
    }
}

fn give(after: &mut Record, grant: Grant) -> Outcome {
    if after.grants.len() >= GRANTS_MAX {
        after.grants.remove(0);
    }
    let outcome = Outcome::Granted { nonce: grant.nonce, key: grant.key, expires_at: grant.expires_at };
    after.grants.push(grant);
    outcome
}

/// The number has proved itself for the account of another. The code is burnt whatever comes of it.
fn claim(rules: Rules<'_>, after: &mut Record, session: SessionRef, nonce: u64, now: UnixMillis) -> Step {
    if after.account.is_some() {
        return Step::changed(Outcome::Refused(Refusal::AccountExists));
    }
    after.claim = Some(Claim { from: session.phone, session: session.nonce });
    match view(rules.policy, after, nonce, now) {
        Some(view) => Step::changed(Outcome::Claimed { from: session.phone, view }),
        None => Step::refused(Refusal::UnknownChallenge),
    }
}

pub(super) fn cancel(rules: Rules<'_>, after: &mut Record, nonce: u64, now: UnixMillis) -> Step {
    let Some(challenge) = after.challenge_mut(nonce) else { return Step::refused(Refusal::UnknownChallenge) };
    let changed = match challenge.stage {
        Stage::Approved { .. } => return Step::refused(Refusal::AlreadyApproved),
        Stage::Superseded { .. } | Stage::Failed { .. } => return Step::refused(Refusal::Closed),
        Stage::Pending if now >= challenge.expires_at => return Step::refused(Refusal::Expired),
        Stage::Pending => {
            challenge.stage = Stage::Canceled { at: now };
            true
        }
        Stage::Canceled { .. } => false,
    };
    Step { changed, ..read(rules, after, nonce, now) }
}

pub(super) fn read(rules: Rules<'_>, after: &Record, nonce: u64, now: UnixMillis) -> Step {
    match view(rules.policy, after, nonce, now) {
        Some(view) => Step::unchanged(Outcome::Verification(view)),
        None => Step::refused(Refusal::UnknownChallenge),
    }
}
