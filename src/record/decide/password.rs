//! Comparing passwords, in two steps with the comparison itself between them, outside. The try is counted in the first.

use crate::record::{
    account::PasswordHash,
    blocks::Asked,
    outcome::{Outcome, Refusal},
    passwords::{COMPARING_MAX, Comparing},
    policy::Door,
    session::SignIn,
    state::Record,
    time::UnixMillis,
};

use super::{
    Rules, Step,
    session::{may_open, open_if_active},
};

/// Counts a try and gives the hash to compare with. A number without an account or without a password is compared as
/// well, with any hash, so that time tells nothing.
pub(super) fn begin(rules: Rules<'_>, after: &mut Record, comparing: Comparing, reveal: bool) -> Step {
    count_lost(rules, after, comparing.at);
    match judge(rules, after, &comparing, reveal) {
        // What was lost is not written down for a refusal's sake: whoever asks next finds it again, at the same times.
        Err(refusal) => Step::refused(refusal),
        Ok(()) => {
            after.passwords.guesses.count(&rules.policy.guesses, comparing.at);
            after.passwords.begin(comparing);
            let hash = after.account.as_ref().and_then(|account| account.password.clone());
            Step::changed(Outcome::Comparing(hash))
        }
    }
}

fn judge(rules: Rules<'_>, record: &Record, comparing: &Comparing, reveal: bool) -> Result<(), Refusal> {
    may_open(record)?;
    if reveal && record.account.is_none() {
        return Err(Refusal::NoAccount);
    }
    record.blocks.may_answer(Asked::Password, comparing.address)?;
    record.passwords.guesses.may_check(&rules.policy.guesses, record.account.is_some(), comparing.at)?;
    let under_way = record.passwords.comparing_of(comparing.address);
    let tries_left = rules.policy.block.map_or(COMPARING_MAX, |policy| {
        usize::from(policy.strikes.saturating_sub(record.blocks.count(Asked::Password, comparing.address)))
    });
    if under_way >= tries_left || record.passwords.comparing() >= COMPARING_MAX {
        return Err(Refusal::PasswordBusy);
    }
    Ok(())
}

/// What a comparison came to.
#[derive(Clone, Copy)]
pub(super) struct Verdict<'a> {
    pub(super) nonce: u64,
    pub(super) right: Option<SignIn>,
    pub(super) renewed: Option<&'a PasswordHash>,
}

/// Enters what a comparison came to. One that is not under way any more was counted as lost, or its account has gone.
/// One that is over by the clock alone is still in `before`: that is written down, or with a clock that is set back it
/// would be under way again.
pub(super) fn end(
    rules: Rules<'_>,
    before: &Record,
    after: &mut Record,
    door: Door,
    verdict: Verdict<'_>,
    now: UnixMillis,
) -> Step {
    let found_lost = count_lost(rules, after, now);
    let Some(comparing) = after.passwords.end(verdict.nonce) else {
        let changed = found_lost || before.passwords.is_under_way(verdict.nonce);
        return Step { changed, ..Step::refused(Refusal::WrongPassword { blocked_until: None }) };
    };
    let password = after.account.as_mut().and_then(|account| account.password.as_mut());
    let (Some(sign_in), Some(password)) = (verdict.right, password) else {
        let blocked_until = strike(rules, after, comparing.address, now);
        return Step::changed(Outcome::Refused(Refusal::WrongPassword { blocked_until }));
    };
    if let Some(renewed) = verdict.renewed {
        password.clone_from(renewed);
    }
    after.passwords.guesses.clear();
    if rules.policy.block.is_some() {
        after.blocks.forgive(Asked::Password, comparing.address);
    }
    Step::changed(open_if_active(rules, after, door, sign_in, now))
}

fn strike(rules: Rules<'_>, after: &mut Record, address: u64, now: UnixMillis) -> Option<UnixMillis> {
    let policy = rules.policy.block.as_ref()?;
    after.blocks.strike(policy, Asked::Password, address, now)
}

/// A comparison that never ended is one that failed: else a crash in between would be a free guess.
fn count_lost(rules: Rules<'_>, after: &mut Record, now: UnixMillis) -> bool {
    let lost = after.passwords.lost(now);
    for comparing in &lost {
        strike(rules, after, comparing.address, comparing.at);
    }
    // It may have been so long ago that what it brought is over by now.
    after.blocks.purge(now);
    !lost.is_empty()
}
