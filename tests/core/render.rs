//! Outcomes in a few words.

use otpd::record::{
    Account, ChallengeView, Decision, DeliveryState, Event, Move, Occurred, Outcome, Received, Refusal, SendLimit,
    SessionChange, SignedIn, UnixMillis, UserChange, VerificationChange,
};

use super::world::{T0, World, phone};

/// A time as its distance from the script's beginning.
pub(crate) fn time(at: UnixMillis) -> String {
    let (sign, mut left) = if at < T0 { ("-", T0.since(at)) } else { ("", at.since(T0)) };
    let mut text = sign.to_owned();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= length {
            text += &format!("{}{unit}", left / length);
            left %= length;
        }
    }
    if text == sign { text + "0" } else { text }
}

/// What the operator's back end is told, each event with whom or what it is about; `nothing` if there is none.
pub(crate) fn told(world: &World) -> String {
    let name = |nonce: u64| world.names.get(&nonce).cloned().unwrap_or_else(|| "?".to_owned());
    let event = |told: &Occurred| {
        assert_eq!(Occurred::decode(&told.encode()).as_ref(), Some(told));
        let type_ = told.event.name();
        match &told.event {
            Event::Verification { change, facts } => match change {
                VerificationChange::Canceled(why) => format!("{type_} {} ({why:?})", name(facts.nonce)),
                VerificationChange::MaxAttemptsReached { by_number } => {
                    format!("{type_} {} (by {})", name(facts.nonce), if *by_number { "number" } else { "id" })
                }
                _ => format!("{type_} {}", name(facts.nonce)),
            },
            Event::User { change: UserChange::PhoneChanged { from }, user_id } => {
                let from = ('A'..='Z').find(|name| phone(*name) == *from).unwrap();
                format!("{type_} {user_id} from {from}")
            }
            Event::User { user_id, .. } => format!("{type_} {user_id}"),
            Event::Session { change: SessionChange::Ended(why), facts } => {
                format!("{type_} {} of {} ({why:?})", name(facts.nonce), facts.user_id)
            }
            Event::Session { facts, .. } => format!("{type_} {} of {}", name(facts.nonce), facts.user_id),
        }
    };
    let events: Vec<String> = world.told.iter().map(event).collect();
    if events.is_empty() { "nothing".to_owned() } else { events.join(", ") }
}

/// One decision: `→` was written, `⇢` was not; `✉` says that a message goes out.
pub(crate) fn decision(world: &World, decision: &Decision) -> String {
    let arrow = if decision.next.is_some() { "→" } else { "⇢" };
    let message = decision.draft.as_ref().map_or(String::new(), |draft| format!("✉{} ", draft.delivery));
    let replayed = if decision.replayed { " (replayed)" } else { "" };
    format!("{arrow} {message}{}{replayed}", outcome(world, &decision.outcome))
}

fn outcome(world: &World, outcome: &Outcome) -> String {
    let name = |nonce: u64| world.names.get(&nonce).cloned().unwrap_or_else(|| "?".to_owned());
    let who = |is_new: bool| if is_new { "new" } else { "known" };
    match outcome {
        Outcome::Issued(issued) => format!("issued {}", view(world, issued)),
        Outcome::Approved { view, is_new_user, .. } => format!("approved {} {}", name(view.nonce), who(*is_new_user)),
        Outcome::Verification(seen) => view(world, seen),
        Outcome::SignedIn(signed_in) => {
            let SignedIn { session, generation, user_id, is_new_user, expires_at, .. } = signed_in;
            let (name, who, till) = (name(*session), who(*is_new_user), time(*expires_at));
            format!("signed in {name} gen {generation} user {user_id} {who} till {till}")
        }
        Outcome::Granted { nonce, expires_at, .. } => format!("granted {} till {}", name(*nonce), time(*expires_at)),
        Outcome::Authenticated { session, account } => {
            let (name, opened, user) = (name(session.nonce), time(session.opened_at), account.user_id);
            let profile = account.profile.name.as_deref().unwrap_or("-");
            format!("alive {name} opened {opened} user {user} name {profile}")
        }
        Outcome::Exported(export) => {
            let sessions: Vec<String> = export.sessions.iter().map(|session| name(session.nonce)).collect();
            let challenges: Vec<String> = export.challenges.iter().map(|view| name(view.nonce)).collect();
            let (sessions, challenges) = (sessions.join(" "), challenges.join(" "));
            let (user, sends, failures) = (export.account.user_id, export.sends.len(), export.failures);
            format!("user {user} sessions [{sessions}] challenges [{challenges}] sends {sends} failures {failures}")
        }
        Outcome::Done => "done".to_owned(),
        Outcome::Claimed { from, view } => format!("claimed from {} by {}", letter(*from), name(view.nonce)),
        Outcome::Released(account) => format!("released user {}", account.user_id),
        Outcome::Identified(account) => {
            let told = |account: &Account| {
                let password = if account.password.is_some() { "password" } else { "no password" };
                format!("user {} {password}{}", account.user_id, if account.active { "" } else { " shut" })
            };
            account.as_deref().map_or("nobody".to_owned(), told)
        }
        Outcome::Comparing(hash) => {
            format!("comparing with {}", hash.as_ref().map_or("any", |hash| hash.expose()))
        }
        Outcome::Received(Received::Unknown) => "no such message".to_owned(),
        Outcome::Received(Received::Known) => "no news".to_owned(),
        Outcome::Received(Received::Moved { sent_at, channel }) => format!("moved {channel} of {}", time(*sent_at)),
        Outcome::Refused(refused) => format!("no: {}", refusal(refused)),
    }
}

