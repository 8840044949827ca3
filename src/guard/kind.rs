//! What kind of line a number is, by its country's numbering plan.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds that numbering plans tell apart. `Unknown`: no plan says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberKind {
    /// A mobile line.
    Mobile,
    /// A landline.
    FixedLine,
    /// The plan does not tell the two apart, as in North America.
    FixedOrMobile,
    /// The called party pays.
    TollFree,
    /// The caller pays extra, and the owner is paid.
    Premium,
    /// Caller and owner share the cost.
    SharedCost,
    /// Telephony over the internet.
    Voip,
    /// One number for a person, forwarded at her cost.
    Personal,
    /// A pager.
    Pager,
    /// One number for a company.
    Uan,
    /// A mailbox.
    Voicemail,
    /// No plan knows the number.
    Unknown,
}

impl NumberKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::Mobile,
        Self::FixedLine,
        Self::FixedOrMobile,
        Self::TollFree,
        Self::Premium,
        Self::SharedCost,
        Self::Voip,
        Self::Personal,
        Self::Pager,
        Self::Uan,
        Self::Voicemail,
        Self::Unknown,
    ];

    /// The kind in configuration and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::FixedLine => "fixed_line",
            Self::FixedOrMobile => "fixed_or_mobile",
            Self::TollFree => "toll_free",
            Self::Premium => "premium",
            Self::SharedCost => "shared_cost",
            Self::Voip => "voip",
            Self::Personal => "personal",
            Self::Pager => "pager",
            Self::Uan => "uan",
            Self::Voicemail => "voicemail",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for NumberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
