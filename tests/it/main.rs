//! The server over its sockets: one binary, one module per subject.
//!
//! * `harness` — a server of one's own, and verbs; `answer_rules` — what holds for every answer; `audit_log` — what
//!   operators are told; `counting` — a store that tells whether an actor was started
//! * `wire_verifications`, `wire_start`, `wire_sends`, `wire_check`, `wire_guesses` — `/v1/verifications…` and
//!   `/v1/sessions`, as `contracts/v1.md` has them
//! * `wire_idempotency` — retries with the same key
//! * `wire_input`, `wire_numbers` — what a body, a code and a number may look like
//! * `wire_dev` — codes in answers, for development alone
//! * `concurrency` — many at once on one number
//! * `ip_limits` — the first and cheapest limit
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod answer_rules;
mod audit_log;
mod concurrency;
mod counting;
mod harness;
mod ip_limits;
mod wire_check;
mod wire_dev;
mod wire_guesses;
mod wire_idempotency;
mod wire_input;
mod wire_numbers;
mod wire_sends;
mod wire_start;
mod wire_verifications;
