//! The server over its sockets: one binary, one module per subject.
//!
//! * `harness` — a server of one's own, and verbs; `harness_gateway` — who sends there; `answer_rules` — what holds for
//!   every answer; `audit_log` — what operators are told; `counting` — a store that tells whether an actor was started
//! * `wire_verifications`, `wire_start`, `wire_sends`, `wire_check`, `wire_guesses` — `/v1/verifications…` and
//!   `/v1/sessions`, as `contracts/v1.md` has them
//! * `wire_idempotency` — retries with the same key
//! * `wire_input`, `wire_numbers` — what a body, a code and a number may look like
//! * `wire_dev` — codes in answers, for development alone; `wire_test_numbers` — fixed ones, for testers
//! * `dialect_table` — rows of a contract: a call and its exact answer; `dialect_*` — the tables, one file per dialect
//! * `wire_receipts` — what providers post about messages
//! * `concurrency` — many at once on one number
//! * `ip_limits` — the first and cheapest limit
//! * `harness_tokens`, `spawned` — verbs of people with tokens; the binary as a process of its own
//! * `wire_oauth`, `wire_oauth_errors`, `wire_keyset` — `/oauth/…` and `/.well-known/…`
//! * `wire_me`, `wire_sessions`, `wire_phone_change` — `/v1/me…`
//! * `wire_proof_of_work` — work that is asked for before a send
//! * `wire_keys` — back ends with API keys
//! * `ops`, `metrics` — the operators' listener, stopping, a store that refuses
//! * `logs` — what is told of a request, and what never
//! * `webhooks` — events to the operator's back end, and the dead letters
//! * `pumping` — an attack for the sake of the bill
//! * `hang_up` — clients that do not wait for their answer
//! * `documented` — every answer that `harness` reads, held to the OpenAPI document; `openapi`, `openapi_examples`,
//!   `openapi_page` — the document itself, its examples sent, the page that shows it
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod answer_rules;
mod audit_log;
#[path = "../support/captured_log.rs"]
mod captured_log;
mod concurrency;
mod counting;
mod dialect_auth_otp;
mod dialect_phone_password;
mod dialect_phone_password_blocks;
mod dialect_phone_password_tokens;
mod dialect_signup_login;
mod dialect_signup_login_input;
mod dialect_table;
mod dialect_typed_verification;
mod dialect_usr_otp;
mod dialect_usr_otp_tokens;
mod dialects_together;
mod documented;
#[path = "../support/event_receiver.rs"]
mod event_receiver;
mod hang_up;
mod harness;
mod harness_gateway;
mod harness_tokens;
mod ip_limits;
mod logs;
mod metrics;
mod openapi;
mod openapi_examples;
mod openapi_page;
mod ops;
mod pumping;
mod spawned;
mod webhooks;
mod wire_check;
mod wire_dev;
mod wire_guesses;
mod wire_idempotency;
mod wire_input;
mod wire_keys;
mod wire_keyset;
mod wire_me;
mod wire_numbers;
mod wire_oauth;
mod wire_oauth_errors;
mod wire_phone_change;
mod wire_proof_of_work;
mod wire_receipts;
mod wire_sends;
mod wire_sessions;
mod wire_spending;
mod wire_start;
mod wire_test_numbers;
mod wire_verifications;
