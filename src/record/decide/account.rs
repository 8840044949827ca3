//! The account: profile, export, erasure, unlocking, and moving it to another number.
//!
//! A move touches two records and the account is always in exactly one of them:
//!
//! ```text
//! new: claim (the code is burnt)   old: release (account becomes a parcel, sessions end)
//! new: adopt (the account arrives) old: drop the parcel
//! ```
//!
//! Each step may be repeated; whoever finds a record in the middle can finish it.

use crate::record::{
    PROFILE_BYTES_MAX,
    account::{Account, ProfilePatch},
    challenge::{Challenge, Stage},
    label::Label,
    number::PhoneNumber,
    outcome::{Export, Outcome, Refusal},
    policy::{Door, PHONE_CHANGE},
    session::SignIn,
    state::{Claim, Parcel, Record},
    time::UnixMillis,
};

use super::{
    Rules, Step,
    send::view,
    session::{authenticate, open_if_active},
};

/// The door that sessions are opened at when a number was changed.
const PHONE_CHANGE_DOOR: Door = Door { dialect: Label::of("v1"), purpose: PHONE_CHANGE };

/// Whose session asks: it must be alive, and its account not shut.
fn owner(record: &Record, session: u64) -> Result<&Account, Refusal> {
    match (record.session(session), &record.account) {
        (Some(_), Some(account)) if account.active => Ok(account),
        (Some(_), Some(_)) => Err(Refusal::Inactive),
        _ => Err(Refusal::SessionUnknown),
    }
}

pub(super) fn export(rules: Rules<'_>, after: &Record, session: u64, now: UnixMillis) -> Step {
    let account = match owner(after, session) {
        Ok(account) => account,
        Err(refusal) => return Step::refused(refusal),
    };
    let views = after.challenges.iter().filter_map(|challenge| view(rules.policy, after, challenge.nonce, now));
    Step::unchanged(Outcome::Exported(Box::new(Export {
        account: account.clone(),
        sessions: after.sessions.clone(),
        challenges: views.collect(),
        sends: after.sends.times(),
        failures: after.guesses.failures(),
    })))
}

pub(super) fn update(after: &mut Record, session: u64, patch: &ProfilePatch, now: UnixMillis) -> Step {
    let patched = match owner(after, session) {
        Ok(account) => account.profile.patched(patch),
        Err(refusal) => return Step::refused(refusal),
    };
    if patched.bytes() > PROFILE_BYTES_MAX {
        return Step::refused(Refusal::ProfileTooLarge);
    }
    let written = after.account.as_mut().filter(|account| account.profile != patched);
    let changed = written.is_some();
    if let Some(account) = written {
        account.profile = patched;
        account.updated_at = now;
    }
    Step { changed, ..authenticate(after, session) }
}

/// Account, profile and sessions go; window, counts and locks run out by themselves, so erasing buys nothing.
pub(super) fn erase(after: &mut Record, session: u64) -> Step {
    if let Err(refusal) = owner(after, session) {
        return Step::refused(refusal);
    }
    depart(after);
    after.account = None;
    Step::changed(Outcome::Done)
}

/// Who has this number; the edge decides what it tells of it.
pub(super) fn identify(after: &Record) -> Step {
    Step::unchanged(Outcome::Identified(after.account.clone()))
}

/// Shuts the account or opens it again. Its sessions stay, so that their tokens can be told why they are not good.
pub(super) fn set_active(after: &mut Record, active: bool, now: UnixMillis) -> Step {
    let Some(account) = &mut after.account else { return Step::refused(Refusal::NoAccount) };
    let changed = account.active != active;
    if changed {
        account.active = active;
        account.updated_at = now;
    }
    Step { changed, ..Step::unchanged(Outcome::Done) }
}

/// Everything that could still bring the account's sessions back goes with it.
fn depart(after: &mut Record) {
    after.sessions.clear();
    after.grants.clear();
    after.passwords.abandon();
    after.answers.retain(|answer| !matches!(answer.outcome, Outcome::SignedIn(_)));
    for challenge in &mut after.challenges {
        challenge.metadata = Box::default();
        void_receipt(challenge);
    }
}

