//! The pure core: what one phone number owns and the one function that changes it.

mod number;
pub mod snapshot;
mod time;

pub use number::{NotE164, PhoneNumber};
pub use time::{DAY, HOUR, MINUTE, Millis, SECOND, UnixMillis};