fn letter(number: otpd::record::PhoneNumber) -> char {
    ('A'..='Z').find(|name| phone(*name) == number).unwrap_or('?')
}

/// An account on its way.
pub(crate) fn moving(found: Option<Move>) -> String {
    found.map_or("no move".to_owned(), |found| format!("move {} to {}", letter(found.from), letter(found.to)))
}

fn view(world: &World, view: &ChallengeView) -> String {
    let name = world.names.get(&view.nonce).map_or("?", String::as_str);
    let sends = view.deliveries.iter().map(|delivery| match delivery.state {
        DeliveryState::Sending => "sending",
        DeliveryState::Accepted => "accepted",
        DeliveryState::Failed => "failed",
        DeliveryState::Unknown => "unknown",
        DeliveryState::Sent => "sent",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Undelivered => "undelivered",
    });
    let sends = sends.collect::<Vec<_>>().join(" ");
    let status = format!("{:?}", view.status).to_lowercase();
    let (digits, tries, till) = (view.digits, view.attempts_remaining, time(view.expires_at));
    let resend = format!("{}× from {}", view.resends_remaining, time(view.resend_at));
    format!("{name} {status} {digits} digits till {till}, {tries} tries, resend {resend} [{sends}]")
}

fn refusal(refused: &Refusal) -> String {
    match refused {
        Refusal::WrongCode { attempts_remaining, .. } => format!("wrong, {attempts_remaining} left"),
        Refusal::AttemptsExhausted { .. } => "exhausted".to_owned(),
        Refusal::GuessDelayed { until } => format!("delayed until {}", time(*until)),
        Refusal::GuessStopped { until } => format!("stopped until {}", time(*until)),
        Refusal::SendLimited { limit, retry_at } => {
            let limit = match limit {
                SendLimit::Cooldown => "cooldown",
                SendLimit::Window => "window",
                SendLimit::Day => "day",
                SendLimit::Address => "address",
                SendLimit::Resends => "resends",
            };
            format!("{limit} until {}", time(*retry_at))
        }
        Refusal::IdempotencyInFlight { until } => format!("in flight until {}", time(*until)),
        Refusal::MoveUnfinished(found) => format!("unfinished {}", moving(Some(*found))),
        Refusal::UnknownChallenge => "unknown".to_owned(),
        Refusal::NothingPending => "nothing pending".to_owned(),
        Refusal::CodeFormat => "format".to_owned(),
        Refusal::Expired => "expired".to_owned(),
        Refusal::Closed => "closed".to_owned(),
        Refusal::AlreadyApproved => "already approved".to_owned(),
        Refusal::ChosenCodeNeeded => "chosen code needed".to_owned(),
        Refusal::IdempotencyMismatch => "another body".to_owned(),
        Refusal::NotForSignIn => "not for sign-in".to_owned(),
        Refusal::SessionNeeded => "session needed".to_owned(),
        Refusal::ReceiptInvalid => "receipt invalid".to_owned(),
        Refusal::GrantInvalid => "grant invalid".to_owned(),
        Refusal::SessionUnknown => "session unknown".to_owned(),
        Refusal::NoSuchSession => "no such session".to_owned(),
        Refusal::RefreshReused => "refresh reused".to_owned(),
        Refusal::NotFresh => "not fresh".to_owned(),
        Refusal::AccountExists => "account exists".to_owned(),
        Refusal::ProfileTooLarge => "profile too large".to_owned(),
        Refusal::NothingToMove => "nothing to move".to_owned(),
        Refusal::StruckOut { until } => format!("wrong, blocked until {}", time(*until)),
        Refusal::AddressBlocked { until } => format!("blocked until {}", time(*until)),
        Refusal::NoAccount => "no account".to_owned(),
        Refusal::Inactive => "inactive".to_owned(),
        Refusal::WrongPassword { blocked_until: None } => "wrong password".to_owned(),
        Refusal::WrongPassword { blocked_until: Some(until) } => {
            format!("wrong password, blocked until {}", time(*until))
        }
        Refusal::PasswordBusy => "busy".to_owned(),
    }
}
