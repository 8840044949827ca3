//! Why a use case did not succeed, in words that every API can translate.

use crate::{
    phone::Fault,
    record::{Refusal, SendQuota, UnixMillis},
    sms::SendClass,
    token::TokenError,
};

use super::verification::Verification;

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
    /// As many sends as allowed are under way; nothing was decided.
    SendsOverloaded,
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
