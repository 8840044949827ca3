//! Starting a challenge, sending its code again, and what a send came to.

use crate::record::{
    challenge::{
        Arrival, CHALLENGE_SENDS_MAX, CHALLENGES_MAX, Challenge, ChallengeView, Delivery, DeliveryState, Secret, Stage,
    },
    code::Code,
    command::{Command, SendResult, Sender, Start},
    invariants::RECORD_BYTES_MAX,
    label::Label,
    number::PhoneNumber,
    outcome::{Draft, Outcome, Received, Refusal, SendLimit},
    policy::{AUTO, Policy},
    seal::Keyring,
    snapshot,
    state::Record,
    time::UnixMillis,
    window::{Limited, SENDS_MAX, SendLog, Sent},
};

use super::{Rules, Step};

/// Challenges that may carry the caller's notes at one time; older ones lose theirs, so a record stays small.
const WITH_METADATA_MAX: usize = 2;

pub(super) fn start(rules: Rules<'_>, after: &mut Record, start: &Start, now: UnixMillis) -> Step {
    if let Err(limited) = after.sends.may_start(rules.policy, start.sender, now) {
        return Step::refused(limited.into());
    }
    if rules.policy.supersedes {
        for challenge in after.challenges.iter_mut().filter(|c| c.door == start.door && c.stage == Stage::Pending) {
            challenge.stage = Stage::Superseded { at: now };
        }
    }
    while after.challenges.len() >= CHALLENGES_MAX {
        after.drop_least_challenge(now);
    }
    let mut challenge = new_challenge(rules, start, now);
    if let Some(chosen) = &start.chosen {
        challenge.choose(rules.keys, after.phone, chosen);
    }
    limit_metadata(after, &challenge);
    let nonce = challenge.nonce;
    // Most numbers have one; room for four would be a kilobyte.
    after.challenges.reserve_exact(1);
    after.challenges.push(challenge);
    let how = How { sender: start.sender, channel: None, chosen: start.chosen.as_ref() };
    deliver(rules, after, nonce, how, now)
}

/// How one send is made.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) sender: Sender,
    /// By what, if not by the challenge's own channel.
    pub(super) channel: Option<Label>,
    /// The code, for a challenge that has its digest alone.
    pub(super) chosen: Option<&'a Code>,
}

fn new_challenge(rules: Rules<'_>, start: &Start, now: UnixMillis) -> Challenge {
    let policy = rules.policy;
    Challenge {
        nonce: start.nonce,
        key: rules.keys.current(),
        door: start.door,
        channel: start.channel,
        digits: start.digits.unwrap_or(policy.code_digits),
        secret: Secret::Derived,
        stage: Stage::Pending,
        created_at: now,
        expires_at: now.plus(start.life_ms.unwrap_or(policy.code_life_ms)),
        attempts_max: policy.attempts_max,
        attempts_by_id: 0,
        attempts_by_number: 0,
        deliveries: Vec::new(),
        facts: start.facts.clone(),
        metadata: start.metadata.clone().into(),
        bound_to: start.bound_to,
    }
}

fn limit_metadata(after: &mut Record, coming: &Challenge) {
    let room = WITH_METADATA_MAX - usize::from(!coming.metadata.is_empty());
    let with_metadata = after.challenges.iter_mut().rev().filter(|challenge| !challenge.metadata.is_empty());
    for challenge in with_metadata.skip(room) {
        challenge.metadata = Box::default();
    }
}

pub(super) fn resend(rules: Rules<'_>, after: &mut Record, nonce: u64, how: How<'_>, now: UnixMillis) -> Step {
    let Some(challenge) = after.challenge(nonce) else { return Step::refused(Refusal::UnknownChallenge) };
    let How { sender, chosen, .. } = how;
    let keys = rules.keys;
    let phone = after.phone;
    let chosen_is_known = chosen.is_some_and(|code| challenge.matches(keys, phone, code));
    match challenge.stage {
        Stage::Approved { .. } => return Step::refused(Refusal::AlreadyApproved),
        Stage::Canceled { .. } | Stage::Superseded { .. } | Stage::Failed { .. } => {
            return Step::refused(Refusal::Closed);
        }
        Stage::Pending if now >= challenge.expires_at => return Step::refused(Refusal::Expired),
        // Whoever resends holds the id, and by it nothing is left to check.
        Stage::Pending if challenge.attempts_by_id >= challenge.attempts_max => {
            return Step::refused(Refusal::AttemptsExhausted { expires_at: challenge.expires_at });
        }
        Stage::Pending if challenge.secret != Secret::Derived && !chosen_is_known => {
            return Step::refused(Refusal::ChosenCodeNeeded);
        }
        Stage::Pending => {}
    }
    let may_resend = may_resend(rules.policy, &after.sends, challenge, now);
    if let Err(limited) = may_resend.and_then(|()| after.sends.may_send(rules.policy, sender, now)) {
        return Step::refused(limited.into());
    }
    deliver(rules, after, nonce, how, now)
}

