//! The one place that reads the wall clock.

use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::record::UnixMillis;

/// Tells the time; passed as an argument from the edge inward.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall time now. May jump; the core copes.
    fn now(&self) -> UnixMillis;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> UnixMillis {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}
