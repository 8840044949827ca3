//! Sending: the gateway port, its error classes, and the adapters behind it.
//!
//! Owns: everything a provider's wire knows. Never touches a record: what a send came to is told to the
//! number's actor as a command by `service`.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::record::PhoneNumber;

/// One message, ready to go out. `Debug` hides number and text.
pub struct Sms {
    /// Where to.
    pub to: PhoneNumber,
    /// The whole text, code included.
    pub text: String,
    /// How long the message is of use, in seconds: the provider may drop it later.
    pub valid_s: u32,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sms(to {}, ***)", self.to)
    }
}

/// The provider took the message. Not a proof of delivery.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// The provider's own id of the message, if it gave one.
    pub provider_id: Option<String>,
}

/// Why a send did not succeed: the classes of `providers.md` section 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendClass {
    /// Not a real number, or no route has its prefix.
    InvalidNumber,
    /// The number cannot take SMS.
    Landline,
    /// No route from here to the number.
    Unroutable,
    /// The recipient or an operator asked not to be sent to.
    OptedOut,
    /// A trial or sandbox account that may send to verified numbers only.
    UnverifiedRecipient,
    /// The country is not enabled at the provider.
    RegionDenied,
    /// The provider's fraud or spam protection stopped it.
    FraudBlocked,
    /// Too fast; certainly not sent.
    Throttled,
    /// Credentials or account refused.
    AuthFailed,
    /// No credit left.
    InsufficientCredit,
    /// Sender, template or parameter wrong.
    BadConfig,
    /// Certainly not sent: 5xx answer, connection refused, DNS, TLS.
    ProviderDown,
    /// The request may have been acted on: time-out after it was written, an unreadable success.
    UnknownOutcome,
}

/// A send that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{class:?}: {detail}")]
pub struct SendError {
    /// What to do about it.
    pub class: SendClass,
    /// The provider's own code or our reason; never a body, a number, a code or a credential.
    pub detail: String,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
}

/// A way to send SMS.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// The name in configuration, metrics and answers: `console`, `simulated`, `twilio`.
    fn name(&self) -> &'static str;

    /// True if messages leave this machine: start-up refuses development switches beside such a gateway.
    fn is_real(&self) -> bool;

    /// One try. Time limits per try are the adapter's own; retries are not.
    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError>;
}
