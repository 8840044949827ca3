//! Every failure of the use cases, brought to the few that a dialect tells apart.

use crate::{
    phone::Fault,
    record::Refusal,
    service::{self, Challenge, Failure, Refused},
    sms::SendClass,
    token::TokenError,
};

/// Why not. Each dialect has a body for those that its call can meet; the desk has one for the rest.
#[expect(clippy::enum_variant_names, reason = "`NoAccount` is what everyone calls it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum No {
    /// As many sends as allowed.
    Limited { retry_after_s: u64 },
    /// The message was not sent, or nobody knows.
    NotSent(SendClass),
    /// Messages are not sent to this country or kind of number.
    NotPermitted,
    /// A message is sent only to who has done this work.
    Unproven(Challenge),
    /// A wrong code; so many tries are left.
    Wrong { remaining: u8 },
    /// All tries are spent.
    Exhausted,
    /// The code's time is over.
    Expired,
    /// Never sent, used, superseded.
    NothingPending,
    /// Not as many digits as the code has.
    BadCode,
    /// Too many wrong codes for this number, by whomever.
    Delayed { retry_after_s: u64 },
    /// A wrong code, and the address is blocked at this number now.
    StruckOut { retry_after_s: u64 },
    /// The address is blocked at this number.
    Blocked { retry_after_s: u64 },
    /// A wrong password; with it the address may have become blocked.
    WrongPassword { blocked_for_s: Option<u64> },
    /// Nobody has the number.
    NoAccount,
    /// Somebody has.
    AccountExists,
    /// The registration token is not good.
    BadGrant,
    /// The profile would be too large as a whole.
    ProfileTooLarge,
    /// The access or refresh token is not good.
    Token(TokenError),
    /// The person whom the token names has gone.
    UserGone,
    /// An administrator has shut the account.
    Inactive,
    /// Nothing was done; ask again.
    Busy { retry_after_s: u64 },
    /// It may have been done.
    OutcomeUnknown,
    /// A fault of ours.
    Broken,
}

/// Whole seconds for a caller who is not told when.
const SOON_S: u64 = 5;

impl From<Failure> for No {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => Self::from(refused),
            Failure::NotDelivered { class, .. } => Self::NotSent(class),
            Failure::DeliveryUnknown { .. } => Self::NotSent(SendClass::UnknownOutcome),
            Failure::ProofOfWorkRequired(challenge) => Self::Unproven(challenge),
            Failure::SendsOverloaded | Failure::PasswordsOverloaded => Self::Busy { retry_after_s: SOON_S },
            // Its client knows what a send that failed looks like.
            Failure::NoRoute { .. } | Failure::BudgetSpent { .. } => Self::NotSent(SendClass::ProviderDown),
            Failure::DestinationClosed { retry_after, .. } => {
                Self::Limited { retry_after_s: service::whole_seconds(retry_after) }
            }
            Failure::DestinationNotPermitted { .. } => Self::NotPermitted,
            // A dialect asks for the one channel that its original has; without a route for it nothing can be sent.
            Failure::ChannelUnsupported => Self::Busy { retry_after_s: SOON_S },
            Failure::Token(TokenError::UserGone) => Self::UserGone,
            Failure::Token(error) => Self::Token(error),
            // The only ids that a dialect takes are registration tokens.
            Failure::UnknownId => Self::BadGrant,
            Failure::Fault(Fault::Overloaded { retry_after }) => Self::Busy { retry_after_s: retry_after.as_secs() },
            Failure::Fault(Fault::Busy) => Self::Limited { retry_after_s: 1 },
            Failure::Fault(Fault::Draining | Fault::StorageRefused | Fault::Unreadable | Fault::Quarantined { .. }) => {
                Self::Busy { retry_after_s: SOON_S }
            }
            Failure::Fault(Fault::Unknown) => Self::OutcomeUnknown,
            Failure::Internal(why) => {
                tracing::error!(why, "internal error");
                Self::Broken
            }
        }
    }
}

impl From<Refused> for No {
    fn from(refused: Refused) -> Self {
        let wait = |until: crate::record::UnixMillis| until.seconds_from(refused.now);
        match refused.refusal {
            Refusal::SendLimited { retry_at, .. } => Self::Limited { retry_after_s: wait(retry_at) },
            Refusal::WrongCode { attempts_remaining, .. } => Self::Wrong { remaining: attempts_remaining },
            Refusal::AttemptsExhausted { .. } => Self::Exhausted,
            Refusal::Expired => Self::Expired,
            Refusal::UnknownChallenge | Refusal::NothingPending | Refusal::Closed | Refusal::AlreadyApproved => {
                Self::NothingPending
            }
            Refusal::CodeFormat => Self::BadCode,
            Refusal::GuessDelayed { until } | Refusal::GuessStopped { until } => {
                Self::Delayed { retry_after_s: wait(until) }
            }
            Refusal::StruckOut { until } => Self::StruckOut { retry_after_s: wait(until) },
            Refusal::AddressBlocked { until } => Self::Blocked { retry_after_s: wait(until) },
            Refusal::WrongPassword { blocked_until } => Self::WrongPassword { blocked_for_s: blocked_until.map(wait) },
            Refusal::NoAccount => Self::NoAccount,
            Refusal::AccountExists => Self::AccountExists,
            Refusal::GrantInvalid => Self::BadGrant,
            Refusal::ProfileTooLarge => Self::ProfileTooLarge,
            Refusal::SessionUnknown | Refusal::RefreshReused | Refusal::SessionNeeded | Refusal::NoSuchSession => {
                Self::Token(TokenError::Invalid)
            }
            Refusal::Inactive => Self::Inactive,
            Refusal::PasswordBusy => Self::Busy { retry_after_s: 1 },
            // Finished or tried before this answer; what is left is a fault on the way.
            Refusal::MoveUnfinished(_) => Self::Busy { retry_after_s: SOON_S },
            Refusal::ChosenCodeNeeded
            | Refusal::IdempotencyMismatch
            | Refusal::IdempotencyInFlight { .. }
            | Refusal::NotForSignIn
            | Refusal::ReceiptInvalid
            | Refusal::NotFresh
            | Refusal::NothingToMove => {
                tracing::error!(refusal = ?refused.refusal, "a dialect met a refusal that none of its calls can have");
                Self::Broken
            }
        }
    }
}
