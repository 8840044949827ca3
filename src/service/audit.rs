//! Audit events: who, masked number, what, outcome, reason, request. One structured line each, target `audit`.

use std::net::IpAddr;

use crate::{
    phone::Fault,
    record::{Draft, PhoneNumber, Refusal, SendLimit},
    sms::sender::SendReport,
    token::TokenError,
};

use super::{Dialect, Failure, Origin, Poster};

/// Something was done.
pub(super) fn done(event: &'static str, dialect: &Dialect, origin: &Origin, phone: PhoneNumber) {
    write(event, dialect, origin, phone, "done", "");
}

/// Something was done to an event that could not be delivered.
pub(super) fn done_to_letter(event: &'static str, dialect: &Dialect, origin: &Origin, letter: u64) {
    tracing::info!(
        target: "audit",
        event,
        outcome = "done",
        dialect = dialect.name,
        letter,
        who = who(origin),
        ip = %origin.address,
        request_id = &*origin.request_id,
    );
}

/// Something was refused or failed.
pub(super) fn refused(event: &'static str, dialect: &Dialect, origin: &Origin, phone: PhoneNumber, why: &Failure) {
    write(event, dialect, origin, phone, "refused", reason(why));
}

/// A message was handed to a route.
pub(super) fn sent(dialect: &Dialect, origin: &Origin, phone: PhoneNumber, draft: &Draft, report: &SendReport) {
    let (outcome, class) = match &report.result {
        Ok(_) => ("sent", "accepted"),
        Err(error) => ("failed", error.class.label()),
    };
    tracing::info!(
        target: "audit",
        event = "code_sent",
        outcome,
        reason = class,
        dialect = dialect.name,
        purpose = %draft.door.purpose,
        route = report.route,
        channel = %report.channel,
        tries = report.tries,
        %phone,
        who = who(origin),
        ip = %origin.address,
        request_id = &*origin.request_id,
    );
}

/// A provider posted a receipt. `phone` is known only where it names a message of ours.
pub(super) fn receipt(
    route: &'static str,
    outcome: &'static str,
    reason: &'static str,
    phone: Option<PhoneNumber>,
    poster: &Poster,
) {
    tracing::info!(
        target: "audit",
        event = "receipt",
        outcome,
        reason,
        route,
        phone = phone.map(tracing::field::display),
        ip = %poster.address,
        request_id = &*poster.request_id,
    );
}

/// A caller was not let in. Of what she presented nothing is told.
pub(super) fn turned_away(dialect: &Dialect, reason: &'static str, address: IpAddr, request_id: &str) {
    let (event, outcome) = ("caller", "refused");
    tracing::info!(target: "audit", event, outcome, reason, dialect = dialect.name, ip = %address, request_id);
}

fn write(
    event: &'static str,
    dialect: &Dialect,
    origin: &Origin,
    phone: PhoneNumber,
    outcome: &'static str,
    reason: &'static str,
) {
    tracing::info!(
        target: "audit",
        event,
        outcome,
        reason,
        dialect = dialect.name,
        %phone,
        who = who(origin),
        ip = %origin.address,
        request_id = &*origin.request_id,
    );
}

fn who(origin: &Origin) -> &str {
    origin.caller.as_ref().map_or("anyone", |caller| &caller.id)
}

/// Why, as one word of a closed set.
fn reason(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused(refused) => refusal(&refused.refusal),
        Failure::NotDelivered { class, .. } => class.label(),
        Failure::DeliveryUnknown { .. } => "delivery_unknown",
        Failure::ProofOfWorkRequired(_) => "proof_of_work",
        Failure::SendsOverloaded | Failure::PasswordsOverloaded => "overloaded",
        Failure::NoRoute { .. } => "no_route",
        Failure::ChannelUnsupported => "channel",
        Failure::DestinationNotPermitted { rule } | Failure::DestinationClosed { rule, .. } => rule,
        Failure::BudgetSpent { .. } => "budget",
        Failure::Token(TokenError::Expired) => "token_expired",
        Failure::Token(TokenError::Invalid | TokenError::WrongType | TokenError::UserGone) => "token_invalid",
        Failure::UnknownId => "unknown_id",
        Failure::Fault(fault) => match fault {
            Fault::Overloaded { .. } => "overloaded",
            Fault::Busy => "inflight",
            Fault::Draining => "draining",
            Fault::StorageRefused => "storage",
            Fault::Unknown => "outcome_unknown",
            Fault::Unreadable => "record_unreadable",
            Fault::Quarantined { .. } => "quarantine",
        },
        Failure::Internal(_) => "internal",
    }
}

fn refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownChallenge => "unknown_challenge",
        Refusal::NothingPending => "nothing_pending",
        Refusal::CodeFormat => "code_format",
        Refusal::WrongCode { .. } => "wrong_code",
        Refusal::AttemptsExhausted { .. } => "attempts_exhausted",
        Refusal::Expired => "expired",
        Refusal::Closed => "closed",
        Refusal::AlreadyApproved => "already_approved",
        Refusal::GuessDelayed { .. } => "guess_delayed",
        Refusal::GuessStopped { .. } => "guess_stopped",
        Refusal::SendLimited { limit, .. } => match limit {
            SendLimit::Cooldown => "send_cooldown",
            SendLimit::Window => "send_window",
            SendLimit::Day => "send_day",
            SendLimit::Address => "send_day_per_address",
            SendLimit::Resends => "resends_spent",
        },
        Refusal::ChosenCodeNeeded => "chosen_code_needed",
        Refusal::IdempotencyMismatch => "idempotency_key_reused",
        Refusal::IdempotencyInFlight { .. } => "idempotency_in_flight",
        Refusal::NotForSignIn => "not_for_sign_in",
        Refusal::SessionNeeded => "session_needed",
        Refusal::ReceiptInvalid => "receipt_invalid",
        Refusal::GrantInvalid => "grant_invalid",
        Refusal::SessionUnknown => "session_unknown",
        Refusal::NoSuchSession => "no_such_session",
        Refusal::RefreshReused => "refresh_reused",
        Refusal::NotFresh => "not_fresh",
        Refusal::AccountExists => "account_exists",
        Refusal::ProfileTooLarge => "profile_too_large",
        Refusal::MoveUnfinished(_) => "move_unfinished",
        Refusal::NothingToMove => "nothing_to_move",
        Refusal::StruckOut { .. } => "wrong_code_blocked",
        Refusal::AddressBlocked { .. } => "address_blocked",
        Refusal::NoAccount => "no_account",
        Refusal::Inactive => "account_inactive",
        Refusal::WrongPassword { blocked_until: None } => "wrong_password",
        Refusal::WrongPassword { blocked_until: Some(_) } => "wrong_password_blocked",
        Refusal::PasswordBusy => "password_busy",
    }
}
