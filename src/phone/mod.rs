//! One actor per number in use: found, started, asked, and let go when idle.
//!
//! ```text
//! service --ask/tell--> directory --one message--> actor: load, decide, commit, reply
//!                          |  collector lets idle ones go     |  supervisors count starts, ends, failures
//!                          '- sweep deletes forgotten records '- store::committer has the last word
//! ```
//!
//! A request that only reads goes to no actor while nothing else is under way for its number: it is judged in passing
//! by the record that the actor has in hand, as the actor would.
//!
//! Owns: which numbers are live, how many may be, how much may wait for each, and every use of ractor. Never
//! decides anything about a record ([`crate::record::decide`] does), never waits for anything but the store, and
//! holds nothing that was acknowledged but not saved, so letting an actor go is forgetting and losing one loses nothing.
//!
//! | File | Noun |
//! |---|---|
//! | `directory` | the handle everyone has: ask, tell, drain; reads in passing |
//! | `registry` | number → live activation: start, find, remove |
//! | `activation` | one life of an actor as the others see it: record in hand, in-flight count, last use, guard |
//! | `actor` | the body: decide, commit, reply |
//! | `supervisor` | shards that count lives and never die of a child |
//! | `quarantine` | numbers whose activations keep failing |
//! | `collector` | passivation of idle actors, shedding above the limit |
//! | `sweep` | incremental deletion of records with nothing left to remember |
//! | `settings` `meters` | limits; metrics with cached handles |

mod activation;
mod actor;
mod collector;
mod directory;
mod meters;
mod quarantine;
mod registry;
mod settings;
mod supervisor;
mod sweep;

use std::time::Duration;

use crate::record::{Account, Draft, Outcome, SendQuota, UnixMillis, Verified};

pub use directory::{Directory, Parts};
pub use meters::Census;
pub use settings::{DirectorySettings, SweepSettings};
pub use sweep::{Sweeper, Swept};

/// What a request came to, once it is durable.
#[derive(Debug)]
pub struct Reply {
    /// The business answer, refusals included.
    pub outcome: Outcome,
    /// The message to send now.
    pub draft: Option<Draft>,
    /// True if the outcome is the kept one of an earlier request with the same key.
    pub replayed: bool,
    /// What is left of the door's send window.
    pub quota: SendQuota,
    /// Whose session was opened, as it stands after that; of no other outcome.
    pub account: Option<Box<Account>>,
    /// The challenge whose code was given with this request.
    pub verified: Option<Verified>,
    /// The time it was decided at; what waits in the outcome are counted from.
    pub now: UnixMillis,
}

/// Why there is no business answer. All but [`Fault::Unknown`] mean that certainly nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too many live numbers, or this one could not be reached within the allowed forwards.
    #[error("overloaded")]
    Overloaded {
        /// When a further try makes sense.
        retry_after: Duration,
    },
    /// As many requests as may be are already under way for this number.
    #[error("too many requests in flight for the number")]
    Busy,
    /// The process is stopping.
    #[error("draining")]
    Draining,
    /// The store did not take it: certainly not done.
    #[error("storage refused")]
    StorageRefused,
    /// It may have been done or not: time-out, actor gone, store unsure. Never repeated from here.
    #[error("outcome unknown")]
    Unknown,
    /// The number's snapshot is damaged or of a newer schema; it is left as it is.
    #[error("record unreadable")]
    Unreadable,
    /// The number's activations failed several times in a row.
    #[error("number quarantined")]
    Quarantined {
        /// When the next activation is tried.
        until: UnixMillis,
    },
}
