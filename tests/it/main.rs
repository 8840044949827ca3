//! The server over its sockets: one binary, one module per subject.
//!
//! * `harness` — a server of one's own, and verbs
//! * `hang_up` — clients that do not wait for their answer
//! * `wire_verifications` — `/v1/verifications…` and `/v1/sessions`, as `contracts/v1.md` has them
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod hang_up;
mod harness;
mod wire_verifications;
