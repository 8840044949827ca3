//! The server over its sockets: one binary, one module per subject.
//!
//! * `harness` — a server of one's own, and verbs
//! * `harness_tokens`, `spawned` — verbs of people with tokens; the binary as a process of its own
//! * `wire_oauth`, `wire_oauth_errors`, `wire_keyset` — `/oauth/…` and `/.well-known/…`
//! * `wire_me`, `wire_sessions`, `wire_phone_change` — `/v1/me…`
//! * `wire_keys` — back ends with API keys
//! * `ops`, `metrics` — the operators' listener, stopping, a store that refuses
//! * `logs` — what is told of a request, and what never
//! * `wire_verifications` — `/v1/verifications…` and `/v1/sessions`, as `contracts/v1.md` has them
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod harness;
mod harness_tokens;
mod logs;
mod metrics;
mod ops;
mod spawned;
mod wire_keys;
mod wire_keyset;
mod wire_me;
mod wire_oauth;
mod wire_oauth_errors;
mod wire_phone_change;
mod wire_sessions;
mod wire_verifications;
