//! What people do.

use super::{Codes, LoadError, speech::Speaks};

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Ask for a code, a new number each time.
    Send,
    /// Sign in from nothing: ask, check, tokens, profile.
    Login,
    /// Read the profile with tokens that were made before.
    Profile,
    /// Rotate refresh tokens that were made before.
    Refresh,
    /// Guess wrong codes, by id and by number.
    Wrong,
    /// All on a handful of numbers at once: starts, checks, resends.
    SameNumber,
    /// Some of each: 60 % sign-ins, 20 % profile, 10 % refresh, 5 % wrong codes, 5 % on the same numbers.
    Mixed,
}

impl Scenario {
    /// All, in the order of the help.
    pub const ALL: [Self; 7] =
        [Self::Send, Self::Login, Self::Profile, Self::Refresh, Self::Wrong, Self::SameNumber, Self::Mixed];

    /// As it is spelled on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Login => "login",
            Self::Profile => "profile",
            Self::Refresh => "refresh",
            Self::Wrong => "wrong",
            Self::SameNumber => "same-number",
            Self::Mixed => "mixed",
        }
    }

    /// True if people must be signed in before it begins.
    pub(super) fn needs_sessions(self) -> bool {
        matches!(self, Self::Profile | Self::Refresh | Self::Mixed)
    }

    /// Whether it can be run there.
    pub(super) fn check(self, speaks: Speaks, codes: &Codes) -> Result<(), LoadError> {
        match speaks {
            Speaks::V1 if self != Self::Send && matches!(codes, Codes::None) => {
                Err(LoadError::new(format!("{}: needs codes, and there is nowhere to read them", self.name())))
            }
            Speaks::Limit if !matches!(self, Self::Send | Self::Login | Self::Profile) => {
                Err(LoadError::new(format!("{}: the bare server has nothing like it", self.name())))
            }
            Speaks::V1 | Speaks::Limit => Ok(()),
        }
    }
}
