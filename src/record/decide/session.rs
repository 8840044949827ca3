//! Opening, refreshing, using and ending sessions.

use crate::record::{
    account::{Account, PasswordHash, ProfilePatch},
    challenge::Stage,
    outcome::{Outcome, Refusal},
    policy::Door,
    session::{NO_NEW_USER, Rotation, SESSIONS_MAX, Session, SignIn, SignedIn},
    state::Record,
    time::UnixMillis,
};

use super::{Rules, Step};

/// An account on its way to or from here has to arrive before anyone signs in, or the number would have two.
pub(super) fn may_open(record: &Record) -> Result<(), Refusal> {
    record.unfinished_move().map_or(Ok(()), |unfinished| Err(Refusal::MoveUnfinished(unfinished)))
}

/// Opens a session, making the account if there is none.
pub(super) fn open(rules: Rules<'_>, after: &mut Record, door: Door, sign_in: SignIn, now: UnixMillis) -> SignedIn {
    let is_new_user = after.account.is_none();
    if is_new_user {
        // What is being compared was begun without an account, and is not about this one.
        after.passwords.abandon();
    }
    let account = after.account.get_or_insert_with(|| {
        Box::new(Account {
            user_id: sign_in.user_id,
            created_at: now,
            updated_at: now,
            verified_at: now,
            profile: crate::record::account::Profile::default(),
            active: true,
            password: None,
        })
    });
    account.verified_at = now;
    let user_id = account.user_id;
    while after.sessions.len() >= SESSIONS_MAX {
        after.sessions.remove(0);
    }
    let session = Session {
        nonce: sign_in.session,
        key: rules.keys.current(),
        door,
        client: sign_in.client,
        opened_at: now,
        expires_at: now.plus(rules.policy.session_life_ms),
        generation: 0,
        rotated_at: now,
    };
    let signed_in = signed_in(&session, user_id, is_new_user);
    after.sessions.push(session);
    signed_in
}

/// Opens a session unless an administrator has shut the account. What was given for it is spent all the same.
pub(super) fn open_if_active(
    rules: Rules<'_>,
    after: &mut Record,
    door: Door,
    sign_in: SignIn,
    now: UnixMillis,
) -> Outcome {
    if after.account.as_ref().is_some_and(|account| !account.active) {
        return Outcome::Refused(Refusal::Inactive);
    }
    if after.account.is_none() && sign_in.user_id == NO_NEW_USER {
        return Outcome::Refused(Refusal::NoAccount);
    }
    Outcome::SignedIn(open(rules, after, door, sign_in, now))
}

fn signed_in(session: &Session, user_id: u64, is_new_user: bool) -> SignedIn {
    SignedIn {
        session: session.nonce,
        key: session.key,
        door: session.door,
        client: session.client,
        generation: session.generation,
        user_id,
        is_new_user,
        opened_at: session.opened_at,
        expires_at: session.expires_at,
    }
}

/// A receipt works once, for a minute, and only if its code was asked for to sign in.
pub(super) fn redeem(rules: Rules<'_>, after: &mut Record, nonce: u64, sign_in: SignIn, now: UnixMillis) -> Step {
    if let Err(refusal) = may_open(after) {
        return Step::refused(refusal);
    }
    let receipt_life_ms = rules.policy.receipt_life_ms;
    let Some(challenge) = after.challenge_mut(nonce) else { return Step::refused(Refusal::ReceiptInvalid) };
    let Stage::Approved { at, redeemed: false } = challenge.stage else {
        return Step::refused(Refusal::ReceiptInvalid);
    };
    if !challenge.door.may_sign_in() || now >= at.plus(receipt_life_ms) {
        return Step::refused(Refusal::ReceiptInvalid);
    }
    challenge.stage = Stage::Approved { at, redeemed: true };
    let door = challenge.door;
    Step::changed(open_if_active(rules, after, door, sign_in, now))
}

/// What a new account begins with.
#[derive(Clone, Copy)]
pub(super) struct Registrant<'a> {
    pub(super) profile: &'a ProfilePatch,
    pub(super) password: Option<&'a PasswordHash>,
}

