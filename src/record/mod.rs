//! The pure core: what one phone number owns, and the one function that changes it.
//!
//! Start at [`decide()`]. Everything here is data and functions over data: no clock, no randomness, no I/O, no
//! logging, no `async`. Time and random draws are arguments. A business "no" is an [`Outcome`], never an `Err`.
//!
//! | File | Noun |
//! |---|---|
//! | `number` `time` `label` | the words everything is said in |
//! | `policy` | the figures of a door |
//! | `code` `seal` | derived codes, self-routing ids, refresh tokens |
//! | `challenge` `window` `guesses` | a code asked for; the day's sends; the guess budget |
//! | `passwords` `blocks` | passwords being compared; addresses that answered wrongly |
//! | `account` `session` `grant` `idempotency` | what a proved number has |
//! | `command` `outcome` | what can be asked, what it comes to |
//! | `state` `decide/` | the record, and the function |
//! | `event` | what a change has to tell its owner's back end |
//! | `snapshot` | the record's bytes |
//! | `invariants` | what must hold before and after every step |

mod account;
mod blocks;
mod challenge;
mod channel;
mod code;
mod command;
mod decide;
mod event;
mod grant;
mod guesses;
mod idempotency;
pub mod invariants;
mod label;
mod number;
mod outcome;
mod passwords;
mod policy;
mod seal;
mod session;
pub mod snapshot;
mod state;
mod time;
mod window;

pub use account::{Account, PROFILE_BYTES_MAX, PasswordHash, Profile, ProfilePatch};
pub use challenge::{
    Arrival, CHALLENGE_SENDS_MAX, CHALLENGES_MAX, ChallengeView, Delivery, DeliveryState, MessageFacts, Status,
};
pub use channel::Channel;
pub use code::{CODE_DIGITS, Code};
pub use command::{Command, IdempotencyKey, OnMatch, Request, SendResult, Sender, Start, Target};
pub use decide::{Rules, decide};
pub use event::{
    Cancellation, Event, EventFilter, KIND as EVENT_KIND, Occurred, SessionChange, SessionEnd, SessionFacts,
    UserChange, VerificationChange, VerificationFacts, decode_as, encode_as, events,
};
pub use idempotency::ANSWERS_MAX;
pub use label::{LABEL_LEN_MAX, Label, NotALabel};
pub use number::{NotE164, PhoneNumber};
pub use outcome::{Decision, Draft, Export, Move, Outcome, Received, Refusal, SendLimit, Verified};
pub use policy::{AUTO, BlockPolicy, Door, GuessPolicy, LOGIN, PASSWORD, PHONE_CHANGE, Policy, SIGNUP};
pub use seal::{IdKind, KeyId, Keyring, Opened, SealedId};
pub use session::{NO_NEW_USER, SESSIONS_MAX, Session, SessionRef, SignIn, SignedIn};
pub use state::{CLOCK_BEHIND_MAX_MS, Record};
pub use time::{DAY, HOUR, MINUTE, Millis, SECOND, UnixMillis};
pub use window::{SENDS_MAX, SendQuota};
