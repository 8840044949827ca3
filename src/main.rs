//! The `otpd` command.

fn main() {}
