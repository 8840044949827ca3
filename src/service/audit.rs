//! Audit events: who, masked number, what, outcome, reason, request. One structured line each, target `audit`.

use crate::{
    record::{Draft, PhoneNumber},
    sms::sender::SendReport,
};

use super::{Dialect, Failure, Origin};

/// Something was done.
pub(super) fn done(event: &'static str, dialect: &Dialect, origin: &Origin, phone: PhoneNumber) {
    write(event, dialect, origin, phone, "done", "");
}

/// Something was refused or failed.
pub(super) fn refused(event: &'static str, dialect: &Dialect, origin: &Origin, phone: PhoneNumber, why: &Failure) {
    write(event, dialect, origin, phone, "refused", &reason(why));
}

/// A message was handed to a route.
pub(super) fn sent(dialect: &Dialect, origin: &Origin, phone: PhoneNumber, draft: &Draft, report: &SendReport) {
    let (outcome, class) = match &report.result {
        Ok(_) => ("sent", "accepted"),
        Err(error) => ("failed", error.class.label()),
    };
    tracing::info!(
        target: "audit",
        event = "code_requested",
        outcome,
        reason = class,
        dialect = dialect.name,
        purpose = %draft.door.purpose,
        route = report.route,
        tries = report.tries,
        %phone,
        who = who(origin),
        ip = %origin.address,
        request_id = &*origin.request_id,
    );
}

fn write(
    event: &'static str,
    dialect: &Dialect,
    origin: &Origin,
    phone: PhoneNumber,
    outcome: &'static str,
    reason: &str,
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

/// A short word for why; refusals by their own name.
fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Refused(refused) => format!("{:?}", refused.refusal),
        Failure::NotDelivered { class, .. } => class.label().to_owned(),
        Failure::DeliveryUnknown { .. } => "delivery_unknown".to_owned(),
        Failure::SendsOverloaded => "overloaded".to_owned(),
        Failure::Token(_) => "token".to_owned(),
        Failure::UnknownId => "unknown_id".to_owned(),
        Failure::Fault(fault) => format!("{fault:?}"),
        Failure::Internal(why) => (*why).to_owned(),
    }
}