/// Sends the code of a silent challenge another way, if its way was left to us, nobody has tried it and it has a resend
/// left within the number's own limits.
pub(super) fn advance(
    rules: Rules<'_>,
    after: &mut Record,
    (nonce, past): (u64, u8),
    code: &Code,
    now: UnixMillis,
) -> Step {
    let nothing = || Step::unchanged(Outcome::Done);
    let Some(challenge) = after.challenge(nonce) else { return nothing() };
    let is_silent = challenge.deliveries.last().is_some_and(|last| last.number == past && last.state.is_silent());
    let is_untried = challenge.attempts_by_id == 0 && challenge.attempts_by_number == 0;
    let has_room = challenge.resends() < rules.policy.resend_after_ms.len()
        && challenge.deliveries.len() < CHALLENGE_SENDS_MAX
        && challenge.matches(rules.keys, after.phone, code);
    let Some(sender) = after.sends.sender_of(nonce) else { return nothing() };
    let may_send = after.sends.may_send(rules.policy, sender, now).is_ok();
    if challenge.channel != AUTO || !challenge.is_live(now) || !is_silent || !is_untried || !has_room || !may_send {
        return nothing();
    }
    deliver(rules, after, nonce, How { sender, channel: None, chosen: Some(code) }, now)
}

/// Has it a resend left, and is it time?
fn may_resend(policy: &Policy, sends: &SendLog, challenge: &Challenge, now: UnixMillis) -> Result<(), Limited> {
    let spent = challenge.resends() >= policy.resend_after_ms.len();
    if spent || challenge.deliveries.len() >= CHALLENGE_SENDS_MAX {
        return Err(Limited { limit: SendLimit::Resends, retry_at: challenge.expires_at });
    }
    let retry_at = resend_at(policy, sends, challenge);
    if now < retry_at { Err(Limited { limit: SendLimit::Cooldown, retry_at }) } else { Ok(()) }
}

/// Earliest next resend: its own wait after the challenge's last send, and the cooldown after the number's.
fn resend_at(policy: &Policy, sends: &SendLog, challenge: &Challenge) -> UnixMillis {
    let wait = policy.resend_after_ms.get(challenge.resends()).or_else(|| policy.resend_after_ms.last());
    let own = challenge.last_send_at().plus(wait.copied().unwrap_or(0));
    sends.cools_until(policy).map_or(own, |until| own.max(until))
}

/// Enters one more send of the challenge and drafts its message.
fn deliver(rules: Rules<'_>, after: &mut Record, nonce: u64, how: How<'_>, now: UnixMillis) -> Step {
    let How { sender, chosen, .. } = how;
    let phone = after.phone;
    let Some(challenge) = after.challenge_mut(nonce) else { return Step::refused(Refusal::UnknownChallenge) };
    let delivery = u8::try_from(challenge.deliveries.len()).unwrap_or(u8::MAX);
    let (channel, state) = (how.channel.unwrap_or(challenge.channel), DeliveryState::Sending);
    challenge.deliveries.push(Delivery { number: delivery, at: now, channel, route: None, state, repeated: false });
    let Some(draft) = draft(rules.keys, challenge, phone, (delivery, channel), chosen) else {
        return Step::refused(Refusal::Closed);
    };
    if !sender.unpaid {
        after.sends.add(Sent { at: now, address: sender.address, challenge: nonce, delivery, answered: false });
    }
    debug_assert!(after.sends.times().len() <= SENDS_MAX, "the day's limit bounds the list");
    match view(rules.policy, after, nonce, now) {
        Some(view) => Step::sending(Outcome::Issued(view), draft),
        None => Step::refused(Refusal::UnknownChallenge),
    }
}

fn draft(
    keys: &Keyring,
    challenge: &Challenge,
    phone: PhoneNumber,
    (delivery, channel): (u8, Label),
    chosen: Option<&Code>,
) -> Option<Draft> {
    let code = match challenge.secret {
        Secret::Derived => challenge.derived_code(keys, phone)?,
        Secret::Chosen(_) => chosen?.clone(),
    };
    Some(Draft {
        nonce: challenge.nonce,
        key: challenge.key,
        delivery,
        door: challenge.door,
        channel,
        code,
        expires_at: challenge.expires_at,
        facts: challenge.facts.clone(),
    })
}

/// The challenge as its holder may see it.
pub(super) fn view(policy: &Policy, after: &Record, nonce: u64, now: UnixMillis) -> Option<ChallengeView> {
    let challenge = after.challenge(nonce)?;
    Some(challenge.view(policy, resend_at(policy, &after.sends, challenge), now))
}

