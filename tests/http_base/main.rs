//! The ground of the HTTP layer over real sockets: a small router behind the real edge and listener.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod answers;
#[path = "../support/captured_log.rs"]
mod captured_log;
mod framing;
mod harness;
mod observed;
mod pressure;
mod stop;
mod tls;
