//! The use cases in the core's words: what a caller may ask of otpd, whatever the protocol.
//!
//! Turns what people typed into the core's values ([`number`], [`code_input`]) so that nothing further in
//! ever meets raw text. Never knows HTTP, JSON names or status codes.

pub mod code_input;
pub mod digits;
pub mod number;
