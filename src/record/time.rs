//! Points in time and lengths of the core. Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC. Wall time, because it must survive restarts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// A length of time in milliseconds.
pub type Millis = u64;

/// Milliseconds in a second, a minute, an hour and a day.
pub const SECOND: Millis = 1_000;
/// Milliseconds in a minute.
pub const MINUTE: Millis = 60 * SECOND;
/// Milliseconds in an hour.
pub const HOUR: Millis = 60 * MINUTE;
/// Milliseconds in a day.
pub const DAY: Millis = 24 * HOUR;

impl UnixMillis {
    /// The point `length` later; saturates.
    pub fn plus(self, length: Millis) -> Self {
        Self(self.0.saturating_add(length))
    }

    /// The point `length` earlier; saturates at zero.
    pub fn minus(self, length: Millis) -> Self {
        Self(self.0.saturating_sub(length))
    }

    /// Milliseconds from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds from `now` until `self`, rounded up, at least 1: the value of `Retry-After`.
    pub fn seconds_from(self, now: Self) -> u64 {
        self.since(now).div_ceil(SECOND).max(1)
    }
}

impl fmt::Debug for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}
