//! What operators are told when it happens.

use super::{country::Country, money::Micros};
use crate::record::UnixMillis;

/// Something that changed and that somebody may want to act on. Names no number: a prefix stands for a thousand or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardEvent {
    /// A share of a day's budget is spent. Once per day and budget.
    BudgetThreshold {
        /// The budget's country; `None`: that of all.
        country: Option<Country>,
        /// Which share.
        percent: u8,
        /// What is spent.
        spent: Micros,
        /// The whole.
        budget: Micros,
    },
    /// A day's budget is used up, or does not reach for what was asked. Once per day and budget.
    BudgetExhausted {
        /// The budget's country; `None`: that of all.
        country: Option<Country>,
        /// What is spent, sends under way included.
        spent: Micros,
        /// The whole.
        budget: Micros,
        /// When the next day begins.
        until: UnixMillis,
    },
    /// A prefix was closed because its codes are not used.
    PrefixClosed {
        /// The digits that its numbers begin with, as in `98912345`.
        prefix: u64,
        /// How many more digits they have.
        hidden_digits: u8,
        /// Until when; then a trial begins.
        until: UnixMillis,
        /// Sends looked at.
        sample: u32,
        /// How many of them were not verified.
        unverified: u32,
    },
    /// A trial went well, and the prefix is open.
    PrefixReopened {
        /// The digits that its numbers begin with.
        prefix: u64,
        /// How many more digits they have.
        hidden_digits: u8,
    },
}

impl GuardEvent {
    /// The event's type, as outgoing webhooks name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BudgetThreshold { .. } => "budget.threshold",
            Self::BudgetExhausted { .. } => "budget.exhausted",
            Self::PrefixClosed { .. } => "prefix.closed",
            Self::PrefixReopened { .. } => "prefix.reopened",
        }
    }
}