/// Enters what a send came to. A certain failure gives the send back, unless the fault is the number's (then it
/// stays spent, or a dead number would be free to hammer with), and ends a challenge that has no other send.
pub(super) fn settle(
    after: &mut Record,
    (nonce, number): (u64, u8),
    (route, channel): (Label, Label),
    result: SendResult,
    now: UnixMillis,
) -> Step {
    let Some(challenge) = after.challenge_mut(nonce) else { return Step::unchanged(Outcome::Done) };
    let state = match result {
        SendResult::Accepted => DeliveryState::Accepted,
        SendResult::Failed { .. } => DeliveryState::Failed,
        SendResult::Unknown => DeliveryState::Unknown,
    };
    let mut deliveries = challenge.deliveries.iter_mut();
    let delivery = deliveries.find(|delivery| delivery.number == number);
    let Some(settled) =
        delivery.and_then(|delivery| delivery.settle((route, channel), state).then(|| delivery.clone()))
    else {
        return Step::unchanged(Outcome::Done);
    };
    let only_send = challenge.deliveries.iter().all(|delivery| delivery.state == DeliveryState::Failed);
    if only_send && challenge.stage == Stage::Pending {
        challenge.stage = Stage::Failed { at: now };
    }
    if result == (SendResult::Failed { number_at_fault: false }) {
        after.sends.give_back(nonce, number);
    }
    settle_answers(after, nonce, &settled);
    Step::changed(Outcome::Done)
}

/// Moves a known send forward as its receipt says, and nothing else (security 115 and 116). What has no room for the
/// route's name is let be: a receipt must not push anything out of the record.
pub(super) fn receipt(after: &mut Record, (nonce, number): (u64, u8), route: Label, arrival: Arrival) -> Step {
    let unmoved = |received| Step::unchanged(Outcome::Received(received));
    let deliveries = after.challenge_mut(nonce).into_iter().flat_map(|challenge| &mut challenge.deliveries);
    let Some(delivery) = deliveries.into_iter().find(|delivery| delivery.number == number) else {
        return unmoved(Received::Unknown);
    };
    if !delivery.arrive(route, arrival) {
        return unmoved(Received::Known);
    }
    let (sent_at, channel) = (delivery.at, delivery.channel);
    let moved = delivery.clone();
    settle_answers(after, nonce, &moved);
    if snapshot::encoded_len(after) > RECORD_BYTES_MAX {
        return unmoved(Received::Known);
    }
    Step::changed(Outcome::Received(Received::Moved { sent_at, channel }))
}

/// Kept answers show what the send came to; that of a failed send is dropped, so a retry is judged anew.
fn settle_answers(after: &mut Record, nonce: u64, settled: &Delivery) {
    let shows = |outcome: &Outcome| {
        matches!(outcome, Outcome::Issued(view) if view.nonce == nonce
            && view.deliveries.last().is_some_and(|last| last.number == settled.number))
    };
    if settled.state == DeliveryState::Failed {
        after.answers.retain(|answer| !shows(&answer.outcome));
    }
    for answer in after.answers.iter_mut().filter(|answer| shows(&answer.outcome)) {
        if let Outcome::Issued(view) = &mut answer.outcome
            && let Some(last) = view.deliveries.last_mut()
        {
            last.clone_from(settled);
        }
    }
}

/// A retry of a request whose send has no result yet: within the deadline it is in flight; after it the process
/// must have ended in between, and the send is made once more. `None`: replay the kept answer.
pub(super) fn recall(
    rules: Rules<'_>,
    after: &mut Record,
    kept: &ChallengeView,
    command: &Command,
    now: UnixMillis,
) -> Option<Step> {
    let chosen = command.chosen_code().cloned();
    let phone = after.phone;
    let lost = kept.deliveries.last().filter(|delivery| delivery.state == DeliveryState::Sending)?.clone();
    let deadline = lost.at.plus(rules.policy.send_deadline_ms);
    // A send from the future is one that a wrong clock dated; its challenge has ended with that clock.
    if (lost.at..deadline).contains(&now) {
        return Some(Step::refused(Refusal::IdempotencyInFlight { until: deadline }));
    }
    let challenge = after.challenge_mut(kept.nonce).filter(|challenge| challenge.is_live(now))?;
    let delivery = challenge.deliveries.iter_mut().find(|delivery| delivery.number == lost.number)?;
    if delivery.repeated {
        return None;
    }
    delivery.repeated = true;
    delivery.at = now;
    let repeated = delivery.clone();
    let draft = draft(rules.keys, challenge, phone, (lost.number, lost.channel), chosen.as_ref())?;
    settle_answers(after, kept.nonce, &repeated);
    let view = view(rules.policy, after, kept.nonce, now)?;
    Some(Step::sending(Outcome::Issued(view), draft))
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        Self::SendLimited { limit: limited.limit, retry_at: limited.retry_at }
    }
}
