//! Delivery receipts: what a provider says later about a message it took.
//!
//! Owns the port's types. How a provider signs and words its receipts is its gateway's; what a receipt may change is
//! the record's (a known message moves forward, nothing else; security 113 to 116).
//!
//! `params` reads forms, queries and flat JSON; `signed` has the MACs and the window of time; `secret_path` is for
//! providers that sign nothing; `bearer_jwt` for those that sign by a token.

pub(super) mod bearer_jwt;
pub(super) mod params;
pub mod secret_path;
pub(super) mod signed;

use std::net::IpAddr;

use reqwest::header::HeaderMap;

use crate::record::Arrival;

/// A receipt as it came over HTTP. `Debug` shows nothing: it can hold a number.
pub struct ReceiptRequest<'a> {
    /// The URL as the provider was given it: the configured public URL, path and query. Never made from `Host`.
    pub url: &'a str,
    /// The query alone, without the question mark; empty if there is none.
    pub query: &'a str,
    /// What the path has behind the gateway's name, if anything.
    pub secret: Option<&'a str>,
    /// Who posted it.
    pub from: IpAddr,
    /// Header lines.
    pub headers: &'a HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
    /// The time, in seconds since 1970, for schemes that sign one.
    pub now_s: u64,
}

impl std::fmt::Debug for ReceiptRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptRequest(***)")
    }
}

/// Which message a receipt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptOf {
    /// Our own reference, as [`Sms::reference`](super::Sms::reference) was.
    Reference(String),
    /// The provider's id of the message, as [`Accepted::provider_id`](super::Accepted::provider_id) was: for providers
    /// that give no reference back.
    ProviderId(String),
}

/// How far a message has come, as its provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    /// On its way: handed to a carrier, or the phone rings.
    Sent,
    /// On the phone.
    Delivered,
    /// It will not arrive.
    Undelivered,
}

impl From<ReceiptState> for Arrival {
    fn from(state: ReceiptState) -> Self {
        match state {
            ReceiptState::Sent => Self::Sent,
            ReceiptState::Delivered => Self::Delivered,
            ReceiptState::Undelivered => Self::Undelivered,
        }
    }
}

impl Receipt {
    /// A receipt that names our reference and no price.
    pub fn of_reference(reference: impl Into<String>, state: ReceiptState) -> Self {
        Self { of: ReceiptOf::Reference(reference.into()), state, price_micros: None }
    }
}

/// One receipt, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which message.
    pub of: ReceiptOf,
    /// How far it has come.
    pub state: ReceiptState,
    /// The provider's price of it in millionths of the account's currency, if it names one.
    pub price_micros: Option<u64>,
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptRefused {
    /// The gateway has no receipts, or is not set up for them.
    #[error("no receipts are taken for this gateway")]
    NotTaken,
    /// No signature or secret, or one that is not good, or a time outside the window.
    #[error("the receipt is not signed by the provider")]
    Unsigned,
    /// Signed, but nothing that a receipt must have.
    #[error("the receipt cannot be read")]
    Unreadable,
    /// The provider has to be asked whether it is true, and gave no answer; it may be posted again.
    #[error("the provider could not be asked about the receipt")]
    Unconfirmed,
}

/// How a verification ended, for providers that want to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The right code was given.
    Approved,
    /// It was ended before.
    Canceled,
}
