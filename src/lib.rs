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
//! phone::directory    number -> live activation, or starts one               (ractor)
//! phone::actor        decide, commit, reply
//! record::decide      what happens                                           (pure)
//! store::committer    many numbers, one flush
//! store::sled_store   bytes on disk
//!   and back: after the commit the service hands the draft to sms::sender, and tells the actor what came of it
//! ```
//!
//! # Modules, lower layers first; imports go down only (`tests/tidy.rs` holds it)
//!
//! | Module | Knows | Never |
//! |---|---|---|
//! | [`record`] | the rules: codes, ids, tries, windows, sessions, moves between numbers | a clock, randomness, I/O, logging, `async` |
//! | [`guard`] | what may be sent and what it may cost: budgets, pumping attacks | likewise |
//! | [`clock`], [`entropy`] | the wall clock; random bytes | anything else |
//! | [`events`], [`standard_webhooks`] | what happens to the node, told by any part; signatures of requests | who listens |
//! | [`settings`] | names, ranges, defaults (`config.toml` is compiled in); the environment | travels inward |
//! | [`metrics`], [`telemetry`], [`shutdown`] | names and texts of metrics; log lines; when to stop | a number, a code |
//! | [`store`] | snapshots with compare-and-set, group commit | what is inside a snapshot |
//! | [`sms`] | gateways (Twilio, Kavenegar, mShastra, Vonage, SNS, Telegram, webhook, console, simulated), retries, texts | a record |
//! | [`journal`] | every answer of the guard on disk, and its replay | a number in clear |
//! | [`spending`] | the guard's lock, its ledger, its metrics | rules |
//! | [`password`] | argon2id on a bounded pool | who has a password |
//! | [`webhooks`] | events from the store's outbox to the operator's back end | who caused them |
//! | [`token`] | signing, sealing and API keys, claims | whether a session is alive |
//! | [`phone`] | actors: find or start, one at a time, let go when idle | the SMS network |
//! | [`service`] | the use cases | HTTP, JSON, status codes |
//! | [`http`] | sockets, JSON, problems, the canonical API and the dialects | limits of a number, codes |
//! | [`app`], [`cli`] | how it all fits together; the command line | rules |
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
//! A rule about codes or limits: `record/decide/`, with a line in `tests/core/`. A new gateway: one file in `sms/`,
//! one line in `app/parts.rs`, one entry in `tests/sms_gateways/subject.rs`, which runs the contract over it. A new
//! store: `store/`, and it must pass `tests/store_contract.rs`. A new call: the use case in `service/`, the translation
//! in `http/v1/`. Another back end's API: one file in `http/dialect/`, one line in its registry. A new setting:
//! `config.toml` and its reader in `settings/`.

pub mod app;
pub mod cli;
pub mod clock;
pub mod entropy;
pub mod events;
pub mod guard;
pub mod http;
pub mod journal;
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
