//! Every "no" of the use cases as a problem, in one place.

use axum::{
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use super::super::{
    problem::{Problem, ProblemCode},
    rate_headers::{self, RateLimit},
};
use crate::{
    phone::Fault,
    record::{Refusal, SECOND, SendQuota, UnixMillis},
    service::{self, Failure},
    token::TokenError,
};

/// A problem with its rate headers. Boxed, because it travels as the `Err` of everything.
#[derive(Debug)]
pub(super) struct Refused(Box<(Problem, HeaderMap)>);

impl Refused {
    /// The problem, for APIs that say it in another form.
    pub(super) fn problem(self) -> Problem {
        self.0.0
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new((problem, HeaderMap::new())))
    }
}

impl From<ProblemCode> for Refused {
    fn from(code: ProblemCode) -> Self {
        Problem::new(code).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (problem, headers) = *self.0;
        let mut response = problem.into_response();
        response.headers_mut().extend(headers);
        response
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let problem = match failure {
            Failure::Refused(refused) => return of_refusal(&refused),
            Failure::NotDelivered { .. } => Problem::new(ProblemCode::DeliveryFailed),
            Failure::DeliveryUnknown { verification } => {
                Problem::new(ProblemCode::OutcomeUnknown).verification_id(verification.id)
            }
            Failure::ProofOfWorkRequired(challenge) => {
                Problem::new(ProblemCode::ProofOfWorkRequired).proof_of_work(challenge.to_string(), challenge.bits)
            }
            Failure::SendsOverloaded | Failure::PasswordsOverloaded => Problem::new(ProblemCode::Overloaded),
            Failure::NoRoute { retry_after } | Failure::BudgetSpent { retry_after } => {
                Problem::new(ProblemCode::NoRouteAvailable).retry_after(service::whole_seconds(retry_after))
            }
            Failure::ChannelUnsupported => Problem::new(ProblemCode::ChannelUnsupported),
            Failure::DestinationNotPermitted { .. } => Problem::new(ProblemCode::DestinationNotPermitted),
            Failure::DestinationClosed { retry_after, .. } => {
                Problem::new(ProblemCode::SendLimited).retry_after(service::whole_seconds(retry_after))
            }
            Failure::Token(TokenError::Expired) => Problem::new(ProblemCode::TokenExpired),
            Failure::Token(_) => Problem::new(ProblemCode::TokenInvalid),
            Failure::UnknownId => Problem::new(ProblemCode::VerificationNotFound),
            Failure::Fault(fault) => of_fault(&fault),
            Failure::Internal(why) => {
                tracing::error!(why, "internal error");
                Problem::new(ProblemCode::InternalError)
            }
        };
        problem.into()
    }
}

pub(super) fn of_fault(fault: &Fault) -> Problem {
    match fault {
        Fault::Overloaded { retry_after } => Problem::new(ProblemCode::Overloaded).retry_after(retry_after.as_secs()),
        Fault::Busy => Problem::new(ProblemCode::RateLimited).retry_after(1),
        Fault::Draining => Problem::new(ProblemCode::Draining),
        Fault::StorageRefused | Fault::Unreadable => Problem::new(ProblemCode::StorageUnavailable),
        Fault::Quarantined { .. } => Problem::new(ProblemCode::StorageUnavailable),
        Fault::Unknown => Problem::new(ProblemCode::OutcomeUnknown),
    }
}

/// A refusal of the record, with the wait it names and the window it saw.
fn of_refusal(refused: &service::Refused) -> Refused {
    let now = refused.now;
    let mut headers = HeaderMap::new();
    write_quota(&mut headers, refused.quota, now);
    let waits = |code: ProblemCode, until: UnixMillis| Problem::new(code).retry_after(until.seconds_from(now));
    let problem = match refused.refusal {
        Refusal::UnknownChallenge | Refusal::NothingPending => ProblemCode::VerificationNotFound.into(),
        Refusal::CodeFormat => ProblemCode::CodeFormat.into(),
        Refusal::WrongCode { attempts_remaining: 0, expires_at } => {
            waits(ProblemCode::MaxAttemptsReached, expires_at).attempts_remaining(0)
        }
        Refusal::WrongCode { attempts_remaining, .. } => {
            Problem::new(ProblemCode::CodeIncorrect).attempts_remaining(attempts_remaining.into())
        }
        Refusal::AttemptsExhausted { expires_at } => {
            waits(ProblemCode::MaxAttemptsReached, expires_at).attempts_remaining(0)
        }
        Refusal::Expired => ProblemCode::VerificationExpired.into(),
        Refusal::Closed => ProblemCode::VerificationClosed.into(),
        Refusal::AlreadyApproved => ProblemCode::AlreadyApproved.into(),
        Refusal::GuessDelayed { until } | Refusal::GuessStopped { until } => {
            waits(ProblemCode::GuessBudgetExhausted, until)
        }
        Refusal::SendLimited { retry_at, .. } => waits(ProblemCode::SendLimited, retry_at),
        Refusal::ChosenCodeNeeded => {
            Problem::new(ProblemCode::InvalidField).field("/custom_code", "must be the code this verification has")
        }
        Refusal::IdempotencyMismatch => ProblemCode::IdempotencyKeyReused.into(),
        Refusal::IdempotencyInFlight { until } => waits(ProblemCode::IdempotencyInFlight, until),
        Refusal::NotForSignIn => Problem::new(ProblemCode::InvalidField)
            .field("/purpose", "only verifications of purpose login or signup sign in"),
        Refusal::SessionNeeded | Refusal::SessionUnknown | Refusal::RefreshReused | Refusal::NoAccount => {
            ProblemCode::TokenInvalid.into()
        }
        Refusal::Inactive => ProblemCode::AccountInactive.into(),
        // Only of dialects that block addresses or take passwords.
        Refusal::StruckOut { until } | Refusal::AddressBlocked { until } => waits(ProblemCode::RateLimited, until),
        Refusal::WrongPassword { .. } => ProblemCode::TokenInvalid.into(),
        Refusal::PasswordBusy => ProblemCode::Overloaded.into(),
        Refusal::ReceiptInvalid | Refusal::GrantInvalid | Refusal::NothingToMove => ProblemCode::TokenInvalid.into(),
        Refusal::NoSuchSession => ProblemCode::NotFound.into(),
        Refusal::NotFresh => ProblemCode::FreshLoginRequired.into(),
        Refusal::AccountExists => ProblemCode::PhoneInUse.into(),
        Refusal::ProfileTooLarge => {
            Problem::new(ProblemCode::InvalidField).detail("the profile is too large as a whole")
        }
        // It was finished or tried before this answer; what is left is a fault on the way.
        Refusal::MoveUnfinished(_) => ProblemCode::StorageUnavailable.into(),
    };
    Refused(Box::new((problem, headers)))
}

/// The send window as `RateLimit` headers; nothing if no record was asked.
pub(super) fn write_quota(headers: &mut HeaderMap, quota: SendQuota, now: UnixMillis) {
    if quota.most == 0 {
        return;
    }
    let limit = RateLimit {
        name: "sends",
        quota: quota.most.into(),
        window_s: quota.window_ms / SECOND,
        remaining: quota.remaining.into(),
        reset_s: quota.reset_at.since(now).div_ceil(SECOND),
    };
    rate_headers::write(headers, &[limit]);
}
