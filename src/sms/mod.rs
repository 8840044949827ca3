//! Sending: the gateway port, its error classes, and the adapters behind it.
//!
//! Owns: everything a provider's wire knows. Never touches a record: what a send came to is told to the
//! number's actor as a command by `service`.
//!
//! | File | Noun |
//! |---|---|
//! | `sender` | the policy: how many at once, who is asked next, when to stop |
//! | `routes` `channel` | `[[sms.routes]]`: who may send to whom, and by what |
//! | `line` `breaker` `statistics` | one gateway in use: whether it may be asked, and how it fares |
//! | `text` `segments` | what people read; what it is billed as |
//! | `outbound` | one HTTP call with limits; forms of URLs |
//! | `receipt` | what providers post later: types, signatures, secret paths |
//! | `twilio` `twilio_voice` `twilio_verify` `vonage` `vonage_messages` | gateways |
//! | `kavenegar` `mshastra` `sns` `telegram` `webhook` | likewise: `settings`, `verdict` (what an answer means), `receipt` |
//! | `console` `simulated` | gateways that send nothing |

pub mod breaker;
pub mod console;
pub mod kavenegar;
mod line;
pub mod mshastra;
pub mod outbound;
pub mod receipt;
pub mod routes;
pub mod segments;
pub mod sender;
pub mod simulated;
pub mod sns;
pub mod statistics;
pub mod telegram;
pub mod text;
pub mod twilio;
pub mod twilio_verify;
pub mod twilio_voice;
pub mod vonage;
pub mod vonage_messages;
pub mod webhook;

use std::{fmt, time::Duration};

use async_trait::async_trait;

use self::receipt::{Receipt, ReceiptRefused, ReceiptRequest, Verdict};
pub use crate::record::Channel;
use crate::record::{Code, PhoneNumber};

/// One message, ready to go out. `Debug` hides number and text.
pub struct Sms {
    /// Ours, made of keyed digests: the same in every try of one message, so that a receiver who looks at it takes it once.
    pub id: u128,
    /// What a receipt may name it by: 32 hexadecimal digits, a hyphen and a digit, as `service` made them; empty for a
    /// notice. At most 40 characters, what the narrowest provider takes. Not secret, not readable, not forgeable.
    pub reference: String,
    /// By what it goes; one of the gateway's [`channels`](Gateway::channels).
    pub channel: Channel,
    /// Where to.
    pub to: PhoneNumber,
    /// The language (BCP 47, lower case) that `text` is in; a call says the code in it.
    pub locale: String,
    /// The whole text, code included.
    pub text: String,
    /// The code alone, for providers that write the text themselves from a template of theirs; a notice has none.
    pub code: Option<Code>,
    /// How long the message is of use, in seconds: the provider may drop it later.
    pub valid_s: u32,
}

impl Sms {
    /// A text message without a code, in English, good for an hour.
    pub fn notice(id: u128, to: PhoneNumber, text: &str) -> Self {
        Self {
            id,
            reference: String::new(),
            channel: Channel::Sms,
            to,
            locale: "en".to_owned(),
            text: text.to_owned(),
            code: None,
            valid_s: NOTICE_VALID_S,
        }
    }
}

/// How long a notice is of use, in seconds.
const NOTICE_VALID_S: u32 = 3_600;

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

impl SendClass {
    /// Every class, in the order of declaration.
    pub const ALL: [Self; 13] = [
        Self::InvalidNumber,
        Self::Landline,
        Self::Unroutable,
        Self::OptedOut,
        Self::UnverifiedRecipient,
        Self::RegionDenied,
        Self::FraudBlocked,
        Self::Throttled,
        Self::AuthFailed,
        Self::InsufficientCredit,
        Self::BadConfig,
        Self::ProviderDown,
        Self::UnknownOutcome,
    ];

