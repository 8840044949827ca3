//! Why a use case did not succeed, in words that every API can translate.

use std::time::Duration;

use crate::{
    phone::Fault,
    record::{Refusal, SendQuota, UnixMillis},
    sms::SendClass,
    token::TokenError,
};

use super::{proof_of_work::Challenge, verification::Verification};

/// Everything that is not a success. Holds no code, no token and no full number.
#[derive(Debug)]
pub enum Failure {
    /// The number's record says no.
    Refused(Refused),
    /// The message was certainly not sent.
    NotDelivered {
        /// The verification it was for.
        verification: Box<Verification>,
        /// Why.
        class: SendClass,
    },
    /// The provider did not answer; the code may arrive and stays checkable.
    DeliveryUnknown {
        /// The verification it was for.
        verification: Box<Verification>,
    },
    /// A message is sent only to who has done this work; nothing was decided.
    ProofOfWorkRequired(Challenge),
    /// As many sends as allowed are under way; nothing was decided.
    SendsOverloaded,
    /// The day's budget for messages is spent. Nothing was decided.
    BudgetSpent {
        /// When the next day begins.
        retry_after: Duration,
    },
    /// No gateway can take it now: all that could are failing. Nothing was decided.
    NoRoute {
        /// When a further try makes sense.
        retry_after: Duration,
    },
    /// No gateway is configured for this channel. Nothing was decided.
    ChannelUnsupported,
    /// Messages are not sent to this country or kind of number. Nothing was decided.
    DestinationNotPermitted {
        /// By which rule of the guard.
        rule: &'static str,
    },
    /// Too many messages to numbers like this one were asked for and not used. Nothing was decided.
    DestinationClosed {
        /// By which rule of the guard.
        rule: &'static str,
        /// When it may open again.
        retry_after: Duration,
    },
    /// As many passwords as allowed are being compared; nothing was decided.
    PasswordsOverloaded,
    /// No access token, or one that is not good.
    Token(TokenError),
    /// An id that we did not make.
    UnknownId,
    /// Actor or store could not answer.
    Fault(Fault),
    /// A bug or a broken key; the text is for the log.
    Internal(&'static str),
}

/// A refusal with what its headers need.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The time it was decided at; waits are counted from here.
    pub now: UnixMillis,
    /// The send window as it stands.
    pub quota: SendQuota,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

/// A wait as `Retry-After` says it: rounded up, and never "at once".
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}
