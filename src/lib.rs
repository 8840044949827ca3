//! otpd: the phone sign-in server that people run themselves.
pub mod app;
pub mod cli;
pub mod clock;
pub mod entropy;
pub mod http;
pub mod metrics;
pub mod phone;
pub mod record;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod sms;
pub mod store;
pub mod telemetry;
pub mod token;
