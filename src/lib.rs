//! otpd: the phone sign-in server that people run themselves.
pub mod clock;
pub mod entropy;
pub mod phone;
pub mod record;
pub mod sms;
pub mod store;
