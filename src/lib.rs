//! otpd: the phone sign-in server that people run themselves. This page is the map.
//!
//! **One phone number, one actor, one record, one function.** Everything a number owns (open challenges, guess
//! budget, send window, account, sessions, kept answers) is one [`record::Record`]. One pure function decides every
//! change to it, [`record::decide()`]. A supervised actor owns the record while the number is in use; its whole body is
//! decide, commit, reply. Nothing is acknowledged before it is durable, so a crash loses nothing that was promised,
//! passivation is forgetting, and a restart is simply the next message.
//!
//! # A request, from socket to disk
//!
//! ```text
//! http::listener      accepts, bounds, times out connections
//! http::middleware    request id, client address, security headers, panics, metrics
//! http::v1, ::dialect read the call: key or token, limits, strict JSON       (JSON names, texts, status codes)
//! service             the use case, in the core's words                      (no HTTP)
//! phone::directory    number -> live activation, or starts one               (ractor; what only reads stops here)
//! phone::actor        decide, commit, reply
//! record::decide      what happens                                           (pure)
//! store::committer    many numbers, one sync
//! store::sled_store   bytes on disk, events of the change among them: first in its log, folded into sorted runs in sled later
//!   and back: after the commit the service hands the draft to sms::sender, and tells the actor what came of it
//! ```
//!
//! Before a send is decided, `sms::sender` keeps a place for it and `spending` sets its money aside; both are given back
//! if nothing was sent. What a provider posts later about the message comes in at `http::v1::receipts`, is checked by its
//! gateway, and moves the delivery in the number's record. Events leave by `webhooks`, after the commit that they tell of.
//!
//! # Modules, lower layers first; imports go down only (`tests/tidy.rs` holds it)
//!
//! | Module | Knows | Never |
//! |---|---|---|
//! | [`record`] | the rules: codes, ids, tries, windows, sessions, moves between numbers | a clock, randomness, I/O, logging, `async` |
//! | [`guard`] | what may be sent and what it may cost: budgets, pumping attacks | likewise |
//! | [`clock`], [`entropy`] | the wall clock; random bytes | anything else |
//! | [`events`] | what happens to the node (routes, budgets, prefixes), told by any part | who listens |
//! | [`standard_webhooks`] | signatures of requests, made and checked | what is signed |
//! | [`settings`] | names, ranges, defaults (`config.toml` is compiled in); the environment | travels inward |
//! | [`metrics`], [`telemetry`], [`shutdown`] | names and texts of metrics; log lines; when to stop | a number, a code |
//! | [`store`] | snapshots with compare-and-set, group commit, the outbox of events | what is inside a snapshot or an event |
//! | [`sms`] | gateways, their receipts, who sends to whom, failover, breakers, texts | a record |
//! | [`journal`] | every answer of the guard on disk, and its replay | a number in clear |
//! | [`spending`] | the guard's lock, its durable ledger, its metrics; what it remembers over a restart | rules |
//! | [`password`] | argon2id on a bounded pool | who has a password |
//! | [`webhooks`] | events from the store's outbox to the operator's back end | who caused them |
//! | [`token`] | signing, sealing and API keys, claims | whether a session is alive |
//! | [`phone`] | actors: find or start, one at a time, let go when idle | the SMS network |
//! | [`service`] | the use cases | HTTP, JSON, status codes |
//! | [`http`] | sockets, JSON, problems, the canonical API and the dialects | limits of a number, codes |
//! | [`app`] | how it all fits together | rules |
//! | [`load`] | people who sign in, many at once, and what must hold meanwhile | the server's inside |
//! | [`cli`] | the command line | rules |
//!
//! # What is deliberately absent
//!
//! No code is stored: codes are derived from a sealed key, so neither snapshot nor backup nor page can show one.
//! No index of ids: an id names its number to whoever has the key. No timer per number, no queue without a limit
//! (each has its key in `config.toml`, a defined answer and a metric). No lock of the directory across an await.
//! Actors save nothing when they stop, because nothing unsaved was ever acknowledged.
//!
//! # Where a change goes
//!
//! A rule about codes or limits: `record/decide/`, with a line in `tests/core/`. A new gateway: one file in `sms/` (with
//! how it signs receipts, if it does), its table in `settings/gateways.rs`, its name in `settings/sms.rs` and
//! `metrics.rs`, one function in `app/gateways.rs`, one entry in `tests/sms_gateways/subject.rs`, which runs the contract
//! over it. A rule about who gets no message: `guard/`, with an attack in `guard/tests/attacks.rs`; journals then replay by
//! it. What a refusal of a provider means: its `verdict`; whom to ask next: `sms/sender.rs`. An event: `record/event.rs`
//! or `events.rs`, its data in `webhooks/render.rs`, its words in `http/docs/events.rs`; the tests miss whichever is
//! forgotten. A new store: `store/`, and it must pass `tests/store_contract.rs`. A new call: the use case in `service/`, the translation
//! in `http/v1/`. Another back end's API: one file in `http/dialect/`, one line in its registry. A new setting:
//! `config.toml` and its reader in `settings/`. A scenario of the load generator: `load/flows.rs`; what must hold under it:
//! `load/invariant.rs`, and a lie in `tests/load/` that breaks it.

pub mod app;
pub mod cli;
pub mod clock;
pub mod entropy;
pub mod events;
pub mod guard;
pub mod http;
pub mod journal;
pub mod load;
pub mod metrics;
pub mod password;
pub mod phone;
pub mod record;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod sms;
pub mod spending;
pub mod standard_webhooks;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod webhooks;
