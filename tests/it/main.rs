//! The server over its sockets: one binary, one module per subject.
//!
//! * `harness` — a server of one's own, and verbs
//! * `documented` — every answer that `harness` reads, held to the OpenAPI document
//! * `openapi`, `openapi_examples`, `openapi_page` — the document itself, its examples sent, the page that shows it
//! * `wire_verifications` — `/v1/verifications…` and `/v1/sessions`, as `contracts/v1.md` has them
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod documented;
mod harness;
mod openapi;
mod openapi_examples;
mod openapi_page;
mod wire_verifications;
