//! What must hold of every record and every step. The same predicates serve `debug_assert`, the property tests
//! and the simulation, each under its name in `anchors.md` section 9.2.

use super::{
    account::PROFILE_BYTES_MAX,
    blocks::{Asked, BLOCKS_MAX},
    challenge::{CHALLENGE_SENDS_MAX, CHALLENGES_MAX, Challenge, DeliveryState, Stage},
    command::{Command, Request, Target},
    grant::GRANTS_MAX,
    guesses::Guesses,
    idempotency::ANSWERS_MAX,
    outcome::{Decision, Draft, Outcome, Refusal},
    passwords::COMPARING_MAX,
    policy::Policy,
    session::SESSIONS_MAX,
    snapshot,
    state::Record,
    time::UnixMillis,
    window::SENDS_MAX,
};

/// The name of an invariant that does not hold.
pub type Violation = &'static str;

/// Largest snapshot of a record, in bytes.
pub const RECORD_BYTES_MAX: usize = 8 * 1024;

/// What holds of a record at rest.
pub fn check_record(record: &Record) -> Result<(), Violation> {
    let attempts = |challenge: &Challenge| {
        challenge.attempts_by_id <= challenge.attempts_max && challenge.attempts_by_number <= challenge.attempts_max
    };
    let bounded = record.challenges.len() <= CHALLENGES_MAX
        && record.sessions.len() <= SESSIONS_MAX
        && record.grants.len() <= GRANTS_MAX
        && record.answers.len() <= ANSWERS_MAX
        && record.sends.times().len() <= SENDS_MAX
        && record.blocks.most_of_a_kind() <= BLOCKS_MAX
        && record.passwords.comparing() <= COMPARING_MAX
        && record.challenges.iter().all(|challenge| challenge.deliveries.len() <= CHALLENGE_SENDS_MAX)
        && snapshot::encoded_len(record) <= RECORD_BYTES_MAX
        && record.account.as_ref().is_none_or(|account| account.profile.bytes() <= PROFILE_BYTES_MAX);
    let accounts =
        u8::from(record.account.is_some()) + u8::from(record.claim.is_some()) + u8::from(record.parcel.is_some());
    let sessions_have_owner = record.account.is_some() || record.sessions.is_empty();
    let rules = [
        (record.challenges.iter().all(attempts), "I1 attempts within the budget"),
        (bounded, "I11 everything bounded"),
        (sessions_have_owner, "I12 sessions have an account"),
        (accounts <= 1, "I13 an account, or one that is coming, or one that is leaving"),
    ];
    first_broken(&rules)
}

/// What holds of a step from `before`, at the time the decision went by.
pub fn check_step(
    policy: &Policy,
    before: &Record,
    request: &Request,
    decision: &Decision,
    now: UnixMillis,
) -> Result<(), Violation> {
    let matched = newly_approved(before, decision);
    let was_live = |nonce: u64| {
        before.challenge(nonce).is_some_and(|challenge| {
            let by_number = matches!(request.command, Command::Check { target: Target::Newest(_), .. });
            let spent = if by_number { challenge.attempts_by_number } else { challenge.attempts_by_id };
            challenge.is_live(now.max(before.seen_at)) && spent < challenge.attempts_max
        })
    };
    let load_refusal = is_load_refusal(&decision.outcome);
    let rebased = before.is_ahead_of(now);
    let mut rules = vec![
        (matched.iter().all(|nonce| was_live(*nonce)), "I3 I4 I8 a match was live before the step"),
        (matched.len() <= 1, "I4 one match a step"),
        (
            rebased || !(load_refusal && decision.next.is_some()),
            "I9 a refusal for load or lock reasons changes nothing",
        ),
        (decision.draft.is_none() || decision.next.is_some(), "I14 a message follows a commit"),
        (rebased || !(request.command.only_reads() && decision.next.is_some()), "I15 what only reads changes nothing"),
    ];
    if let Some(next) = &decision.next {
        check_record(next)?;
        let version_steps = before.version == 0 || next.version == before.version + 1;
        let sent_before = |draft: &Draft| {
            let sends = before.challenge(draft.nonce).map(|challenge| challenge.deliveries.iter());
            sends.into_iter().flatten().any(|delivery| delivery.number == draft.delivery)
        };
        let send_is_new = decision.draft.as_ref().is_some_and(|draft| !sent_before(draft));
        let window_from = next.seen_at.minus(policy.send_window_ms);
        let window_holds = next.sends.count_since(window_from) <= usize::from(policy.sends_max);
        let delay_holds = |before: &Guesses, next: &Guesses| {
            next.failures() == 0 || before.delayed_until() <= now || next.delayed_until() >= before.delayed_until()
        };
        let delays_hold = delay_holds(&before.guesses, &next.guesses)
            && delay_holds(&before.passwords.guesses, &next.passwords.guesses);
        let unlocks = matches!(request.command, Command::Unlock);
        rules.extend([
            (version_steps && next.version > before.version, "I5 the version steps by one"),
            (!send_is_new || window_holds, "I6 sends within the window"),
            (rebased || delays_hold, "I7 a running lock never moves earlier"),
            (rebased || unlocks || next.blocks.hold(&before.blocks, now), "I7 a block never moves earlier"),
            (tries_begin_counted(policy, before, next, request, decision, now), "I1 a password's try is counted first"),
            (
                password_was_compared(before, next, request, decision, now),
                "I4 a password opens what was being compared",
            ),
            (
                receipt_moves_one_send(before, next, request, decision, now),
                "116 a receipt moves one send and nothing else",
            ),
            (rebased || next.seen_at >= before.seen_at, "I8 time seen never goes back"),
            (!policy.supersedes || live_doors_differ(next, policy, request), "I2 one live challenge a door"),
        ]);
    }
    first_broken(&rules)
}