    /// The class in metrics, audit events and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::InvalidNumber => "invalid_number",
            Self::Landline => "landline",
            Self::Unroutable => "unroutable",
            Self::OptedOut => "opted_out",
            Self::UnverifiedRecipient => "unverified_recipient",
            Self::RegionDenied => "region_denied",
            Self::FraudBlocked => "fraud_blocked",
            Self::Throttled => "throttled",
            Self::AuthFailed => "auth_failed",
            Self::InsufficientCredit => "insufficient_credit",
            Self::BadConfig => "bad_config",
            Self::ProviderDown => "provider_down",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }

    /// True if the same provider may be asked once more: it certainly sent nothing and the cause may
    /// pass. Never for an unknown outcome: without a dedupe key a second try can be a second SMS.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Throttled | Self::ProviderDown)
    }

    /// True if the fault is the number's own: the send stays spent, or a dead number would be free to
    /// hammer with.
    pub const fn number_at_fault(self) -> bool {
        matches!(self, Self::InvalidNumber | Self::Landline | Self::Unroutable | Self::OptedOut)
    }

    /// True if another provider may be able to send what this one certainly did not.
    pub const fn others_may(self) -> bool {
        !matches!(self, Self::InvalidNumber | Self::Landline | Self::OptedOut | Self::FraudBlocked)
    }

    /// True if certainly nothing was sent.
    pub const fn certain(self) -> bool {
        !matches!(self, Self::UnknownOutcome)
    }
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

impl SendError {
    /// An error without a wait asked for.
    pub fn new(class: SendClass, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into(), retry_after: None }
    }
}

/// A setting of this layer that cannot be used; start-up stops with it. Names the setting and what is
/// asked of it, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sms setting {setting}: {reason}")]
pub struct SettingError {
    /// The setting, as in `twilio.from` or `text.templates.fa`.
    pub setting: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl SettingError {
    fn new(setting: impl Into<String>, reason: &'static str) -> Self {
        Self { setting: setting.into(), reason }
    }
}

/// A way to send SMS. `Debug` shows nothing secret.
#[async_trait]
pub trait Gateway: fmt::Debug + Send + Sync + 'static {
    /// The name in configuration, metrics and answers, one of `metrics::SMS_ROUTES`.
    fn name(&self) -> &'static str;

    /// By what it can send.
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    /// True if messages leave this machine: start-up refuses development switches beside such a gateway.
    fn is_real(&self) -> bool;

    /// One try. Time limits per try are the adapter's own; retries are not.
    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError>;

    /// True if [`conclude`](Self::conclude) does anything.
    fn wants_verdicts(&self) -> bool {
        false
    }

    /// Tells the provider how the verification ended whose message had this reference, if it wants to know. Best
    /// effort: a fault is logged and nothing hangs on it.
    async fn conclude(&self, _reference: &str, _verdict: Verdict) {}

    /// True if its receipts name the provider's own id of a message and not our reference.
    fn receipts_by_provider_id(&self) -> bool {
        false
    }

    /// Checks the signature of a receipt and reads it.
    ///
    /// # Errors
    /// Nothing of a refused receipt is believed.
    async fn read_receipts(&self, _request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        Err(ReceiptRefused::NotTaken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// security 44 and `providers.md` section 0: the whole table of what a class allows.
    #[test]
    fn classes_and_what_they_allow() {
        use SendClass as C;
        // (class, may be tried again, the number's fault, certainly not sent)
        let table = [
            (C::InvalidNumber, false, true, true),
            (C::Landline, false, true, true),
            (C::Unroutable, false, true, true),
            (C::OptedOut, false, true, true),
            (C::UnverifiedRecipient, false, false, true),
            (C::RegionDenied, false, false, true),
            (C::FraudBlocked, false, false, true),
            (C::Throttled, true, false, true),
            (C::AuthFailed, false, false, true),
            (C::InsufficientCredit, false, false, true),
            (C::BadConfig, false, false, true),
            (C::ProviderDown, true, false, true),
            (C::UnknownOutcome, false, false, false),
        ];
        assert_eq!(table.map(|row| row.0), C::ALL);
        for (class, retryable, at_fault, certain) in table {
            assert_eq!(
                (class.retryable(), class.number_at_fault(), class.certain()),
                (retryable, at_fault, certain),
                "{class:?}"
            );
        }
    }

    #[test]
    fn labels_are_the_class_names_in_snake_case() {
        for class in SendClass::ALL {
            let mut snake = String::new();
            for letter in format!("{class:?}").chars() {
                if letter.is_ascii_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            assert_eq!(class.label(), snake);
        }
    }

    /// security 118: a message never shows its number, text or code.
    #[test]
    fn debug_of_a_message_hides_number_and_text() {
        let to = PhoneNumber::from_e164("+989123456789").unwrap();
        let code = Code::from_digits("123456");
        let sms = Sms { text: "123456 is your code".to_owned(), code, ..Sms::notice(1, to, "") };
        let shown = format!("{sms:?}");
        assert!(!shown.contains("123456") && !shown.contains("9123456789"), "{shown}");
    }
}
