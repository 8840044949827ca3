//! The otpd binary.
fn main() {}
