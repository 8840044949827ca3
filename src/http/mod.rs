//! HTTP: the only layer that knows axum, and the only place where bytes from strangers become values.
//!
//! From the socket inward: [`listener`] accepts and bounds connections, [`middleware`] wraps every answer,
//! [`client_ip`] and [`ip_limit`] say who asks and how often, [`body`] reads strictly, [`problem`] answers
//! errors. [`docs`] describes it all for clients; [`ops`] is the separate listener of the operators. Knows no limits of
//! a phone number and no codes.

pub use axum::Router;

pub mod body;
pub mod client_ip;
mod connection;
pub mod cors;
pub mod dialect;
pub mod docs;
pub mod form;
pub mod ip_limit;
pub mod json;
pub mod listener;
pub mod middleware;
pub mod ops;
pub mod problem;
pub mod proof_of_work;
pub mod rate_headers;
mod request_metrics;
pub mod tls;
pub mod v1;
mod watch;