fn void_receipt(challenge: &mut Challenge) {
    if let Stage::Approved { redeemed, .. } = &mut challenge.stage {
        *redeemed = true;
    }
}

/// Failures that are over by the clock alone are still in `before`: their end is written down, or they would come back
/// with a clock that is set back.
pub(super) fn unlock(before: &Record, after: &mut Record) -> Step {
    let locked = before.guesses.failures() > 0 || before.passwords.guesses.failures() > 0 || !before.blocks.is_empty();
    after.guesses.clear();
    after.passwords.guesses.clear();
    after.blocks.clear();
    Step { changed: locked, ..Step::unchanged(Outcome::Done) }
}

/// Without the session there is nothing to move, and whoever hears so drops the claim of the new number: so it has to
/// stay true. A session that is over by the clock alone is still in `before`; its end is written down, or with a clock
/// that is set back the account could leave for a number that does not wait for it any more.
pub(super) fn release(before: &Record, after: &mut Record, to: PhoneNumber, session: u64) -> Step {
    if let Some(parcel) = &after.parcel {
        let same = parcel.to == to && parcel.session == session;
        return match after.unfinished_move().filter(|_| !same) {
            Some(unfinished) => Step::refused(Refusal::MoveUnfinished(unfinished)),
            None => Step::unchanged(Outcome::Released(parcel.account.clone())),
        };
    }
    if after.session(session).is_none() {
        let changed = before.session(session).is_some();
        return Step { changed, ..Step::refused(Refusal::NothingToMove) };
    }
    let Some(account) = after.account.take() else { return Step::refused(Refusal::NothingToMove) };
    depart(after);
    after.parcel = Some(Parcel { to, session, account: account.clone() });
    Step::changed(Outcome::Released(account))
}

/// Takes the account that the claim waits for. Without that claim it has been here before, and if it has left
/// again by now (moved on, or erased), a parcel that nobody dropped must not bring it back.
pub(super) fn adopt(
    rules: Rules<'_>,
    after: &mut Record,
    claim: Claim,
    account: &Account,
    sign_in: Option<SignIn>,
    now: UnixMillis,
) -> Step {
    let waited = after.claim.take_if(|waiting| *waiting == claim).is_some();
    if waited {
        after.passwords.abandon();
        after.account = Some(Box::new(Account { updated_at: now, verified_at: now, ..account.clone() }));
    }
    if after.account.as_ref().is_none_or(|present| present.user_id != account.user_id) {
        return Step::refused(Refusal::NothingToMove);
    }
    let outcome = match sign_in {
        // One that was shut on its way arrives as it is, and nobody signs in.
        Some(sign_in) => open_if_active(rules, after, PHONE_CHANGE_DOOR, sign_in, now),
        None => Outcome::Done,
    };
    let signed_in = matches!(outcome, Outcome::SignedIn(_));
    if signed_in {
        answer_claims(after, claim, &outcome);
    }
    Step { changed: waited || signed_in, ..Step::unchanged(outcome) }
}

/// A retry of the check that claimed the account gets what that check came to in the end: the session.
fn answer_claims(after: &mut Record, claim: Claim, arrived: &Outcome) {
    for answer in &mut after.answers {
        if matches!(answer.outcome, Outcome::Claimed { from, .. } if from == claim.from) {
            answer.outcome = arrived.clone();
        }
    }
}

pub(super) fn drop_parcel(after: &mut Record, to: PhoneNumber, user_id: u64) -> Step {
    let arrived = after.parcel.take_if(|parcel| parcel.to == to && parcel.account.user_id == user_id);
    Step { changed: arrived.is_some(), ..Step::unchanged(Outcome::Done) }
}

pub(super) fn drop_claim(after: &mut Record, claim: Claim) -> Step {
    let dropped = after.claim.take_if(|waiting| *waiting == claim);
    Step { changed: dropped.is_some(), ..Step::unchanged(Outcome::Done) }
}