/// The place of a registration grant that is good now; the number must have no account.
fn find_grant(record: &Record, nonce: u64) -> Result<usize, Refusal> {
    may_open(record)?;
    let position = record.grants.iter().position(|grant| grant.nonce == nonce).ok_or(Refusal::GrantInvalid)?;
    if record.account.is_some() { Err(Refusal::AccountExists) } else { Ok(position) }
}

pub(super) fn read_grant(after: &Record, nonce: u64) -> Step {
    find_grant(after, nonce).map_or_else(Step::refused, |_| Step::unchanged(Outcome::Done))
}

/// A registration grant works once.
pub(super) fn register(
    rules: Rules<'_>,
    after: &mut Record,
    nonce: u64,
    person: Registrant<'_>,
    sign_in: SignIn,
    now: UnixMillis,
) -> Step {
    let position = match find_grant(after, nonce) {
        Ok(position) => position,
        Err(refusal) => return Step::refused(refusal),
    };
    let door = after.grants.remove(position).door;
    let signed_in = open(rules, after, door, sign_in, now);
    if let Some(account) = &mut after.account {
        account.profile = account.profile.patched(person.profile);
        account.password = person.password.cloned();
    }
    if after.account.as_ref().is_some_and(|account| account.profile.bytes() > crate::record::PROFILE_BYTES_MAX) {
        return Step::refused(Refusal::ProfileTooLarge);
    }
    Step::changed(Outcome::SignedIn(signed_in))
}

/// Rotates the refresh token. The same old one within the grace gets the same successor; later it ends the
/// session, because two parties hold it (RFC 9700 4.14.2).
pub(super) fn refresh(
    rules: Rules<'_>,
    after: &mut Record,
    nonce: u64,
    generation: u32,
    rotate: bool,
    now: UnixMillis,
) -> Step {
    let Some((user_id, active)) = after.account.as_ref().map(|account| (account.user_id, account.active)) else {
        return Step::refused(Refusal::SessionUnknown);
    };
    if !active {
        return Step::refused(Refusal::Inactive);
    }
    let Some(session) = after.sessions.iter_mut().find(|session| session.nonce == nonce) else {
        return Step::refused(Refusal::SessionUnknown);
    };
    match session.rotate(generation, rules.policy.refresh_grace_ms, now) {
        Rotation::Next(_) if !rotate => Step::unchanged(Outcome::SignedIn(signed_in(session, user_id, false))),
        Rotation::Next(next) => {
            session.generation = next;
            session.rotated_at = now;
            Step::changed(Outcome::SignedIn(signed_in(session, user_id, false)))
        }
        Rotation::Again(_) => Step::unchanged(Outcome::SignedIn(signed_in(session, user_id, false))),
        Rotation::Reused => {
            after.sessions.retain(|session| session.nonce != nonce);
            Step::changed(Outcome::Refused(Refusal::RefreshReused))
        }
    }
}

pub(super) fn authenticate(after: &Record, nonce: u64) -> Step {
    match (after.session(nonce), &after.account) {
        (Some(_), Some(account)) if !account.active => Step::refused(Refusal::Inactive),
        (Some(session), Some(account)) => {
            Step::unchanged(Outcome::Authenticated { session: session.clone(), account: account.clone() })
        }
        (_, None) => Step::refused(Refusal::NoAccount),
        (None, Some(_)) => Step::refused(Refusal::SessionUnknown),
    }
}

/// Ends a session. A token that ends its own succeeds even if it is gone (RFC 7009). One that is over by the clock
/// alone is still in `before`: its end is written down, or it would come back with a clock that is set back.
pub(super) fn end(before: &Record, after: &mut Record, by: Option<u64>, nonce: u64) -> Step {
    if by.is_some_and(|by| after.session(by).is_none()) {
        return Step::refused(Refusal::SessionUnknown);
    }
    if after.session(nonce).is_some() {
        after.sessions.retain(|session| session.nonce != nonce);
        return Step::changed(Outcome::Done);
    }
    match by {
        Some(_) => Step::refused(Refusal::NoSuchSession),
        None => Step { changed: before.session(nonce).is_some(), ..Step::unchanged(Outcome::Done) },
    }
}