/// Was it refused for load or lock reasons?
fn is_load_refusal(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Refused(
            Refusal::SendLimited { .. }
                | Refusal::GuessDelayed { .. }
                | Refusal::GuessStopped { .. }
                | Refusal::AttemptsExhausted { .. }
                | Refusal::NothingPending
                | Refusal::IdempotencyInFlight { .. }
                | Refusal::AddressBlocked { .. }
                | Refusal::PasswordBusy
        )
    )
}

/// A comparison begins with its try counted, and only while its address has one left beside those under way.
fn tries_begin_counted(
    policy: &Policy,
    before: &Record,
    next: &Record,
    request: &Request,
    decision: &Decision,
    now: UnixMillis,
) -> bool {
    let (Command::BeginPassword { address, .. }, Outcome::Comparing(_)) = (&request.command, &decision.outcome) else {
        return true;
    };
    let (before, _) = before.at(now);
    let spent = usize::from(next.blocks.count(Asked::Password, *address)) + next.passwords.comparing_of(*address);
    next.passwords.guesses.failures() == before.passwords.guesses.failures().saturating_add(1)
        && policy.block.is_none_or(|block| spent <= usize::from(block.strikes))
}

/// A password signs someone in only if its comparison was under way for the account that stands, and only once.
fn password_was_compared(
    before: &Record,
    next: &Record,
    request: &Request,
    decision: &Decision,
    now: UnixMillis,
) -> bool {
    let (Command::EndPassword { nonce, .. }, Outcome::SignedIn(_)) = (&request.command, &decision.outcome) else {
        return true;
    };
    let (mut before, now) = before.at(now);
    let was_lost = before.passwords.lost(now).iter().any(|lost| lost.nonce == *nonce);
    let had_password = before.account.as_ref().is_some_and(|account| account.password.is_some());
    decision.replayed
        || (!was_lost
            && had_password
            && before.passwords.end(*nonce).is_some()
            && next.passwords.clone().end(*nonce).is_none())
}

/// A receipt moves the one send that it names and sends nothing; all else is what it was at that time, bit for bit.
fn receipt_moves_one_send(
    before: &Record,
    next: &Record,
    request: &Request,
    decision: &Decision,
    now: UnixMillis,
) -> bool {
    let Command::Receipt { nonce, delivery, .. } = request.command else { return true };
    let (mut expected, _) = before.at(now);
    expected.version = next.version;
    decision.draft.is_none() && without_send(expected, nonce, delivery) == without_send(next.clone(), nonce, delivery)
}

/// The record with nothing in it of how far one send has come.
fn without_send(mut record: Record, nonce: u64, number: u8) -> Record {
    let of_record = record.challenges.iter_mut().filter(|challenge| challenge.nonce == nonce);
    for sent in of_record.flat_map(|challenge| &mut challenge.deliveries).filter(|sent| sent.number == number) {
        (sent.route, sent.state) = (None, DeliveryState::Sending);
    }
    let views = record.answers.iter_mut().filter_map(|answer| answer.outcome.view_mut());
    for view in views.filter(|view| view.nonce == nonce) {
        view.deliveries.retain(|sent| sent.number != number);
    }
    record
}

/// Challenges that this step approved.
fn newly_approved(before: &Record, decision: &Decision) -> Vec<u64> {
    let approved = |challenge: &&Challenge| matches!(challenge.stage, Stage::Approved { .. });
    let after = decision.next.iter().flat_map(|next| next.challenges.iter().filter(approved));
    after
        .filter(|challenge| before.challenge(challenge.nonce).is_none_or(|old| !approved(&old)))
        .map(|challenge| challenge.nonce)
        .collect()
}

/// After a start at a door that supersedes, that door has one pending challenge.
fn live_doors_differ(next: &Record, policy: &Policy, request: &Request) -> bool {
    let Command::Start(start) = &request.command else { return true };
    let pending = |challenge: &&Challenge| challenge.door == start.door && challenge.stage == Stage::Pending;
    !policy.supersedes || next.challenges.iter().filter(pending).count() <= 1
}

fn first_broken(rules: &[(bool, Violation)]) -> Result<(), Violation> {
    rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, name)| Err(*name))
}
