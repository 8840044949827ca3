//! Events to the operator's back end: posted in order, signed, tried again, given up, put back, at least once.
//!
//! `documented` holds a post of every type to the OpenAPI document; `schedule` runs the dispatcher in paused time against a
//! receiver of its own making; `wire` posts over real sockets to one that checks signatures by the words of the
//! specification.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "webhooks/documented.rs"]
mod documented;
#[path = "support/event_receiver.rs"]
mod event_receiver;
#[path = "webhooks/kit.rs"]
mod kit;
#[path = "webhooks/schedule.rs"]
mod schedule;
#[path = "webhooks/wire.rs"]
mod wire;
