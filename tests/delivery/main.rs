//! Codes arrive: whole servers over providers that fail, hang, refuse and lie, and a kill between counting and sending.
//!
//! * `world` — a server in this process or as one of its own, over fakes of Twilio and Kavenegar
//! * `failover` — sign-ins go on by the next route while the first fails; its breaker opens, probes and closes
//! * `silence` — a message that nobody hears of goes another way
//! * `receipts` — what a provider reports later: in order, twice, late, forged
//! * `lost` — `kill -9` after the commit and before the send
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod failover;
#[path = "../support/fake_http.rs"]
mod fake_http;
#[path = "../support/fake_kavenegar.rs"]
mod fake_kavenegar;
#[path = "../support/fake_twilio.rs"]
mod fake_twilio;
mod lost;
mod receipts;
mod silence;
mod world;
