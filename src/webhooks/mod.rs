//! Events to the operator's own back end: signed posts (Standard Webhooks), at least once.
//!
//! ```text
//! phone::actor --change and its events, one write--> store's outbox --in order--> dispatcher --post--> webhooks.url
//! any part --Events::note--> bounded queue --note--------^                            |
//!                                     dead letters <--given up, or too many wait-----'
//! ```
//!
//! Owns: reading the outbox, what a post says, when it is tried again, the dead letters. An event is forgotten only
//! after a 2xx, so a crash anywhere posts it again under the same `webhook-id`: receivers drop what they know by that
//! id. Never decides what happened, never holds up a sign-in, and never loses what was acknowledged: a back end that is
//! down fills the outbox up to `webhooks.outbox_max`, and what comes then goes straight to the dead letters.
//!
//! Events of one number are posted in their order, one after the other, as long as each is taken at first try; one that
//! has to be tried again is overtaken. `timestamp` says when it happened.
//!
//! # A post
//!
//! ```text
//! POST webhooks.url
//! webhook-id: evt_41   webhook-timestamp: 1700000000   webhook-signature: v1,…
//! {"type": "user.created", "timestamp": "2026-01-31T12:00:00.000Z", "data": {"user_id": 7, "phone_number": "+98…"}}
//! ```
//!
//! | Type | Data | When |
//! |---|---|---|
//! | `verification.created` | `verification_id` `phone_number` `purpose` `channel` `dialect`, times | a code was asked for |
//! | `verification.approved` | the same | the right code was given |
//! | `verification.canceled` | and `reason`: `holder`, `superseded`, `displaced` | its code is not good any more |
//! | `verification.failed` | the same as of `created` | its message could certainly not be sent |
//! | `verification.expired` | the same | its time was over; told with the number's next change, if one comes |
//! | `verification.max_attempts_reached` | and `checked_by`: `id`, `number` | the last try was wrong |
//! | `user.created` | `user_id` `phone_number` | the first sign-in made the account |
//! | `user.updated` | the same | the profile changed |
//! | `user.deleted` | the same | the owner erased the account |
//! | `user.phone_changed` | and `previous_phone_number` | the account has come from another number |
//! | `user.deactivated`, `user.activated` | the same as of `created` | an administrator shut it, opened it again |
//! | `session.created` | `sid` `user_id` `phone_number` `dialect` `purpose` `client` `expires_at` | somebody signed in |
//! | `session.ended` | and `reason` (below) | it is over |
//! | `session.reuse_detected` | the same as of `created` | a retired refresh token came back: two parties have it |
//! | `route.opened`, `route.closed` | `gateway` | a gateway is not asked for now; it is asked again |
//! | `budget.threshold`, `budget.exhausted` | `country` `limit_micros` `spent_micros` `percent` | a part of a budget, or all, is spent |
//! | `prefix.closed`, `prefix.reopened` | `prefix` as in `+98912***`, `rule` | a block of numbers is refused; it is sent to again |
//!
//! Times of a verification are `created_at` and `expires_at`; `country` is null for the budget of all together. A session
//! ends because it `signed_out`, `expired` (told with the number's next change), was `displaced` by one too many, by `reuse`
//! of a retired refresh token, as `user_deleted` or as `phone_changed`.
//!
//! | File | Noun |
//! |---|---|
//! | `dispatcher` | the loop: read, post, settle |
//! | `queue` | what the loop has in hand: ready, waiting, under way |
//! | `render` | an event as JSON, with its public ids |
//! | `courier` | one post and what its answer means |
//! | `dead_letters` | what administrators see and do |
//! | `settings` `meters` | limits and keys; metrics |

mod courier;
mod dead_letters;
mod dispatcher;
mod meters;
mod queue;
mod render;
mod settings;

pub use courier::{Courier, HttpCourier, Letter, Posted};
pub use dead_letters::{DeadLetter, DeadLetters, EVENT_ID_PREFIX, event_id, parse_event_id};
pub use dispatcher::{Dispatcher, Webhooks};
pub use settings::{WebhooksSettings, filter};

/// Every type of event there is.
pub fn event_names() -> impl Iterator<Item = &'static str> + Clone {
    crate::record::Event::NAMES.into_iter().chain(crate::events::NodeEvent::NAMES)
}
