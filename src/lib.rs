//! otpd: the phone sign-in server that people run themselves.
pub mod clock;
pub mod entropy;
pub mod metrics;
pub mod record;
pub mod settings;
pub mod shutdown;
pub mod sms;
pub mod store;
pub mod telemetry;
